"""Credentials of a UnionPay account, and whose certificate is believed to be UnionPay's."""

from datetime import UTC, datetime, timedelta

import pytest

from channels_app.providers.base import CredentialsInvalid, Hint, NotificationRefused, RawNotification
from channels_app.providers.unionpay import GATEWAY, TEST_GATEWAY, UnionPayAdapter
from tests.providers.unionpay_side import (
    CN,
    MIDDLE,
    ROOT,
    TEST_CN,
    certificate,
    credentials,
    form,
    leaf,
    middle,
    paid,
    pem,
    sealed,
)

NO = "20260102G0123456789ABCDEFGHJKM"
NOW = datetime.now(UTC)
REAL = {"base_url": ...}  # real money knows one gateway only


def read(adapter, body, *, at=NOW):
    return adapter.read_notification(RawNotification(headers={}, body=body, received_at=at))


def step(adapter, *, cert, by="unionpay", at=NOW):
    with pytest.raises(NotificationRefused) as caught:
        read(adapter, form(sealed(paid(NO), cert=cert, by=by)), at=at)
    return caught.value.step


@pytest.fixture(scope="module")
def live():
    return UnionPayAdapter(credentials(**REAL))


@pytest.fixture(scope="module")
def sandbox():
    return UnionPayAdapter(credentials(), live=False)


class TestCredentials:
    """Every defect of a credentials file is named, and no value is shown."""

    @pytest.mark.parametrize("name", ["mer_id", "cert_id", "private_key", "root_cert", "middle_cert"])
    @pytest.mark.parametrize("value", [..., "", " ", None, 7, "ZZ-not-one"])
    def test_that_miss_something_are_refused_by_name(self, name, value):
        with pytest.raises(CredentialsInvalid, match=name) as caught:
            UnionPayAdapter(credentials(**REAL | {name: value}))
        assert "ZZ" not in str(caught.value)

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"mer_id": "777290058110048"}, "mer_id is a test merchant's"),
            ({"mer_id": "8983401839801051"}, "mer_id"),
            ({"cert_id": "1046A7B6A9"}, "cert_id"),
            ({"middle_cert": pem(certificate("unionpay middle", issuer="stranger", ca=True))}, "not issued under"),
            ({"middle_cert": pem(middle(ca=False))}, "middle_cert is no certificate of an authority"),
            ({"middle_cert": pem(middle(ca=None))}, "middle_cert is no certificate of an authority"),
            ({"root_cert": pem(certificate(ROOT, ca=False))}, "root_cert is no certificate of an authority"),
            ({"middle_cert": pem(middle(sha1=True))}, "not issued under"),
            ({"root_cert": pem(certificate("elliptic", key="elliptic"))}, "root_cert"),
            ({"middle_cert": pem(middle()) + "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"}, "middle_"),
            ({"base_url": TEST_GATEWAY}, "base_url"),
            ({"base_url": "http://127.0.0.1:9"}, "base_url"),
            ({"base_url": "gateway.95516.com"}, "base_url"),
        ],
    )  # fmt: skip
    def test_of_real_money_hold_nothing_of_a_test_world(self, changes, said):
        with pytest.raises(CredentialsInvalid, match=said):
            UnionPayAdapter(credentials(**REAL | changes))

    def test_of_a_sandbox_may(self):
        for changes in ({"mer_id": "777290058110048"}, {"middle_cert": pem(middle(sha1=True))}, {"base_url": GATEWAY}):
            UnionPayAdapter(credentials(**changes), live=False)

    def test_lead_to_the_gateway_of_their_world(self):
        assert vars(UnionPayAdapter(credentials(**REAL)))["_files"] == "https://filedownload.95516.com"
        sandbox = vars(UnionPayAdapter(credentials(**REAL), live=False))
        assert (sandbox["_host"], sandbox["_files"]) == (TEST_GATEWAY, "https://filedownload.test.95516.com")
        assert vars(UnionPayAdapter(credentials(base_url=f"{GATEWAY}/")))["_host"] == GATEWAY

    def test_a_root_that_says_nothing_of_being_one_will_do(self):
        UnionPayAdapter(credentials(**REAL, root_cert=pem(certificate(ROOT, ca=None))))

    def test_are_not_shown_by_the_adapter(self, live):
        assert "PRIVATE" not in repr(vars(live))


class TestTheCertificateInAMessage:
    """A message is believed when its certificate is UnionPay's own, by chain, name and date."""

    def test_of_unionpay_is_believed(self, live):
        assert isinstance(read(live, form(sealed(paid(NO)))), Hint)

    @pytest.mark.parametrize("spelt", ["\n", "\r\n", "\r\n, and a blank line"])
    def test_is_read_with_any_line_ends(self, live, spelt):
        text = pem(leaf()).replace("\n", "\r\n") if "\r" in spelt else pem(leaf())
        text += "\r\n" if "blank" in spelt else ""
        assert isinstance(read(live, form(sealed(paid(NO), cert=text))), Hint)

    @pytest.mark.parametrize(
        ("cert", "step_of_it"),
        [
            (certificate("unionpay", issuer="stranger", cn=CN), "certificate_chain"),
            # A stranger may call an authority of his own by the name of the real one.
            (certificate("unionpay", issuer="stranger", issuer_cn=MIDDLE, cn=CN), "certificate_chain"),
            (certificate("unionpay", issuer=MIDDLE, issuer_cn="another", cn=CN), "certificate_chain"),
            (certificate("unionpay", issuer=ROOT, cn=CN), "certificate_chain"),
            (certificate("unionpay", cn=CN), "certificate_chain"),
            (leaf("041@898340183980105@某某网络科技有限公司@00000001"), "certificate_name"),
            (leaf("中国银联股份有限公司"), "certificate_name"),
            (leaf("041@中国银联股份有限公司@Z1@00000001"), "certificate_name"),
            (leaf("041@Z1@Z2@中国银联股份有限公司"), "certificate_name"),
            (leaf("041@Z1@中国银联股份有限公司 @00000001"), "certificate_name"),
            (leaf(TEST_CN), "certificate_name"),
            (leaf(days=(-30, -1)), "certificate_dates"),
            (leaf(days=(1, 30)), "certificate_dates"),
            (leaf(sha1=True), "certificate_chain"),
            (certificate("elliptic leaf", issuer=MIDDLE, cn=CN, key="elliptic"), "certificate"),
        ],
    )
    def test_is_refused_by_the_check_that_failed(self, live, cert, step_of_it):
        assert step(live, cert=pem(cert)) == step_of_it

    @pytest.mark.parametrize("text", [..., "", "not a certificate", pem(leaf(), middle()), "x" + pem(leaf()),
                                      pem(leaf()) + "\n" * 9000 + "-----END CERTIFICATE-----"])  # fmt: skip
    def test_that_is_none_is_refused(self, live, text):
        assert step(live, cert=text) == "certificate"

    def test_does_not_lend_its_name_to_another_key(self, live):
        assert step(live, cert=pem(leaf()), by="stranger") == "signature"
        assert step(live, cert=pem(leaf()), by="unionpay merchant") == "signature"

    def test_of_the_test_environment_is_believed_by_a_sandbox_only(self, sandbox):
        older = UnionPayAdapter(credentials(middle_cert=pem(middle(sha1=True))), live=False)
        for adapter, cert in ((sandbox, leaf(TEST_CN)), (sandbox, leaf(sha1=True)), (older, leaf(sha1=True)),
                              (older, leaf())):  # fmt: skip
            assert isinstance(read(adapter, form(sealed(paid(NO), cert=pem(cert)))), Hint)

    def test_runs_out_although_it_was_believed_before(self, live):
        message = form(sealed(paid(NO)))
        assert isinstance(read(live, message), Hint)
        with pytest.raises(NotificationRefused) as caught:
            read(live, message, at=NOW + timedelta(days=31))
        assert caught.value.step == "certificate_dates"
        assert isinstance(read(live, message), Hint)

    def test_runs_out_with_the_middle_one(self):
        adapter = UnionPayAdapter(credentials(**REAL, middle_cert=pem(middle(days=(-30, -1)))))
        assert step(adapter, cert=pem(leaf())) == "certificate_dates"

    def test_may_come_from_the_next_middle_one_while_unionpay_changes_over(self):
        following = certificate("unionpay middle 2", issuer=ROOT, ca=True)
        adapter = UnionPayAdapter(credentials(**REAL, middle_cert=pem(middle(), following)))
        for cert in (leaf(), certificate("unionpay", issuer="unionpay middle 2", cn=CN)):
            assert isinstance(read(adapter, form(sealed(paid(NO), cert=pem(cert)))), Hint)

    def test_is_remembered_and_what_strangers_send_is_not(self, live):
        adapter = UnionPayAdapter(credentials(**REAL))
        for cert in (leaf(TEST_CN), leaf(days=(-30, -1)), certificate("unionpay", cn=CN)):
            step(adapter, cert=pem(cert))
        assert not vars(adapter)["_keys"]._proved
        for spelling in range(40):
            read(adapter, form(sealed(paid(NO), cert=pem(leaf()) + " " * spelling)))
        assert 1 <= len(vars(adapter)["_keys"]._proved) <= 16
