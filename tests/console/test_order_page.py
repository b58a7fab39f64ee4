"""The page of an order tells its whole story, and asks the provider when somebody wants to know."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from django.urls import reverse

from channels_app import vault
from channels_app.models import AccountState, MerchantAccount, Notification
from fulfillment.models import EndpointState, WebhookEndpoint, WebhookMessage
from orders.models import Order, Payment
from tests.console.conftest import SIGNATURE, page_of
from tests.providers.wechat_side import signed, transaction

ALL_VIEWS = ("orders.view_order",)


class TestStory:
    """Everything about an order stands on one page, oldest first, in plain words."""

    def test_says_in_one_sentence_what_matters(self, busy_shop, staff):
        browser = staff(*ALL_VIEWS)
        assert (
            "Sandbox order, not real money. Paid and delivered."
            in browser.get(page_of(busy_shop.bought)).content.decode()
        )
        assert "Amount differs: needs your decision." in browser.get(page_of(busy_shop.waiting)).content.decode()

    def test_tells_the_timeline_from_beginning_to_end(self, busy_shop, staff):
        text = staff(*ALL_VIEWS).get(page_of(busy_shop.bought)).content.decode()
        lines = [
            "The game server made the order.",
            "Payment opened with wechatpay_native",
            "Paid 6.00 CNY",
            "Goods delivered.",
        ]
        places = [text.index(line) for line in lines]
        assert places == sorted(places)

    def test_shows_attempts_payments_notifications_deliveries_messages_and_cases(self, busy_shop, staff):
        browser = staff(*ALL_VIEWS)
        bought = browser.get(page_of(busy_shop.bought)).content.decode()
        for row in (
            busy_shop.bought.attempts.get(), busy_shop.bought.payments.get(), busy_shop.bought.deliveries.get(),
            Notification.objects.get(attempt_no=busy_shop.bought.order_no),
            WebhookMessage.objects.order_by("pk").first(),
        ):  # fmt: skip
            assert page_of(row) in bought
        assert "Gem × 60 + 6" in bought
        waiting = browser.get(page_of(busy_shop.waiting)).content.decode()
        assert page_of(busy_shop.waiting.cases.get()) in waiting
        assert "0.01 CNY" in waiting

    def test_reads_in_chinese_for_a_chinese_browser(self, busy_shop, staff):
        text = staff(*ALL_VIEWS, language="zh-hans").get(page_of(busy_shop.bought)).content.decode()
        assert "沙盒订单，不是真钱" in text
        assert "已付款，已到账" in text
        assert "Timeline" not in text

    def test_shows_hostile_names_as_text(self, shop, staff):
        order = shop.order("<script>alert(1)</script>")
        text = staff(*ALL_VIEWS).get(page_of(order)).content.decode()
        assert "<script>alert(1)" not in text


@pytest.fixture
def provider(shop):
    """WeChat Pay, for as long as a test runs."""
    asked = []
    words = {"state": None}

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            number = self.path.partition("?")[0].rsplit("/", 1)[1]
            spoilt = {} if words["state"] == "SUCCESS" else {"transaction_id": ..., "success_time": ...}
            body = json.dumps(transaction(number, {"trade_state": words["state"], **spoilt})).encode()
            self.send_response(200 if words["state"] else 500)
            for name, value in signed(body).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    account = MerchantAccount.objects.get(pk=shop.account.pk)
    account.set_credentials({**account.credentials(), "base_url": f"http://127.0.0.1:{server.server_port}"})
    account.save()
    yield SimpleNamespace(asked=asked, words=words)
    server.shutdown()
    server.server_close()


class TestAsking:
    """ "Ask the provider now" asks, says in words what came of it, and is not offered when it is pointless."""

    def act(self, order):
        return page_of(order).replace("/change/", "/act/ask/")

    def test_asks_about_the_open_attempt_and_reports(self, shop, provider, staff):
        order = shop.order()
        shop.attempt(order)
        browser = staff(*ALL_VIEWS, "orders.ask_provider")
        answer = browser.post(self.act(order), follow=True).content.decode()
        assert len([path for path in provider.asked if order.order_no in path]) >= 1
        assert f"{order.order_no}: the provider could not be asked now" in answer
        provider.words["state"] = "NOTPAY"
        answer = browser.post(self.act(order), follow=True).content.decode()
        assert f"{order.order_no}: not paid yet (NOTPAY" in answer
        assert Payment.objects.count() == 0

    def test_settles_what_turns_out_to_be_paid(self, shop, provider, staff):
        order = shop.order()
        shop.attempt(order)
        provider.words["state"] = "SUCCESS"
        browser = staff(*ALL_VIEWS, "orders.ask_provider")
        answer = browser.post(self.act(order), follow=True).content.decode()
        assert f"{order.order_no}: paid. The order is settled." in answer
        order.refresh_from_db()
        assert (order.state, order.delivery_state) == ("paid", "delivered")
        assert Payment.objects.get().source == "query"
        assert order.events.get(kind="paid").actor == "staff staff0"
        assert "there is nothing to ask" in browser.post(self.act(order), follow=True).content.decode()
        assert Payment.objects.count() == 1

    def test_is_disabled_with_the_reason_when_nothing_is_open(self, busy_shop, staff):
        browser = staff(*ALL_VIEWS, "orders.ask_provider")
        assert "there is nothing to ask" in browser.get(page_of(busy_shop.bought)).content.decode()
        unopened = busy_shop.order("player7")
        assert "No payment was opened at a provider" in browser.post(self.act(unopened), follow=True).content.decode()

    def test_needs_its_own_permission(self, shop, provider, staff):
        order = shop.order()
        shop.attempt(order)
        browser = staff(*ALL_VIEWS)
        assert browser.post(self.act(order)).status_code == 403
        assert self.act(order) not in browser.get(page_of(order)).content.decode()
        assert provider.asked == []

    def test_takes_no_get_and_no_foreign_form(self, shop, provider, staff):
        from django.test import Client

        order = shop.order()
        shop.attempt(order)
        browser = staff(*ALL_VIEWS, "orders.ask_provider")
        assert browser.get(self.act(order)).status_code == 405
        strict = Client(enforce_csrf_checks=True)
        strict.cookies = browser.cookies
        assert strict.post(self.act(order)).status_code == 403
        assert provider.asked == []


class TestRawMessages:
    """What a provider sent can be opened by those who may, byte for byte, and opening it is written down."""

    def act(self, notification):
        return page_of(notification).replace("/change/", "/act/raw/")

    def test_shows_headers_and_body_but_only_the_beginning_of_a_signature(self, busy_shop, staff):
        browser = staff("channels_app.view_notification", "channels_app.view_raw_notification")
        notification = Notification.objects.get(attempt_no=busy_shop.bought.order_no)
        text = browser.post(self.act(notification)).content.decode()
        assert "PUB_KEY_ID_1" in text
        assert busy_shop.bought.transaction_id in text
        assert SIGNATURE[:8] + "…" in text
        assert SIGNATURE not in text
        history = browser.get(page_of(notification).replace("/change/", "/history/")).content.decode()
        assert "Opened the raw message" in history

    def test_stay_closed_for_everybody_else(self, busy_shop, staff):
        notification = Notification.objects.get(attempt_no=busy_shop.bought.order_no)
        browser = staff("channels_app.view_notification")
        assert browser.post(self.act(notification)).status_code == 403
        assert "PUB_KEY_ID_1" not in browser.get(page_of(notification)).content.decode()

    def test_that_cannot_be_opened_say_so(self, busy_shop, staff):
        notification = Notification.objects.get(attempt_no=busy_shop.bought.order_no)
        Notification.objects.filter(pk=notification.pk).update(raw_sealed=vault.seal(b"x", at=b"elsewhere"))
        browser = staff("channels_app.view_notification", "channels_app.view_raw_notification")
        assert "cannot be opened" in browser.post(self.act(notification), follow=True).content.decode()


class TestAccounts:
    """An account goes from active over draining to closed, each step confirmed and written down."""

    def act(self, account, to):
        return page_of(account).replace("/change/", f"/act/{to}/")

    def test_says_first_what_will_happen(self, shop, staff):
        browser = staff("channels_app.view_merchantaccount", "channels_app.change_merchantaccount")
        text = browser.get(self.act(shop.account, "draining")).content.decode()
        assert "No new payment is opened through this account" in text
        assert "Methods on channels that stop being offered: 4." in text
        assert MerchantAccount.objects.get().state == AccountState.ACTIVE

    def test_walks_to_the_end_and_not_back(self, shop, staff):
        browser = staff("channels_app.view_merchantaccount", "channels_app.change_merchantaccount")
        walked = []
        for to in ("closed", "draining", "active", "draining", "closed", "active", "draining"):
            browser.post(self.act(shop.account, to))
            walked.append(MerchantAccount.objects.get().state)
        assert walked == ["active", "draining", "active", "draining", "closed", "closed", "closed"]

    def test_needs_its_own_permission(self, shop, staff):
        browser = staff("channels_app.view_merchantaccount")
        assert browser.post(self.act(shop.account, "draining")).status_code == 403
        assert MerchantAccount.objects.get().state == AccountState.ACTIVE


class TestWebhooks:
    """A game server can be paused and resumed, and a message sent again; nothing is ever dropped."""

    def test_pausing_and_resuming(self, busy_shop, staff):
        browser = staff("fulfillment.view_webhookendpoint", "fulfillment.change_webhookendpoint")
        endpoint = WebhookEndpoint.objects.get()
        act = page_of(endpoint).replace("/change/", "/act/{}/")
        waiting = WebhookMessage.objects.filter(state="waiting").count()
        assert waiting == 2
        assert f"Now waiting: {waiting}." in browser.get(act.format("pause")).content.decode()
        browser.post(act.format("pause"))
        assert WebhookEndpoint.objects.get().state == EndpointState.PAUSED
        browser.post(act.format("resume"))
        assert WebhookEndpoint.objects.get().state == EndpointState.ACTIVE
        assert WebhookMessage.objects.filter(state="waiting").count() == waiting

    def test_sending_again_only_moves_the_time(self, busy_shop, staff):
        from datetime import timedelta

        from django.utils import timezone

        browser = staff("fulfillment.view_webhookmessage", "fulfillment.change_webhookmessage")
        later = timezone.now() + timedelta(hours=6)
        WebhookMessage.objects.update(next_attempt_at=later)
        message = WebhookMessage.objects.order_by("pk").first()
        body = message.event.body
        browser.post(page_of(message).replace("/change/", "/act/send/"))
        message.refresh_from_db()
        assert message.next_attempt_at <= timezone.now()
        assert (message.state, message.attempts, message.event.body) == ("waiting", 0, body)
        assert WebhookMessage.objects.filter(next_attempt_at=later).count() == WebhookMessage.objects.count() - 1


class TestHome:
    """The first page says what needs a person, whether goods and game servers keep up, and how today is going."""

    def test_names_cases_troubled_servers_and_todays_figures_apart_by_environment(self, busy_shop, staff):
        browser = staff(
            "orders.view_case", "orders.view_order", "orders.export_orders", "fulfillment.view_delivery",
            "fulfillment.view_webhookendpoint",
        )  # fmt: skip
        text = browser.get("/admin/").content.decode()
        assert "Nothing in production waits for a person." in text
        assert "amount or currency differs" in text
        assert "0.01 CNY" in text
        assert "HTTP 503" in text
        production, sandbox = text.index("Today, production"), text.index("Today, sandbox: not real money")
        assert "No order yet today." in text[production:sandbox]
        assert "6.00 CNY" in text[sandbox:]
        assert "Asia/Shanghai" in text

    def test_keeps_turnover_from_those_who_only_help_players(self, busy_shop, staff):
        text = staff("orders.view_case", "orders.view_order").get("/admin/").content.decode()
        assert "Needs a person" in text
        assert "Today, production" not in text

    def test_its_links_lead_to_the_lists(self, busy_shop, staff):
        browser = staff("orders.view_case", "orders.view_order", "orders.export_orders")
        answer = browser.get(reverse("admin:orders_case_changelist") + "?status=amount_differs")
        assert answer.context["cl"].result_count == 1
        books = f"{busy_shop.game.pk}.sandbox"
        answer = browser.get(reverse("admin:orders_order_changelist") + f"?books={books}&period=today")
        assert answer.context["cl"].result_count == 2
        assert Order.objects.count() == 2
