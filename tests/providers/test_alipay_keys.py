"""Credentials of an Alipay account: every form that the tools write is taken, every defect is named."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from channels_app.providers.alipay import AlipayAdapter
from channels_app.providers.alipay_certificates import certificate_sn, read_keys, root_bundle_sn
from channels_app.providers.base import (
    CredentialsInvalid,
    NotificationRefused,
    PaymentProof,
    RawNotification,
)
from tests import keys
from tests.providers.alipay_side import (
    ALIPAY,
    ALIPAY_SN,
    ISSUING,
    ROOT,
    UNREADABLE,
    certificate,
    certificate_mode,
    elliptic_root,
    pem,
    sealed,
    sn,
    trade,
)


def private_key(form: str) -> str:
    """The application's key as one of the tools writes it."""
    kind = serialization.PrivateFormat.TraditionalOpenSSL if "1" in form else serialization.PrivateFormat.PKCS8
    encoding = serialization.Encoding.PEM if "PEM" in form else serialization.Encoding.DER
    raw = keys.key("alipay merchant").private_bytes(encoding, kind, serialization.NoEncryption())
    return raw.decode() if "PEM" in form else base64.b64encode(raw).decode()


def public_key(*, armoured: bool) -> str:
    """Alipay's key as its page shows it (one line) or as a file."""
    text = keys.public_pem("alipay")
    return text if armoured else "".join(line for line in text.splitlines() if "---" not in line)


class TestKeys:
    """Keys are taken with or without armour, PKCS#8 or PKCS#1."""

    @pytest.mark.parametrize("form", ["PKCS1 PEM", "PKCS8 PEM", "PKCS1 line", "PKCS8 line"])
    @pytest.mark.parametrize("armoured", [True, False])
    def test_in_every_form_read_a_notification(self, form, armoured):
        whole = keys.alipay_credentials(
            app_private_key=private_key(form), alipay_public_key=public_key(armoured=armoured)
        )
        assert isinstance(read(AlipayAdapter(whole), sealed(trade("N1"))), PaymentProof)

    def test_are_not_shown_by_the_adapter(self):
        adapter = AlipayAdapter(keys.alipay_credentials())
        assert "PRIVATE" not in repr(vars(adapter))


def read(adapter, body, *, at=None):
    return adapter.read_notification(RawNotification(headers={}, body=body, received_at=at or datetime.now(UTC)))


def weak_pair() -> tuple[str, str]:
    """A key that is too short to be believed."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


WEAK_PRIVATE, WEAK_PUBLIC = weak_pair()
SECRET = "a-value-that-must-not-be-shown"


class TestDefects:
    """A defect is refused by the name of its key, and its value is never shown."""

    @pytest.mark.parametrize("name", ["app_id", "seller_id", "app_private_key", "alipay_public_key"])
    @pytest.mark.parametrize("value", [None, "", " \n", 7, ["x"], SECRET, "x\x00"])
    def test_in_public_key_mode_are_named(self, name, value):
        with pytest.raises(CredentialsInvalid, match=rf"^{name} ") as caught:
            AlipayAdapter(keys.alipay_credentials(**{name: value}))
        assert SECRET not in str(caught.value)

    @pytest.mark.parametrize("name", ["app_cert", "alipay_cert", "alipay_root_cert"])
    @pytest.mark.parametrize("value", [..., None, "", 7, SECRET, UNREADABLE])
    def test_in_certificate_mode_are_named(self, name, value):
        with pytest.raises(CredentialsInvalid, match=rf"^{name} ") as caught:
            AlipayAdapter(certificate_mode(**{name: value}))
        assert SECRET not in str(caught.value)

    @pytest.mark.parametrize(
        "gateway",
        ["", "openapi.alipay.com", "ftp://x/gateway.do", "http://", "http://a b/", "http://x:99999/", "http://u@x/g",
         "http://x/gateway.do?a=1", "http://x/#a", 7, "http://[x/"],
    )  # fmt: skip
    def test_of_the_gateway_are_named(self, gateway):
        with pytest.raises(CredentialsInvalid, match=r"^gateway "):
            AlipayAdapter(keys.alipay_credentials(gateway=gateway))

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("app_private_key", WEAK_PRIVATE),
            ("alipay_public_key", WEAK_PUBLIC),
            ("seller_id", "2021000000000001"),
            ("seller_id", "208800000000000１"),
            ("app_private_key", keys.public_pem("alipay merchant")),
            ("alipay_public_key", keys.private_pem("alipay")),
        ],
    )
    def test_that_only_look_right_are_named(self, name, value):
        with pytest.raises(CredentialsInvalid, match=rf"^{name} "):
            AlipayAdapter(keys.alipay_credentials(**{name: value}))

    def test_include_our_own_public_key_in_the_place_of_alipays(self):
        with pytest.raises(CredentialsInvalid, match=r"^alipay_public_key is the application's own"):
            AlipayAdapter(keys.alipay_credentials(alipay_public_key=keys.public_pem("alipay merchant")))

    def test_include_an_application_certificate_of_another_key(self):
        with pytest.raises(CredentialsInvalid, match=r"^app_cert does not belong to app_private_key"):
            AlipayAdapter(certificate_mode(app_cert=pem(certificate("stranger", issuer=ISSUING))))

    @pytest.mark.parametrize(
        "file",
        [
            pem(certificate(ALIPAY)),  # by itself
            pem(certificate(ALIPAY, issuer="stranger"), certificate("stranger", ca=True)),
            pem(certificate(ALIPAY, issuer=ISSUING)),  # without the one in between
            # Issued by a certificate of the chain that is no authority.
            pem(
                certificate("thief", issuer=ALIPAY),
                certificate(ALIPAY, issuer=ISSUING),
                certificate(ISSUING, issuer=ROOT, ca=True),
            ),
            # The right names, another key in between.
            pem(certificate(ALIPAY, issuer="stranger"), certificate(ISSUING, issuer=ROOT, ca=True)),
            # A good one first, one that nobody vouches for behind it.
            pem(
                certificate(ALIPAY, issuer=ISSUING),
                certificate(ISSUING, issuer=ROOT, ca=True),
                certificate("thief", issuer="stranger"),
            ),
        ],
    )
    def test_include_an_alipay_certificate_outside_the_root_bundle(self, file):
        with pytest.raises(CredentialsInvalid, match=r"^alipay_cert was not issued under alipay_root_cert"):
            AlipayAdapter(certificate_mode(alipay_cert=file))

    def test_include_a_root_bundle_without_a_root_signed_with_rsa(self):
        with pytest.raises(CredentialsInvalid, match=r"^alipay_root_cert "):
            AlipayAdapter(certificate_mode(alipay_root_cert=pem(UNREADABLE, elliptic_root())))


class TestCertificateNames:
    """Alipay finds our certificates, and we find its, by issuer and serial number."""

    def test_are_spelt_as_alipay_spells_them(self):
        assert certificate_sn(certificate(ALIPAY, issuer=ISSUING)) == ALIPAY_SN == sn(ALIPAY, ISSUING, 4660)

    def test_keep_their_leading_zeros(self):
        serial = next(n for n in range(1, 999) if sn("x", ISSUING, n).startswith("0"))
        name = certificate_sn(certificate("x", issuer=ISSUING, serial=serial))
        assert (len(name), name) == (32, sn("x", ISSUING, serial))

    def test_write_a_long_serial_number_in_decimal(self):
        serial = 2**158 + 1
        assert certificate_sn(certificate("x", issuer=ISSUING, serial=serial)) == sn("x", ISSUING, serial)

    def test_of_a_bundle_are_those_of_its_rsa_roots_in_order(self):
        first, second = certificate(ROOT, ca=True, serial=1), certificate("Ant Root R2", ca=True, serial=2)
        names = [sn(ROOT, ROOT, 1), sn("Ant Root R2", "Ant Root R2", 2)]
        assert root_bundle_sn([elliptic_root(), first, second]) == "_".join(names)
        assert root_bundle_sn([second, elliptic_root(), first]) == "_".join(reversed(names))

    def test_pass_over_what_our_library_cannot_read(self):
        bundle = pem(UNREADABLE, certificate(ROOT, ca=True, serial=1), UNREADABLE, elliptic_root())
        whole = certificate_mode(alipay_root_cert="comment\r\n" + bundle.replace("\n", "\r\n"))
        _, names = read_keys(whole, keys.key("alipay merchant"))
        assert names.alipay_root_cert_sn == sn(ROOT, ROOT, 1)
        assert names.app_cert_sn == sn("alipay merchant", ISSUING, 77)


class TestTheMoveToAnotherKey:
    """While Alipay or the merchant moves from one key to another, messages of both are believed."""

    def test_finds_the_certificate_that_signed(self):
        issuing = certificate(ISSUING, issuer=ROOT, ca=True)
        both = pem(certificate(ALIPAY, issuer=ISSUING), issuing, certificate("alipay next", issuer=ISSUING, serial=5))
        adapter = AlipayAdapter(certificate_mode(alipay_cert=both))
        next_sn = sn("alipay next", ISSUING, 5)
        assert isinstance(read(adapter, sealed(trade("N1", alipay_cert_sn=ALIPAY_SN))), PaymentProof)
        assert isinstance(read(adapter, sealed(trade("N1", alipay_cert_sn=next_sn), by="alipay next")), PaymentProof)
        with pytest.raises(NotificationRefused, match="signature"):
            read(adapter, sealed(trade("N1", alipay_cert_sn=next_sn)))

    def test_believes_the_public_key_beside_the_certificates(self):
        adapter = AlipayAdapter(certificate_mode(alipay_public_key=keys.public_pem("alipay of old")))
        assert isinstance(read(adapter, sealed(trade("N1"), by="alipay of old")), PaymentProof)
        assert isinstance(read(adapter, sealed(trade("N1", alipay_cert_sn=ALIPAY_SN))), PaymentProof)
        with pytest.raises(NotificationRefused, match="signature"):
            read(adapter, sealed(trade("N1", alipay_cert_sn=ALIPAY_SN), by="alipay of old"))

    @pytest.mark.parametrize(
        ("days", "moment", "believed"),
        [
            ((-9, 9), 0, True),
            ((-9, 9), 9.5, True),  # what was signed in time may be repeated for a day
            ((-9, 9), 11, False),
            ((-9, 9), -10, False),
        ],
    )
    @pytest.mark.parametrize("named", [{"alipay_cert_sn": ALIPAY_SN}, {}])
    def test_believes_a_certificate_in_its_time(self, days, moment, believed, named):
        issuing = certificate(ISSUING, issuer=ROOT, ca=True)
        adapter = AlipayAdapter(
            certificate_mode(alipay_cert=pem(certificate(ALIPAY, issuer=ISSUING, days=days), issuing))
        )
        at = datetime.now(UTC) + timedelta(days=moment)
        body = sealed(trade("N1", **named))
        if believed:
            assert isinstance(read(adapter, body, at=at), PaymentProof)
        else:
            with pytest.raises(NotificationRefused, match="serial"):
                read(adapter, body, at=at)
