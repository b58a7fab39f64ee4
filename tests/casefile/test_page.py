"""The case file as support opens it: everything about one order on one page, and what may be asked for there."""

import html
import re
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from channels_app.models import AuditEntry, MerchantAccount, Notification
from fulfillment.models import WebhookMessage
from orders.models import AttemptState, Case, CaseKind, Note, Order, Payment
from tests.console.conftest import Shop, page_of

SEES = "orders.view_order"


def read(answer) -> str:
    """What a person reads: no tags, single spaces."""
    body = re.sub(r"(?s)<(script|style).*?</\1>", " ", answer.content.decode())
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", body)))


def whose(browser) -> str:
    """The user name of whoever is logged in."""
    return User.objects.get(pk=browser.session["_auth_user_id"]).username


def act(row, name: str) -> str:
    return page_of(row).replace("/change/", f"/act/{name}/")


@pytest.fixture
def production(game, channel, wechat_account) -> Shop:
    """A shop that sells for real money."""
    MerchantAccount.objects.update(environment="production")
    wechat_account.refresh_from_db()
    return Shop(game, channel, wechat_account, environment="production")


class TestLetter:
    """The page reads as a letter: verdict, acts, player, reply, timeline, evidence."""

    def test_in_the_order_in_which_somebody_asks(self, production, staff):
        text = read(staff(SEES).get(page_of(production.purchase())))
        parts = [
            "Paid and delivered", "Not possible now", "UID", "Reply to the player", "您好，", "Hello, ", "What happened",
            "The game server made the order", "Notes", "Payment attempts", "Money received", "Notifications",
            "Tries at the game server", "Goods ledger", "Summary for a ticket",
        ]  # fmt: skip
        places = [text.index(part) for part in parts]
        assert places == sorted(places)

    def test_the_timeline_goes_from_beginning_to_end_on_two_clocks(self, production, staff):
        text = read(staff(SEES).get(page_of(production.purchase())))
        lines = [
            "The game server made the order: 60 gems, ¥6.00.",
            "The player chose WeChat Pay (QR code).",
            "WeChat Pay: the player paid ¥6.00.",
            "Notification received: the signature is genuine, the amount fits.",
            "Delivered: Gem × 60 + 6.",
        ]
        places = [text.index(line) for line in lines]
        assert places == sorted(places)
        assert "The time of a payment is the provider's clock, all others are ours" in text

    def test_every_row_is_a_link(self, busy_shop, staff):
        browser = staff(SEES)
        bought = browser.get(page_of(busy_shop.bought)).content.decode()
        for row in (
            busy_shop.bought.attempts.get(), busy_shop.bought.payments.get(), busy_shop.bought.deliveries.get(),
            Notification.objects.get(attempt_no=busy_shop.bought.order_no),
            WebhookMessage.objects.order_by("pk").first(),
        ):  # fmt: skip
            assert page_of(row) in bought
        waiting = browser.get(page_of(busy_shop.waiting)).content.decode()
        assert page_of(busy_shop.waiting.cases.get()) in waiting
        assert "Amount differs: needs your decision" in waiting

    def test_sandbox_is_a_band_and_has_no_reply(self, busy_shop, staff):
        text = read(staff(SEES).get(page_of(busy_shop.bought)))
        assert "Sandbox order, not real money" in text
        assert "您好" not in text

    def test_reads_in_chinese(self, production, staff):
        text = read(staff(SEES, language="zh-hans").get(page_of(production.purchase())))
        for words in ("已付款，已到账", "现在不能做", "回复玩家", "经过", "收到的钱", "道具账本", "支付回调"):
            assert words in text
        for words in ("Timeline", "What happened", "Not possible", "Copy", "Notes"):
            assert words not in text.replace("Hello", "")

    def test_repeats_are_one_line(self, production, staff):
        order = production.purchase()
        for _ in range(3):
            production.pay(order.order_no, order.transaction_id, 600)
        lines = [line.moment.words for line in staff(SEES).get(page_of(order)).context["lines"]]
        assert sum("The provider sent the same notification again" in line for line in lines) == 1
        assert "again 3 times; nothing changed." in " ".join(lines)

    def test_shows_hostile_names_as_text(self, production, staff):
        order = production.order("<script>alert(1)</script>")
        assert "<script>alert(1)" not in staff(SEES).get(page_of(order)).content.decode()

    def test_no_figure_of_another_player_or_environment_is_in_the_strip(self, production, staff):
        first = production.purchase("player1", "4200000000000000000000000011")
        production.purchase("player2", "4200000000000000000000000012")
        page = staff(SEES, "orders.view_totals").get(page_of(first))
        assert "¥6.00" in dict(page.context["strip"])["Spent in all"]
        assert dict(page.context["strip"])["Last 30 days"] == "¥6.00"

    def test_without_the_right_to_totals_spends_are_bands(self, production, staff):
        page = staff(SEES).get(page_of(production.purchase()))
        assert dict(page.context["strip"])["Lifetime band"] == "<¥50"
        assert "Spent in all" not in dict(page.context["strip"])

    def test_asks_the_database_no_more_for_a_player_of_many_orders(self, production, staff):
        browser = staff(SEES)
        order = production.purchase()
        browser.get(page_of(order))
        with CaptureQueriesContext(connection) as few:
            browser.get(page_of(order))
        for number in range(12):
            production.purchase(transaction_id=f"42000000000000000000000001{number:02d}")
        with CaptureQueriesContext(connection) as many:
            browser.get(page_of(order))
        assert len(many) <= len(few) + 1


class TestStores:
    """What only stores have stands with the attempt: their product, their name for it, whether they were told."""

    def test_is_shown_where_it_is_filled(self, busy_shop, staff):
        order = busy_shop.bought
        token = "AO-J1OwsomethingVeryLongThatNobodyReads" * 4
        order.attempts.update(
            store_product_id="com.game.gems60", payer="0123456789abcdef0123456789abcdef", handle=token,
            confirmed_at=timezone.now(),
        )  # fmt: skip
        browser = staff(SEES, "orders.view_paymentattempt")
        page = browser.get(page_of(order)).content.decode()
        for said in ("com.game.gems60", f'data-copy="{token}"', "Store told of delivery", "…abcdef"):
            assert said in page, said
        assert f">{token}<" not in page
        own = browser.get(page_of(order.attempts.get())).content.decode()
        assert f'data-copy="{token}"' in own
        assert f">{token}<" not in own

    def test_is_no_column_where_no_store_is(self, busy_shop, staff):
        text = read(staff(SEES).get(page_of(busy_shop.bought)))
        for heading in ("Store product", "Who has to pay", "Provider's name for it", "Store told of delivery"):
            assert heading not in text


class TestSummary:
    """The summary for a ticket is plain text and names no address and no payer."""

    def test_says_what_the_page_says(self, production, staff):
        order = production.purchase()
        Order.objects.filter(pk=order.pk).update(client_ip="203.0.113.77")
        summary = staff(SEES).get(page_of(order)).context["summary"]
        for words in (order.order_no, "Paid and delivered", order.transaction_id, "WeChat Pay", "¥6.00", "role9"):
            assert words in summary
        assert "<" not in summary
        assert "203.0.113" not in summary


class TestPrivacy:
    """What is personal is masked; looking at it takes a right and a reason, and leaves a trace (grid row 4)."""

    def test_the_address_is_masked_until_it_is_revealed_with_a_reason(self, production, staff):
        order = production.purchase()
        Order.objects.filter(pk=order.pk).update(client_ip="203.0.113.77")
        browser = staff(SEES, "orders.reveal_personal")
        assert "203.0.113.x" in read(browser.get(page_of(order)))
        assert "203.0.113.77" not in read(browser.post(act(order, "reveal"), {"reason": ""}))
        assert "203.0.113.77" in read(browser.post(act(order, "reveal"), {"reason": "guardian asked, ticket 7"}))
        entry = AuditEntry.objects.filter(subject_id=str(order.pk)).latest("pk")
        assert (entry.actor, entry.reason) == (whose(browser), "guardian asked, ticket 7")
        assert "203.0.113.77" not in str(entry.detail)
        assert "Looked at personal data." in read(browser.get(page_of(order)))

    def test_others_may_not(self, production, staff):
        order = production.purchase()
        assert staff(SEES).post(act(order, "reveal"), {"reason": "curious"}).status_code == 403
        assert not AuditEntry.objects.filter(subject_id=str(order.pk), detail__act="reveal").exists()


class TestNotes:
    """A note is written once, with name and time, and cannot be changed."""

    def test_stands_on_its_order_only(self, production, staff):
        order, other = production.purchase(), production.order()
        browser = staff(SEES, "orders.add_note")
        browser.post(act(order, "note"), {"text": "Asked for a screenshot"})
        assert "Asked for a screenshot" in read(browser.get(page_of(order)))
        note = Note.objects.get()
        assert (note.author, note.order, note.uid) == (whose(browser), order, "player1")
        assert "about the player" not in read(browser.get(page_of(other)))

    def test_about_the_player_it_stands_on_every_order(self, production, staff):
        order, other = production.purchase(), production.order()
        browser = staff(SEES, "orders.add_note")
        browser.post(act(order, "note"), {"text": "Two accounts on one phone", "about_player": "on"})
        assert "Two accounts on one phone" in read(browser.get(page_of(other)))

    def test_needs_its_permission(self, production, staff):
        order = production.purchase()
        assert staff(SEES).post(act(order, "note"), {"text": "x y"}).status_code == 403
        assert Note.objects.count() == 0


class TestHandingOver:
    """An order is handed to a colleague once, with a reason and the summary."""

    GIVEN = {"why": "refund", "to": "finance", "words": "wants the second payment back"}

    def test_opens_a_case_in_the_colleagues_queue(self, production, staff):
        order = production.purchase()
        browser = staff(SEES, "orders.add_note", "orders.view_case")
        assert "A case is opened for a colleague" in read(browser.get(act(order, "hand_over")))
        browser.post(act(order, "hand_over"), self.GIVEN)
        case = Case.objects.get(kind=CaseKind.HANDED_OVER)
        assert (case.order, case.assignee, case.amount_minor) == (order, "queue:finance", 600)
        assert "wants the second payment back" in case.detail
        note = Note.objects.get()
        assert order.order_no in note.text
        assert "Paid and delivered" in note.text
        text = read(browser.get(page_of(order)))
        assert "Handed over to finance" in text
        assert "Handed over already" in text

    def test_twice_is_refused_and_opens_nothing(self, production, staff):
        order = production.purchase()
        browser = staff(SEES, "orders.add_note")
        for _ in range(2):
            browser.post(act(order, "hand_over"), self.GIVEN)
        assert Case.objects.count() == Note.objects.count() == 1

    def test_without_words_nothing_happens(self, production, staff):
        order = production.purchase()
        staff(SEES, "orders.add_note").post(act(order, "hand_over"), {**self.GIVEN, "words": ""})
        assert Case.objects.count() == 0


class TestReasons:
    """What cannot be done stays on the page with the reason."""

    def test_a_role_that_lacks_a_right_reads_whom_to_ask(self, production, staff):
        order = production.purchase()
        text = read(staff(SEES).get(page_of(order)))
        assert "Ask the provider now: your role may not; hand it over to finance" in text
        assert "Deliver again: your role may not; hand it over to operations" in text
        assert "Confirm by hand: proved already by WeChat Pay" in text
        assert "Give money back: given back by finance" in text

    def test_what_is_delivered_says_why_it_is_not_delivered_again(self, production, staff):
        text = read(staff(SEES, "fulfillment.redeliver").get(page_of(production.purchase())))
        assert "On the player's account since" in text

    def test_an_unpaid_order_says_that_only_a_proof_books(self, production, staff):
        text = read(staff(SEES).get(page_of(production.order())))
        assert "Confirm by hand: only the provider's proof books a payment" in text

    def test_there_are_three_buttons_at_most(self, busy_shop, staff):
        browser = staff(superuser=True)
        for order in (busy_shop.bought, busy_shop.waiting, busy_shop.order("player9")):
            assert len(browser.get(page_of(order)).context["slots"]) <= 3


class TestAsking:
    """ "Ask the provider now" asks, says in words what came of it, and is safe in every state."""

    def test_asks_about_the_open_attempt_and_reports(self, shop, provider, staff):
        order = shop.order()
        shop.attempt(order)
        browser = staff(SEES, "orders.ask_provider")
        answer = read(browser.post(act(order, "ask"), follow=True))
        assert len([path for path in provider.asked if order.order_no in path]) >= 1
        assert "could not be asked about" in answer
        provider.words["state"] = "NOTPAY"
        answer = read(browser.post(act(order, "ask"), follow=True))
        assert f"WeChat Pay says {order.order_no} is not paid yet (NOTPAY)" in answer
        assert "Asked the provider." in answer
        assert Payment.objects.count() == 0

    def test_settles_what_turns_out_to_be_paid_and_asking_again_changes_nothing(self, shop, provider, staff):
        order = shop.order()
        shop.attempt(order)
        provider.words["state"] = "SUCCESS"
        browser = staff(SEES, "orders.ask_provider")
        assert "is booked as paid just now" in read(browser.post(act(order, "ask"), follow=True))
        order.refresh_from_db()
        assert (order.state, order.delivery_state) == ("paid", "delivered")
        assert order.events.get(kind="paid").actor == f"staff {whose(browser)}"
        before = (order.version, order.events.count())
        assert "That was booked before; nothing changed." in read(browser.post(act(order, "ask"), follow=True))
        order.refresh_from_db()
        assert (order.version, order.events.count()) == before
        assert Payment.objects.count() == 1

    def test_finds_money_on_an_attempt_that_is_closed(self, shop, provider, staff):
        order = shop.order()
        attempt = shop.attempt(order)
        now = timezone.now()
        type(attempt).objects.update(state=AttemptState.CLOSED, closed_at=now, next_query_at=None)
        Order.objects.update(state="cancelled", cancel_reason="expired", cancelled_at=now)
        provider.words["state"] = "SUCCESS"
        browser = staff(SEES, "orders.ask_provider")
        text = read(browser.post(act(order, "ask"), follow=True))
        assert "The money is held; a case is open." in text
        assert "Paid after cancel: needs your decision" in text
        assert Payment.objects.get().applied is False

    def test_says_so_when_no_provider_knows_the_order(self, shop, staff):
        text = read(staff(SEES, "orders.ask_provider").post(act(shop.order(), "ask"), follow=True))
        assert "No payment was opened at a provider" in text

    def test_needs_its_own_permission(self, shop, provider, staff):
        order = shop.order()
        shop.attempt(order)
        browser = staff(SEES)
        assert browser.post(act(order, "ask")).status_code == 403
        assert act(order, "ask") not in browser.get(page_of(order)).content.decode()
        assert provider.asked == []

    def test_takes_no_get_and_no_foreign_form(self, shop, provider, staff):
        from django.test import Client

        order = shop.order()
        shop.attempt(order)
        browser = staff(SEES, "orders.ask_provider")
        assert browser.get(act(order, "ask")).status_code == 405
        strict = Client(enforce_csrf_checks=True)
        strict.cookies = browser.cookies
        assert strict.post(act(order, "ask")).status_code == 403
        assert provider.asked == []


class TestCases:
    """A case has a limit, somebody whose turn it is, and one decision."""

    def test_the_queue_says_how_long_who_and_what_is_over(self, busy_shop, staff):
        case = busy_shop.waiting.cases.get()
        browser = staff("orders.view_case", SEES, "orders.list_orders")
        listed = browser.get(reverse("admin:orders_case_changelist"))
        assert "4 h" in read(listed)
        assert "finance" in read(listed)
        assert "over" not in read(listed).split("4 h")[1][:8]
        Case.objects.filter(pk=case.pk).update(opened_at=timezone.now() - timedelta(hours=5))
        listed = browser.get(reverse("admin:orders_case_changelist"))
        assert "4 h over" in read(listed)
        assert "This was due by" in read(browser.get(page_of(case)))

    def test_shows_the_deadline_of_a_bank_and_not_our_own(self, busy_shop, staff):
        due = timezone.now() + timedelta(hours=3)
        dispute = Case.objects.create(
            kind=CaseKind.DISPUTE, subject="dispute:wx1:du_1", environment="sandbox", game=busy_shop.game,
            order=busy_shop.bought, account=busy_shop.account, amount_minor=600, currency="CNY",
            detail="fraudulent: needs_response", opened_at=timezone.now(), due_at=due,
        )  # fmt: skip
        browser = staff("orders.view_case", "orders.view_order", "orders.close_case")
        clock = timezone.localtime(due, ZoneInfo("Asia/Shanghai")).strftime("%H:%M")
        for page in (page_of(dispute), "/admin/orders/case/"):
            assert clock in read(browser.get(page)), page
        assert "The buyer's bank disputes ¥6.00: fraudulent: needs_response" in read(browser.get(page_of(dispute)))

    def test_offers_decisions_that_fit(self, busy_shop, staff):
        browser = staff("orders.view_case", "orders.close_case")
        case = Case.objects.get(closed_at=None)
        assert "the bank decided for us" not in read(browser.get(act(case, "close")))
        browser.post(act(case, "close"), {"decision": "won", "reason": "no bank at all"})
        case.refresh_from_db()
        assert case.closed_at is None

    def test_the_page_shows_the_verdict_on_its_order(self, busy_shop, staff):
        text = read(staff("orders.view_case").get(page_of(busy_shop.waiting.cases.get())))
        assert "Amount differs: needs your decision" in text
        assert "¥0.01 arrived, the order asks ¥6.00." in text

    def test_taken_given_and_closed_once(self, busy_shop, staff):
        case = busy_shop.waiting.cases.get()
        browser = staff("orders.view_case", SEES, "orders.close_case")
        browser.post(act(case, "take"))
        case.refresh_from_db()
        assert case.assignee == whose(browser)
        browser.post(act(case, "give"), {"to": "queue:x", "reason": "who else"})
        case.refresh_from_db()
        assert case.assignee == whose(browser)
        browser.post(act(case, "give"), {"to": "operations", "reason": "their turn"})
        case.refresh_from_db()
        assert case.assignee == "queue:operations"
        for decision in ("explained", "delivered"):
            browser.post(act(case, "close"), {"decision": decision, "reason": "one fen was a test"})
        case.refresh_from_db()
        assert (case.decision, case.closed_by) == ("explained", whose(browser))
        assert "Waiting for the player to pay" not in read(browser.get(page_of(busy_shop.waiting)))
        assert "explained, nothing to do" in read(browser.get(page_of(busy_shop.waiting)))

    def test_needs_the_permission(self, busy_shop, staff):
        case = busy_shop.waiting.cases.get()
        browser = staff("orders.view_case", SEES)
        for name in ("take", "give", "close"):
            assert browser.post(act(case, name)).status_code == 403
        assert "Your role may read cases, and not decide them." in read(browser.get(page_of(case)))
