"""History stays as it was: nothing on a page, in an address or in a posted form changes it."""

import pytest
from django.contrib import admin
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from channels_app.console.pages import ReadOnlyAdmin
from channels_app.models import MerchantAccount
from fulfillment.models import Item, ProductGrant
from orders.cases import CaseClosed, Decision, ReasonMissing, close_case
from orders.models import ApiKey, Case, Game, Order, Product, ProductPrice
from tests.console.conftest import list_of, page_of
from tests.console.test_browsing import SHOWN

HISTORY = [model for model in SHOWN if isinstance(admin.site.get_model_admin(model), ReadOnlyAdmin)]


def everything():
    """Every row of every read-only table, as text."""
    rows = {}
    with connection.cursor() as cursor:
        for model in HISTORY:
            cursor.execute(f'SELECT t::text FROM "{model._meta.db_table}" t ORDER BY 1')
            rows[model._meta.label] = cursor.fetchall()
    return rows


class TestHistory:
    """Orders, payments, timelines, notifications, deliveries and the ledger cannot be changed here by anybody."""

    def test_covers_money_and_history(self):
        names = {model.__name__ for model in HISTORY}
        assert names >= {
            "Order", "PaymentAttempt", "Payment", "OrderEvent", "Case", "Notification", "RefusedTally", "Player",
            "Delivery", "LedgerEntry", "Balance", "GameEvent", "WebhookMessage", "WebhookAttempt", "MerchantAccount",
            "ApiKey", "WebhookEndpoint",
        }  # fmt: skip

    def test_refuses_a_superuser_who_posts_edits_deletions_and_additions(self, busy_shop, staff):
        browser = staff(superuser=True)
        before = everything()
        for model in HISTORY:
            row = model._default_manager.order_by("-pk").first()
            fields = {field.name: "1" for field in model._meta.concrete_fields}
            page = page_of(row)
            assert browser.post(page, fields).status_code == 403, page
            assert browser.post(page.replace("/change/", "/delete/"), {"post": "yes"}).status_code == 403, page
            # Accounts are made of keys that parse; what does not parse makes none.
            refused = 200 if model is MerchantAccount else 403
            assert browser.post(f"{list_of(model)}add/", fields).status_code == refused, page
            chosen = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
            assert browser.post(list_of(model), chosen).status_code in (200, 302, 403)
        after = everything()
        # That somebody tried is history too.
        assert set(after.pop("channels_app.AuditEntry")) > set(before.pop("channels_app.AuditEntry"))
        assert after == before

    def test_offers_no_save_and_no_delete(self, busy_shop, staff):
        browser = staff(superuser=True)
        for model in HISTORY:
            row = model._default_manager.order_by("-pk").first()
            text = browser.get(page_of(row)).content.decode()
            assert 'name="_save"' not in text
            assert "deletelink" not in text
            assert "submit-row" not in text


class TestCatalogue:
    """The catalogue may be edited by those who may; made orders keep what they were promised."""

    def test_a_price_changes_for_later_orders_only(self, busy_shop, staff):
        browser = staff(
            "orders.view_product", "orders.change_product", "orders.view_productprice", "orders.change_productprice"
        )  # fmt: skip
        product, price = Product.objects.get(), ProductPrice.objects.get()
        form = {
            "name": "60 gems", "is_active": "on", "store_ids": "{}", "prices-TOTAL_FORMS": 1, "prices-INITIAL_FORMS": 1,
            "prices-0-id": price.pk, "prices-0-product": product.pk, "prices-0-currency": "cny",
            "prices-0-amount_minor": 800,
        }  # fmt: skip
        assert browser.post(page_of(product), form).status_code == 302
        price.refresh_from_db()
        assert (price.amount_minor, price.currency) == (800, "CNY")
        assert set(Order.objects.values_list("amount_minor", flat=True)) == {600}
        assert busy_shop.order("later").amount_minor == 800

    def test_a_product_gives_no_other_games_items(self, busy_shop, staff):
        browser = staff(superuser=True)
        other = Game.objects.create(code="other", name="Other")
        foreign = Item.objects.create(game=other, item_id="gold", name="Gold")
        product, price = Product.objects.get(), ProductPrice.objects.get()
        form = {
            "name": "60 gems", "is_active": "on", "store_ids": "{}", "prices-TOTAL_FORMS": 1, "prices-INITIAL_FORMS": 1,
            "prices-0-id": price.pk, "prices-0-product": product.pk, "prices-0-currency": "CNY",
            "prices-0-amount_minor": 600, "grants-TOTAL_FORMS": 1, "grants-INITIAL_FORMS": 0, "grants-0-quantity": 5,
            "grants-0-bonus": 0, "grants-0-product": product.pk, "grants-0-item": foreign.pk,
        }  # fmt: skip
        answer = browser.post(page_of(product), form)
        assert "Select a valid choice." in answer.content.decode()  # it is not even offered
        assert ProductGrant.objects.count() == 1

    def test_a_game_has_a_clock_that_exists(self, busy_shop, staff):
        browser = staff("orders.view_game", "orders.change_game")
        browser.post(page_of(busy_shop.game), {"name": "Demo", "time_zone": "Mars/Olympus", "day_turns_at_hour": 5})
        assert Game.objects.get().time_zone == "Asia/Shanghai"
        browser.post(page_of(busy_shop.game), {"name": "Demo", "time_zone": "Asia/Tokyo", "day_turns_at_hour": 5})
        assert (Game.objects.get().time_zone, Game.objects.get().day_turns_at_hour) == ("Asia/Tokyo", 5)

    def test_its_numbers_never_change(self, busy_shop, staff):
        browser = staff("orders.view_product", "orders.change_product")
        product = Product.objects.get()
        browser.post(page_of(product), {"product_id": "other", "name": "60 gems", "is_active": "on", "store_ids": "{}"})
        product.refresh_from_db()
        assert product.product_id == "gems60"

    def test_is_never_deleted(self, busy_shop, staff):
        browser = staff(superuser=True)
        product = Product.objects.get()
        assert browser.post(page_of(product).replace("/change/", "/delete/"), {"post": "yes"}).status_code == 403
        assert Product.objects.count() == 1


class TestKeys:
    """An API key can be revoked here, once, by those who may; it is never shown again."""

    def test_revoking_asks_first_and_then_holds(self, busy_shop, staff):
        browser = staff("orders.view_apikey", "orders.change_apikey")
        act = page_of(busy_shop.key).replace("/change/", "/act/revoke/")
        assert "for ever" in browser.get(act).content.decode()
        assert ApiKey.objects.get().revoked_at is None
        browser.post(act)
        revoked = ApiKey.objects.get().revoked_at
        assert revoked is not None
        answer = browser.get("/api/v1/products?channel_id=official", HTTP_AUTHORIZATION=f"Bearer {busy_shop.api_key}")
        assert answer.status_code == 401
        browser.post(act)
        assert ApiKey.objects.get().revoked_at == revoked

    def test_needs_its_own_permission(self, busy_shop, staff):
        browser = staff("orders.view_apikey")
        assert browser.post(page_of(busy_shop.key).replace("/change/", "/act/revoke/")).status_code == 403
        assert ApiKey.objects.get().revoked_at is None


def close_twice(case):
    """Two people close one case, one after the other."""
    for reason in (" found the payment ", "no, it was me"):
        close_case(case_id=case.pk, decision=Decision.REFUNDED, reason=reason, by="somebody", now=timezone.now())


class TestCases:
    """A case leaves the queue only with a decision, a typed reason and a name."""

    @pytest.fixture
    def case(self, busy_shop):
        return Case.objects.get()

    @pytest.fixture
    def closer(self, staff):
        return staff("orders.view_case", "orders.close_case")

    def test_open_ones_come_first(self, case, closer):
        closed = Case.objects.create(
            kind="webhook_parked", subject="x", environment="sandbox", opened_at=case.opened_at,
            closed_at=case.opened_at, decision="told", closed_by="somebody",
        )  # fmt: skip
        text = closer.get(list_of(Case)).content.decode()
        assert page_of(case) in text
        assert page_of(closed) not in text
        assert page_of(closed) in closer.get(list_of(Case) + "?status=all").content.decode()

    def test_closing_keeps_who_what_and_why(self, case, closer):
        act = page_of(case).replace("/change/", "/act/close/")
        closer.post(act, {"decision": "refunded", "reason": "gave the fen back at the provider"})
        case.refresh_from_db()
        assert (case.decision, case.closed_by) == ("refunded", "staff0")
        assert case.closed_at is not None
        assert case.note == "gave the fen back at the provider"
        assert "Reason: gave the fen back at the provider" in closer.get(page_of(case)).content.decode()  # the report
        page = closer.get(page_of(case)).content.decode()
        assert page.count("gave the fen back at the provider") == 3  # the case; and what people did to it, and why
        assert "gave the fen back" in closer.get(page_of(case).replace("/change/", "/history/")).content.decode()

    def test_a_reason_and_its_case_stand_or_fall_together(self, case, closer):
        with pytest.raises(CaseClosed):
            close_twice(case)
        case.refresh_from_db()
        assert (case.note, case.decision) == ("found the payment", "refunded")
        for reason in ("", " \n "):
            with pytest.raises(ReasonMissing):
                close_case(case_id=case.pk, decision=Decision.TOLD, reason=reason, by="somebody", now=timezone.now())
        case.refresh_from_db()
        assert case.note == "found the payment"

    def test_nothing_closes_without_a_name(self, case):
        with pytest.raises(IntegrityError, match="case_closed_by_someone"), transaction.atomic():
            Case.objects.filter(pk=case.pk).update(closed_at=timezone.now(), note="a reason alone is not enough")

    def test_what_is_the_matter_stands_there_in_yuan(self, case, closer):
        for address in (page_of(case), list_of(Case)):
            assert "¥0.01 arrived, the order asks ¥6.00." in closer.get(address).content.decode()

    def test_no_reason_no_closing(self, case, closer):
        act = page_of(case).replace("/change/", "/act/close/")
        for reason in ("", "   ", "ok"):
            assert closer.post(act, {"decision": "refunded", "reason": reason}).status_code == 200
        assert closer.post(act, {"decision": "whatever", "reason": "long enough"}).status_code == 200
        case.refresh_from_db()
        assert case.closed_at is None

    def test_is_closed_once(self, case, closer):
        act = page_of(case).replace("/change/", "/act/close/")
        closer.post(act, {"decision": "refunded", "reason": "the first one"})
        closer.post(act, {"decision": "explained", "reason": "the second one"})
        case.refresh_from_db()
        assert case.decision == "refunded"

    def test_needs_its_own_permission(self, case, staff):
        browser = staff("orders.view_case")
        assert (
            browser.post(page_of(case).replace("/change/", "/act/close/"), {"reason": "long enough"}).status_code == 403
        )
        case.refresh_from_db()
        assert case.closed_at is None
