"""Pages with acts of their own: accounts, game servers, messages to them; and the first page."""

from channels_app.models import AccountState, MerchantAccount
from fulfillment.models import EndpointState, WebhookEndpoint, WebhookMessage
from tests.console.conftest import page_of


class TestAccounts:
    """An account goes from active over draining to closed, each step confirmed and written down."""

    def act(self, account, to):
        return page_of(account).replace("/change/", f"/act/{to}/")

    def test_says_first_what_will_happen(self, shop, staff):
        browser = staff("channels_app.view_merchantaccount", "channels_app.edit_account")
        text = browser.get(self.act(shop.account, "draining")).content.decode()
        assert "No new payment is opened through this account" in text
        assert "Methods on channels that stop being offered: 4." in text
        assert MerchantAccount.objects.get().state == AccountState.ACTIVE

    def test_walks_to_the_end_and_not_back(self, shop, staff):
        browser = staff("channels_app.view_merchantaccount", "channels_app.edit_account")
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
