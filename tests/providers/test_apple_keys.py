"""An Apple credentials file, and whose certificates are believed: every defect is named, no weak chain passes."""

import base64
import hashlib
import json
import threading
import time
import uuid

import pytest
from appstoreserverlibrary.signed_data_verifier import VerificationException, _ChainVerifier
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from channels_app.providers.apple import AppleAdapter
from channels_app.providers.apple_keys import APPLE_ROOT, PRODUCTION_URL, SANDBOX_URL, read_keys
from channels_app.providers.apple_signed import KeptChains
from channels_app.providers.base import CredentialsInvalid, NotificationRefused, PaymentProof
from channels_app.providers.fields import key_facts
from tests import keys
from tests.providers import apple_side
from tests.providers.apple_side import Chain, chain, credentials, issued_by_leaf, jws, live_credentials, transaction

SECRET = "a-value-that-must-not-be-shown"
NO = uuid.UUID(int=7).hex

# Apple's own certificates as its messages carried them in 2023: the intermediate (G6) and a signing certificate that
# was valid until 2023-09-24.
INTERMEDIATE = "MIIDFjCCApygAwIBAgIUIsGhRwp0c2nvU4YSycafPTjzbNcwCgYIKoZIzj0EAwMwZzEbMBkGA1UEAwwSQXBwbGUgUm9vdCBDQSAtIEczMSYwJAYDVQQLDB1BcHBsZSBDZXJ0aWZpY2F0aW9uIEF1dGhvcml0eTETMBEGA1UECgwKQXBwbGUgSW5jLjELMAkGA1UEBhMCVVMwHhcNMjEwMzE3MjAzNzEwWhcNMzYwMzE5MDAwMDAwWjB1MUQwQgYDVQQDDDtBcHBsZSBXb3JsZHdpZGUgRGV2ZWxvcGVyIFJlbGF0aW9ucyBDZXJ0aWZpY2F0aW9uIEF1dGhvcml0eTELMAkGA1UECwwCRzYxEzARBgNVBAoMCkFwcGxlIEluYy4xCzAJBgNVBAYTAlVTMHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEbsQKC94PrlWmZXnXgtxzdVJL8T0SGYngDRGpngn3N6PT8JMEb7FDi4bBmPhCnZ3/sq6PF/cGcKXWsL5vOteRhyJ45x3ASP7cOB+aao90fcpxSv/EZFbniAbNgZGhIhpIo4H6MIH3MBIGA1UdEwEB/wQIMAYBAf8CAQAwHwYDVR0jBBgwFoAUu7DeoVgziJqkipnevr3rr9rLJKswRgYIKwYBBQUHAQEEOjA4MDYGCCsGAQUFBzABhipodHRwOi8vb2NzcC5hcHBsZS5jb20vb2NzcDAzLWFwcGxlcm9vdGNhZzMwNwYDVR0fBDAwLjAsoCqgKIYmaHR0cDovL2NybC5hcHBsZS5jb20vYXBwbGVyb290Y2FnMy5jcmwwHQYDVR0OBBYEFD8vlCNR01DJmig97bB85c+lkGKZMA4GA1UdDwEB/wQEAwIBBjAQBgoqhkiG92NkBgIBBAIFADAKBggqhkjOPQQDAwNoADBlAjBAXhSq5IyKogMCPtw490BaB677CaEGJXufQB/EqZGd6CSjiCtOnuMTbXVXmxxcxfkCMQDTSPxarZXvNrkxU3TkUMI33yzvFVVRT4wxWJC994OsdcZ4+RGNsYDyR5gmdr0nDGg="
SIGNING = "MIIEMDCCA7agAwIBAgIQaPoPldvpSoEH0lBrjDPv9jAKBggqhkjOPQQDAzB1MUQwQgYDVQQDDDtBcHBsZSBXb3JsZHdpZGUgRGV2ZWxvcGVyIFJlbGF0aW9ucyBDZXJ0aWZpY2F0aW9uIEF1dGhvcml0eTELMAkGA1UECwwCRzYxEzARBgNVBAoMCkFwcGxlIEluYy4xCzAJBgNVBAYTAlVTMB4XDTIxMDgyNTAyNTAzNFoXDTIzMDkyNDAyNTAzM1owgZIxQDA+BgNVBAMMN1Byb2QgRUNDIE1hYyBBcHAgU3RvcmUgYW5kIGlUdW5lcyBTdG9yZSBSZWNlaXB0IFNpZ25pbmcxLDAqBgNVBAsMI0FwcGxlIFdvcmxkd2lkZSBEZXZlbG9wZXIgUmVsYXRpb25zMRMwEQYDVQQKDApBcHBsZSBJbmMuMQswCQYDVQQGEwJVUzBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABOoTcaPcpeipNL9eQ06tCu7pUcwdCXdN8vGqaUjd58Z8tLxiUC0dBeA+euMYggh1/5iAk+FMxUFmA2a1r4aCZ8SjggIIMIICBDAMBgNVHRMBAf8EAjAAMB8GA1UdIwQYMBaAFD8vlCNR01DJmig97bB85c+lkGKZMHAGCCsGAQUFBwEBBGQwYjAtBggrBgEFBQcwAoYhaHR0cDovL2NlcnRzLmFwcGxlLmNvbS93d2RyZzYuZGVyMDEGCCsGAQUFBzABhiVodHRwOi8vb2NzcC5hcHBsZS5jb20vb2NzcDAzLXd3ZHJnNjAyMIIBHgYDVR0gBIIBFTCCAREwggENBgoqhkiG92NkBQYBMIH+MIHDBggrBgEFBQcCAjCBtgyBs1JlbGlhbmNlIG9uIHRoaXMgY2VydGlmaWNhdGUgYnkgYW55IHBhcnR5IGFzc3VtZXMgYWNjZXB0YW5jZSBvZiB0aGUgdGhlbiBhcHBsaWNhYmxlIHN0YW5kYXJkIHRlcm1zIGFuZCBjb25kaXRpb25zIG9mIHVzZSwgY2VydGlmaWNhdGUgcG9saWN5IGFuZCBjZXJ0aWZpY2F0aW9uIHByYWN0aWNlIHN0YXRlbWVudHMuMDYGCCsGAQUFBwIBFipodHRwOi8vd3d3LmFwcGxlLmNvbS9jZXJ0aWZpY2F0ZWF1dGhvcml0eS8wHQYDVR0OBBYEFCOCmMBq//1L5imvVmqX1oCYeqrMMA4GA1UdDwEB/wQEAwIHgDAQBgoqhkiG92NkBgsBBAIFADAKBggqhkjOPQQDAwNoADBlAjEAl4JB9GJHixP2nuibyU1k3wri5psGIxPME05sFKq7hQuzvbeyBu82FozzxmbzpogoAjBLSFl0dZWIYl2ejPV+Di5fBnKPu8mymBQtoE/H2bES0qAs8bNueU3CBjjh1lwnDsI="
IN_2023 = 1_681_312_846


class TestApplesRoot:
    """The root that is built in is the one Apple publishes, and Apple's real chain leads to it."""

    def test_is_apple_root_ca_g3(self):
        assert hashlib.sha256(APPLE_ROOT).hexdigest() == (
            "63343abfb89a6a03ebb57e9b3f5fa7be7c4f5c756f3017b3a8c488c3653e9179"
        )

    def test_vouches_for_apples_real_chain_while_it_was_valid(self):
        chains = KeptChains([APPLE_ROOT])
        real = [SIGNING, INTERMEDIATE, base64.b64encode(APPLE_ROOT).decode()]
        for _ in range(2):  # judged, then remembered
            assert chains.verify_chain(real, False, IN_2023).startswith("-----BEGIN PUBLIC KEY-----")
            with pytest.raises(VerificationException):
                chains.verify_chain(real, False, IN_2023 + 200 * 86_400)

    def test_is_the_only_one_of_an_account_of_real_money(self):
        assert read_keys(live_credentials(), live=True).roots == (APPLE_ROOT,)
        with pytest.raises(NotificationRefused, match=r"^certificates: "):
            AppleAdapter(live_credentials()).prove({"signed_transaction": jws(transaction(NO))})

    def test_is_believed_by_a_sandbox_account_that_names_none(self):
        assert read_keys(credentials(root_certificates=None), live=False).roots == (APPLE_ROOT,)


class TestDefects:
    """A defect is refused by the name of its key, and its value is never shown."""

    @pytest.mark.parametrize("name", ["bundle_id", "app_apple_id", "issuer_id", "key_id", "private_key"])
    @pytest.mark.parametrize("value", [None, "", " \n", 7, ["x"], f"{SECRET} !", "x\x00", "１２３"])
    def test_are_named(self, name, value):
        with pytest.raises(CredentialsInvalid, match=rf"^{name} ") as caught:
            AppleAdapter(credentials(**{name: value}), live=False)
        assert SECRET not in str(caught.value)

    @pytest.mark.parametrize("name", ["root_certificates", "base_url"])
    def test_of_real_money_that_believes_or_calls_somebody_else_are_named(self, name):
        with pytest.raises(CredentialsInvalid, match=rf"^{name} is for sandbox accounts only"):
            AppleAdapter({**live_credentials(), name: credentials()[name]}, live=True)

    @pytest.mark.parametrize("roots", ["x", {}, [7], ["x"], [SECRET], [keys.certificate_pem("an RSA root")]])
    def test_of_the_roots_are_named(self, roots):
        if not roots:
            roots = {"a": 1}
        with pytest.raises(CredentialsInvalid, match=r"^root_certificates") as caught:
            AppleAdapter(credentials(root_certificates=roots), live=False)
        assert SECRET not in str(caught.value)

    @pytest.mark.parametrize("address", ["", "api.apple.com", "ftp://x", "http://x/?a=1", 7])
    def test_of_the_address_are_named(self, address):
        with pytest.raises(CredentialsInvalid, match=r"^base_url "):
            AppleAdapter(credentials(base_url=address), live=False)

    def test_of_another_kind_of_key_are_named(self):
        public = apple_side.key("in-app purchase key").public_key()
        others = [
            keys.private_pem("an RSA key"),
            ec_pem(ec.SECP384R1),
            ec_pem(ec.SECP256K1),
            public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode(),
        ]
        for pem in others:
            with pytest.raises(CredentialsInvalid, match=r"^private_key is not the text of a \.p8 file"):
                AppleAdapter(credentials(private_key=pem), live=False)


def ec_pem(curve) -> str:
    key = ec.generate_private_key(curve())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


class TestWhatIsShown:
    """Keys are told apart by fingerprints and never shown."""

    def test_holds_no_key(self):
        adapter = AppleAdapter(credentials(), live=False)
        assert "PRIVATE" not in repr(vars(adapter))
        assert "private_key" not in repr(read_keys(credentials(), live=False))

    def test_tells_keys_apart_and_when_roots_run_out(self):
        facts = {fact.field: fact for fact in key_facts(AppleAdapter.fields, credentials())}
        assert set(facts) == {"private_key", "root_certificates"}
        assert facts["root_certificates"].expires_at is not None

    def test_calls_apple_where_no_address_is_given(self):
        live = read_keys(live_credentials(), live=True)
        assert (live.production_url, live.sandbox_url) == (PRODUCTION_URL, SANDBOX_URL)


def refused(signed: str) -> str:
    """The step that refuses a transaction at an account that believes this world's root."""
    with pytest.raises(NotificationRefused) as caught:
        AppleAdapter(credentials(), live=False).prove({"signed_transaction": signed})
    return caught.value.step


def swapped(*, leaf=None, intermediate=None, root=None) -> Chain:
    genuine = chain()
    return Chain(root or genuine.root, intermediate or genuine.intermediate, leaf or genuine.leaf)


WEAK_CHAINS = {
    "below another root": chain("attacker"),
    "below another root, with ours at its top": swapped(
        leaf=chain("attacker").leaf, intermediate=chain("attacker").intermediate
    ),
    "with a leaf that another has issued": swapped(leaf=chain("attacker").leaf),
    "with a leaf that acts as an issuer": issued_by_leaf(),
    "with a leaf not meant for receipts": chain(leaf_mark="1.2.840.113635.100.6.11.2"),
    "with an intermediate not meant for it": chain(intermediate_mark="1.2.840.113635.100.6.2.2"),
    "with an intermediate that may issue nothing": chain(issuer_is_ca=False),
    "with a leaf that had run out": chain(leaf_valid=(-300, -1)),
    "with a leaf that was not valid yet": chain(leaf_valid=(1, 300)),
}


class TestCertificates:
    """Only a leaf meant for it, issued by an intermediate meant for it, below a root that we hold, speaks for Apple."""

    @pytest.mark.parametrize("weak", WEAK_CHAINS.values(), ids=WEAK_CHAINS)
    def test_are_refused(self, weak):
        assert refused(jws(transaction(NO), by=weak)) == "certificates"

    @pytest.mark.parametrize(
        "x5c",
        [
            lambda genuine: genuine[:2],
            lambda genuine: genuine[:1],
            lambda genuine: [*genuine, genuine[2]],
            lambda genuine: [genuine[1], genuine[0], genuine[2]],
            lambda genuine: [each.replace("+", "-").replace("/", "_") + "\n" for each in genuine],
            lambda genuine: ["!", *genuine[1:]],
            lambda genuine: ["AAAA", *genuine[1:]],
            lambda genuine: "abc",
        ],
    )
    def test_are_three_and_in_order(self, x5c):
        assert refused(jws(transaction(NO), header={"x5c": x5c(chain().x5c)})) == "certificates"

    @pytest.mark.parametrize("x5c", [..., None, []])
    def test_must_be_there(self, x5c):
        assert refused(jws(transaction(NO), header={"x5c": x5c})) == "header"

    @pytest.mark.parametrize("x5c", [[1, 2, 3], {"a": 1, "b": 2, "c": 3}, 7])
    def test_must_be_texts(self, x5c):
        assert refused(jws(transaction(NO), header={"x5c": x5c})) in ("certificates", "header")

    def test_are_judged_as_of_the_day_of_signing(self):
        bought = transaction(NO, {"signedDate": int(time.time() - 200 * 86_400) * 1000})
        old = chain(leaf_valid=(-300, -100))
        assert isinstance(
            AppleAdapter(credentials(), live=False).prove({"signed_transaction": jws(bought, by=old)}), PaymentProof
        )

    def test_are_judged_as_of_now_without_a_day(self):
        assert refused(jws(transaction(NO, {"signedDate": ...}), by=chain(leaf_valid=(-300, -100)))) == "certificates"


class TestSignatures:
    """ES256 by the leaf's key over these very bytes, and no other algorithm."""

    @pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "RS256", "ES384", "", None, ..., 256, ["ES256"]])
    def test_of_another_algorithm_are_refused(self, algorithm):
        assert refused(jws(transaction(NO), header={"alg": algorithm})) == "header"

    def test_that_are_none_are_refused(self):
        unsigned = jws(transaction(NO), signature=b"")
        assert refused(unsigned) in ("form", "signature")
        assert refused(unsigned.rstrip(".")) == "form"

    def test_with_the_public_key_as_a_secret_are_refused(self):
        """HS256 with what everybody knows: the oldest trick with such tokens."""
        assert refused(jws(transaction(NO), header={"alg": "HS256"}, signature=b"\x00" * 32)) == "header"

    def test_by_another_key_are_refused(self):
        for name in ("attacker", "in-app purchase key"):
            assert refused(jws(transaction(NO), private=apple_side.key(name))) == "signature"

    @pytest.mark.parametrize("size", [0, 63, 65, 70])
    def test_of_another_length_are_refused(self, size):
        assert refused(jws(transaction(NO), signature=b"\x01" * size)) in ("signature", "form")

    @pytest.mark.parametrize(
        "text", ["", ".", "..", "a.b.c", "é.é.é", "\ud800.x.y", "{}", "null", "a" * 100_000, "[" * 50_000 + ".." ],
    )  # fmt: skip
    def test_that_are_no_message_at_all_are_refused(self, text):
        assert refused(text) in ("form", "header")

    def test_over_a_depth_that_nobody_reads_are_refused(self):
        assert refused(jws(b'{"a":' * 100_000)) in ("form", "header")


class TestRememberedChains:
    """That a chain is good may be remembered; a signature is checked every time, and so is the time."""

    @pytest.fixture
    def judged(self, monkeypatch):
        """Counts how often the library has judged a chain."""
        counted = []
        judge = _ChainVerifier._verify_chain_without_caching

        def counting(self, **about):
            counted.append(about)
            return judge(self, **about)

        monkeypatch.setattr(_ChainVerifier, "_verify_chain_without_caching", counting)
        return counted

    def test_are_judged_once(self, judged):
        adapter = AppleAdapter(credentials(), live=False)
        for _ in range(3):
            adapter.prove({"signed_transaction": jws(transaction(NO))})
        assert len(judged) == 1

    def test_do_not_vouch_for_a_message(self, judged):
        adapter = AppleAdapter(credentials(), live=False)
        adapter.prove({"signed_transaction": jws(transaction(NO))})
        with pytest.raises(NotificationRefused, match=r"^signature: "):
            adapter.prove({"signed_transaction": jws(transaction(NO), private=apple_side.key("attacker"))})
        assert len(judged) == 1

    def test_do_not_outlive_their_certificates(self):
        adapter = AppleAdapter(credentials(), live=False)
        old = chain(leaf_valid=(-300, -100))
        then = transaction(NO, {"signedDate": int(time.time() - 200 * 86_400) * 1000})
        assert isinstance(adapter.prove({"signed_transaction": jws(then, by=old)}), PaymentProof)
        with pytest.raises(NotificationRefused, match=r"^certificates: "):
            adapter.prove({"signed_transaction": jws(transaction(NO), by=old)})

    def test_do_not_stand_for_other_certificates(self, judged):
        adapter = AppleAdapter(credentials(), live=False)
        adapter.prove({"signed_transaction": jws(transaction(NO))})
        for weak in (chain("attacker"), swapped(leaf=chain("attacker").leaf), chain(leaf_mark="1.2.3")):
            for _ in range(2):  # a refusal is not remembered
                with pytest.raises(NotificationRefused, match=r"^certificates: "):
                    adapter.prove({"signed_transaction": jws(transaction(NO), by=weak)})
        assert len(judged) == 7

    def test_are_few_however_many_are_sent(self):
        chains = KeptChains([apple_side.own_root()])
        genuine = chain().x5c
        for number in range(40):
            chains.verify_chain([*genuine[:2], f"junk {number}"], False, int(time.time()))
        assert len(chains._kept) == 16
        assert chains.verify_chain(genuine, False, int(time.time()))

    def test_may_be_asked_for_by_many_at_once(self):
        adapter = AppleAdapter(credentials(), live=False)
        signed = [jws(transaction(NO), by=chain()) for _ in range(8)]
        proofs: list[object] = []
        threads = [
            threading.Thread(target=lambda each=each: proofs.append(adapter.prove({"signed_transaction": each})))
            for each in signed
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [type(each) for each in proofs] == [PaymentProof] * 8


def test_this_worlds_tokens_are_what_the_sheet_describes():
    """The signer of these tests makes 64-byte signatures over header.payload, certificates as standard base64."""
    header, _, signature = jws(transaction(NO)).split(".")
    assert len(apple_side.unb64url(signature)) == 64
    assert [base64.b64decode(each, validate=True)[0] for each in json.loads(apple_side.unb64url(header))["x5c"]] == [
        0x30
    ] * 3
