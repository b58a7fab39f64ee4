"""The microscope: why a notification was refused, and what its bytes say with today's keys."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from channels_app import inbox, vault
from channels_app.accounts import forget_accounts, save_account
from channels_app.admin.microscope import reading_in_words, step_in_words
from channels_app.microscope import Reading
from channels_app.models import AuditEntry, Notification, Verdict
from orders.models import Order, Payment
from tests import keys
from tests.casefile.test_page import act, read, whose
from tests.console.conftest import SIGNATURE, page_of
from tests.providers.wechat_side import CERTIFICATE_SERIAL, by_certificate, envelope, signed, transaction

SEES = "channels_app.view_notification"
MAY_PROCESS = (SEES, "orders.ask_provider")


@pytest.fixture
def waiting(shop):
    """An order with an open attempt."""
    order = shop.order()
    shop.attempt(order)
    return order


def notification(order_no: str) -> bytes:
    """The body of the provider's message that six yuan were paid."""
    amount = {"total": 600, "payer_total": 600, "currency": "CNY", "payer_currency": "CNY"}
    return envelope(transaction(order_no, {"amount": amount}))


def post(client, body: bytes, headers: dict[str, str]):
    return client.post(
        "/notify/wechatpay/wx1", body, content_type="application/json",
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()},
    )  # fmt: skip


def arrived() -> Notification:
    return Notification.objects.latest("received_at")


class TestWhy:
    """The page names the failed step in plain words, and what to do."""

    def test_a_forged_signature(self, client, waiting, staff):
        body = notification(waiting.order_no)
        post(client, body, signed(body + b" "))
        text = read(staff(SEES).get(page_of(arrived())))
        assert "The signature does not fit these bytes." in text
        assert "A proxy has changed the body" in text
        assert "yes, byte for byte" in text
        assert "refused at: signature" in text

    def test_a_key_that_the_account_does_not_know(self, client, waiting, staff):
        body = notification(waiting.order_no)
        post(client, body, by_certificate(body))
        text = read(staff(SEES).get(page_of(arrived())))
        assert "It names a key that this account does not know" in text
        assert f"{CERTIFICATE_SERIAL:X}" in text
        assert "PUB_KEY_ID_" in text

    def test_a_probe_of_the_provider_needs_nothing(self, client, waiting, staff):
        body = notification(waiting.order_no)
        post(client, body, signed(body, probe=True))
        assert "Nothing to do: refusing it is the right answer." in read(staff(SEES).get(page_of(arrived())))

    def test_an_old_stamp_is_told_apart_from_a_wrong_signature(self, client, waiting, staff):
        body = notification(waiting.order_no)
        an_hour_ago = timezone.now().timestamp() - 3600
        browser = staff(SEES)
        post(client, body, signed(body, at=an_hour_ago))
        text = read(browser.get(page_of(arrived())))
        assert "+3600" in text or "+3601" in text
        assert "refused for its age alone: the signature is right" in text
        post(client, body, signed(body + b" ", at=an_hour_ago))
        assert "refused for its age, and the signature is wrong too" in read(browser.get(page_of(arrived())))

    def test_genuine_then_is_genuine_now_only_its_age_would_refuse_it(self, client, waiting, staff):
        body = notification(waiting.order_no)
        assert post(client, body, signed(body)).status_code == 204
        row = arrived()
        Notification.objects.filter(pk=row.pk).update(received_at=row.received_at)
        text = read(staff(SEES).get(page_of(row)))
        assert "Genuine, then and now." in text
        assert "genuine: a payment" in text

    def test_bytes_that_changed_in_the_database_are_found(self, client, waiting, staff):
        body = notification(waiting.order_no)
        post(client, body, signed(body))
        row = arrived()
        sealed = vault.seal(json.dumps({}).encode() + b"\n" + body + b" ", at=inbox.raw_cell(row.pk))
        Notification.objects.filter(pk=row.pk).update(raw_sealed=sealed)
        assert "no: the stored bytes differ" in read(staff(SEES).get(page_of(row)))

    def test_looking_shows_no_header_value_and_no_body_and_moves_nothing(self, busy_shop, staff):
        row = Notification.objects.get(attempt_no=busy_shop.bought.order_no)
        before = (Payment.objects.count(), row.verdict)
        text = staff(SEES).get(page_of(row)).content.decode()
        assert "wechatpay-signature" in text
        assert SIGNATURE[:8] not in text
        assert "out_trade_no" not in text
        row.refresh_from_db()
        assert (Payment.objects.count(), row.verdict) == before


class TestWhatProvidersSend:
    """Whatever a provider may send has words: every kind of message, every step at which it may fail, every verdict."""

    def test_of_every_kind(self):
        for says in ("payment", "refund", "dispute", "hint", "foreign", "nothing"):
            assert "genuine" in str(reading_in_words(Reading("", "", says=says)))

    @pytest.mark.parametrize(
        "step", ["certificates", "transaction_certificates", "transaction_header", "keys", "asking"]
    )
    def test_at_every_step(self, step):
        means, what_to_do = step_in_words(step)
        assert means != step
        assert what_to_do != "Engineers must look."

    def test_whose_provider_is_being_asked(self, busy_shop, staff):
        hint = Notification.objects.order_by("pk").first()
        at = timezone.now()
        Notification.objects.filter(pk=hint.pk).update(verdict="asking", judged_at=None, asked=3, ask_at=at)
        browser = staff(SEES)
        text = read(browser.get(page_of(hint)))
        assert "a hint: the provider is asked" in text
        assert "Times asked 3 Asked next" in text
        listed = read(browser.get("/admin/channels_app/notification/?verdict=asking"))
        assert listed.count("a hint: the provider is asked") > 1  # in the filter, and in the row


class TestProcessing:
    """A message that was not taken and verifies with today's keys is processed like any other, once."""

    @pytest.fixture
    def unknown_key(self, client, waiting):
        """Refused because the account did not have the platform certificate yet."""
        body = notification(waiting.order_no)
        assert post(client, body, by_certificate(body)).status_code == 401
        return arrived()

    def learn_the_key(self):
        certificate = keys.certificate_pem("wechat certificate", serial=CERTIFICATE_SERIAL)
        save_account(
            provider="wechatpay", code="wx1", environment="sandbox",
            credentials=keys.wechat_credentials(platform_certificates=[certificate]),
        )  # fmt: skip
        forget_accounts()

    def test_once_the_key_is_known_the_payment_is_booked_once(self, unknown_key, waiting, staff):
        browser = staff(*MAY_PROCESS)
        assert "It does not verify with today's keys either" in read(
            browser.post(act(unknown_key, "process"), follow=True)
        )
        assert Payment.objects.count() == 0
        self.learn_the_key()
        assert "it can be processed now" in read(browser.get(page_of(unknown_key)))
        assert "Processed: applied." in read(browser.post(act(unknown_key, "process"), follow=True))
        unknown_key.refresh_from_db()
        assert (unknown_key.verdict, unknown_key.failed_step) == (Verdict.APPLIED, "")
        assert "first refused at serial" in unknown_key.detail
        order = Order.objects.get(pk=waiting.pk)
        assert (order.state, order.delivery_state) == ("paid", "delivered")
        assert "there is nothing to process" in read(browser.post(act(unknown_key, "process"), follow=True))
        assert Payment.objects.count() == 1
        assert AuditEntry.objects.filter(subject_id=str(unknown_key.pk), detail__act="process").count() == 1

    def test_a_forged_one_never_is(self, client, waiting, staff):
        body = notification(waiting.order_no)
        post(client, body, signed(body + b" "))
        self.learn_the_key()
        staff(*MAY_PROCESS).post(act(arrived(), "process"))
        assert arrived().verdict == Verdict.REFUSED
        assert Payment.objects.count() == 0

    def test_needs_the_permission(self, unknown_key, staff):
        self.learn_the_key()
        assert staff(SEES).post(act(unknown_key, "process")).status_code == 403
        assert Payment.objects.count() == 0

    def test_an_unreadable_one_is_read_with_the_right_key(self, client, waiting, shop, staff):
        body = notification(waiting.order_no)
        right = shop.account.credentials()
        save_account(
            provider="wechatpay", code="wx1", environment="sandbox", credentials={**right, "api_v3_key": "x" * 32}
        )  # fmt: skip
        forget_accounts()
        assert post(client, body, signed(body)).status_code == 503
        assert arrived().verdict == Verdict.UNREADABLE
        browser = staff(*MAY_PROCESS)
        assert "our APIv3 key does not open it" in read(browser.get(page_of(arrived())))
        save_account(provider="wechatpay", code="wx1", environment="sandbox", credentials=right)
        forget_accounts()
        browser.post(act(arrived(), "process"))
        assert arrived().verdict == Verdict.APPLIED
        assert Payment.objects.count() == 1


class TestRawMessages:
    """What a provider sent can be opened by those who may, byte for byte, with a reason that is written down."""

    WHY = {"reason": "provider asks for the bytes, ticket 9"}

    def test_shows_headers_and_body_but_only_the_beginning_of_a_signature(self, busy_shop, staff):
        browser = staff(SEES, "channels_app.view_raw_notification")
        row = Notification.objects.get(attempt_no=busy_shop.bought.order_no)
        assert "PUB_KEY_ID_1" not in browser.post(act(row, "raw")).content.decode()  # no reason, no bytes
        text = browser.post(act(row, "raw"), self.WHY).content.decode()
        assert "PUB_KEY_ID_1" in text
        assert busy_shop.bought.transaction_id in text
        assert SIGNATURE[:8] + "…" in text
        assert SIGNATURE not in text
        entry = AuditEntry.objects.get(subject_id=str(row.pk), detail__act="raw")
        assert (entry.actor, entry.reason) == (whose(browser), self.WHY["reason"])

    def test_stay_closed_for_everybody_else(self, busy_shop, staff):
        row = Notification.objects.get(attempt_no=busy_shop.bought.order_no)
        browser = staff(SEES)
        assert browser.post(act(row, "raw"), self.WHY).status_code == 403

    def test_that_cannot_be_opened_say_so(self, busy_shop, staff):
        row = Notification.objects.get(attempt_no=busy_shop.bought.order_no)
        Notification.objects.filter(pk=row.pk).update(raw_sealed=vault.seal(b"x", at=b"elsewhere"))
        browser = staff(SEES, "channels_app.view_raw_notification")
        assert "cannot be opened" in read(browser.post(act(row, "raw"), self.WHY, follow=True))

    def test_old_messages_are_told_from_new_ones_by_their_stamp(self, busy_shop, staff):
        row = Notification.objects.get(attempt_no=busy_shop.bought.order_no)
        Notification.objects.filter(pk=row.pk).update(received_at=timezone.now() - timedelta(days=2))
        assert "it carries no stamp" in read(staff(SEES).get(page_of(row)))
