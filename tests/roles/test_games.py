"""Staff who work for some games see those games and no others: on lists, pages, in searches and by acts."""

import pytest
from django.contrib import admin
from django.utils import timezone

from channels_app.console.pages import ConsoleAdmin
from channels_app.models import AuditEntry, Channel, MerchantAccount, Notification, RefusedTally
from fulfillment.catalogue import load_catalogue
from fulfillment.models import (
    Balance,
    Delivery,
    DeliveryPolicy,
    GameEvent,
    Item,
    LedgerEntry,
    Player,
    WebhookAttempt,
    WebhookEndpoint,
    WebhookMessage,
)
from orders.authentication import new_api_key
from orders.models import ApiKey, Case, Game, Order, OrderEvent, Payment, PaymentAttempt, Product, Reviewer
from orders.staff import games_of
from tests.console.conftest import Shop, list_of, page_of

# How the rows of every table are told apart by game.
OF_GAME = {
    Order: "game", OrderEvent: "order__game", PaymentAttempt: "order__game", Payment: "order__game", Case: "game",
    Product: "game", Game: "pk", ApiKey: "game", Item: "game", Player: "game", Delivery: "player__game",
    LedgerEntry: "item__game", Balance: "player__game", GameEvent: "game", WebhookEndpoint: "game",
    WebhookMessage: "event__game", WebhookAttempt: "message__event__game", Reviewer: "game",
}  # fmt: skip
# Of the whole house: everybody with the permission sees them.
OF_ALL = {Channel, MerchantAccount, RefusedTally}


@pytest.fixture
def other_shop(busy_shop):
    """A second game with the same kinds of rows: a delivered purchase, a case, a webhook that failed."""
    game = Game.objects.create(code="second", name="Second game")
    load_catalogue(
        game=game,
        document={
            "items": [{"item_id": "gold", "name": "Gold", "kind": "currency"}],
            "products": [
                {
                    "product_id": "gems60", "name": "60 gold", "prices": [{"currency": "CNY", "amount": 600}],
                    "grants": [{"item_id": "gold", "quantity": 60}],
                }
            ],
        },
    )  # fmt: skip
    shop = Shop(game, busy_shop.channel, busy_shop.account)
    endpoint = WebhookEndpoint.objects.create(game=game, url="https://second.example/hook", secrets_sealed=b"")
    endpoint.set_secrets(["whsec_" + "QQ=="])
    endpoint.save()
    DeliveryPolicy.objects.create(game=game, mode="ledger")
    Reviewer.objects.create(game=game, uid="reviewer", until=timezone.now(), note="App Review of April")
    new_api_key(game=game, environment="sandbox")
    shop.bought = shop.purchase(uid="stranger", transaction_id="4200000000000000000000000009")
    short = shop.order("stranger2")
    shop.attempt(short)
    shop.pay(short.order_no, "4200000000000000000000000008", 1)
    message = WebhookMessage.objects.filter(endpoint=endpoint).order_by("pk").first()
    WebhookAttempt.objects.create(message=message, at=timezone.now(), duration_ms=1, status=503, answer="no")
    return shop


def rows(model, game):
    """The rows of a game."""
    return model._default_manager.filter(**{OF_GAME[model]: game.pk})


class TestStaffOfOneGame:
    """Somebody who works for one game finds no row of another, whatever they try."""

    def test_every_table_of_a_game_is_tried(self):
        shown = {
            model
            for model, page in admin.site._registry.items()
            if isinstance(page, ConsoleAdmin) and page.game_path not in (None, "")
        }
        assert shown <= set(OF_GAME) | _by_others()
        assert set(OF_GAME) <= set(admin.site._registry)

    def test_lists_hold_their_rows_and_no_others(self, busy_shop, other_shop, person):
        limited = person("admin", games=[busy_shop.game])
        for model in OF_GAME:
            text = limited.get(f"{list_of(model)}{_everything(model)}").content.decode()
            foreign = [row for row in rows(model, other_shop.game) if page_of(row) in text]
            assert foreign == [], model
            assert rows(model, other_shop.game).exists(), model

    def test_pages_of_others_are_not_there(self, busy_shop, other_shop, person):
        limited, free = person("admin", games=[busy_shop.game]), person("admin")
        for model in OF_GAME:
            foreign, own = rows(model, other_shop.game).first(), rows(model, busy_shop.game).first()
            assert limited.get(page_of(foreign)).status_code == 302, model  # "does not exist", and back
            assert limited.get(page_of(foreign).replace("/change/", "/history/")).status_code == 404, model
            assert limited.get(page_of(own)).status_code == 200, model
            assert free.get(page_of(foreign)).status_code == 200, model

    def test_searches_find_nothing_of_others(self, busy_shop, other_shop, person):
        limited, free = person("admin", games=[busy_shop.game]), person("admin")
        found = 0
        for model in OF_GAME:
            term = {Product: "gems60", Item: "gold", Player: "stranger", Balance: "stranger"}.get(
                model, other_shop.bought.order_no
            )
            for who in (limited, free):
                text = who.get(f"{list_of(model)}?q={term}").content.decode()
                seen = [row for row in rows(model, other_shop.game) if page_of(row) in text]
                assert seen == [] or who is free, (model, term)
                found += bool(seen)
        assert found >= 10  # the same searches do find them for somebody who works for all games

    def test_acts_on_others_do_nothing(self, busy_shop, other_shop, person):
        limited = person("admin", games=[busy_shop.game])
        before = [list(model.objects.order_by("pk").values()) for model in (Case, ApiKey, WebhookEndpoint, Order)]
        acted = 0
        for model in OF_GAME:
            page = admin.site.get_model_admin(model)
            for act in page.acts:
                answer = limited.act(rows(model, other_shop.game).first(), act.name, reason="long enough")
                assert answer.status_code == 404, (model, act.name)
                acted += 1
        assert acted >= 8
        after = [list(model.objects.order_by("pk").values()) for model in (Case, ApiKey, WebhookEndpoint, Order)]
        assert after == before

    def test_forms_cannot_move_a_row_into_another_game(self, busy_shop, other_shop, person):
        limited = person("admin", games=[busy_shop.game])
        text = limited.get("/admin/orders/product/add/").content.decode()
        games = text.partition('name="game"')[2].partition("</select>")[0]
        assert f'value="{busy_shop.game.pk}"' in games
        assert f'value="{other_shop.game.pk}"' not in games
        assert "second" not in text.partition("<form")[2]  # its items neither
        posted = {
            "game": other_shop.game.pk, "product_id": "sneaked", "name": "x", "store_ids": "{}", "reason": "why not",
            "prices-TOTAL_FORMS": 0, "prices-INITIAL_FORMS": 0, "grants-TOTAL_FORMS": 0, "grants-INITIAL_FORMS": 0,
        }  # fmt: skip
        assert limited.post("/admin/orders/product/add/", **posted).status_code == 200
        assert not Product.objects.filter(product_id="sneaked").exists()

    def test_the_choice_of_books_names_their_games(self, busy_shop, other_shop, person):
        limited = person("admin", games=[busy_shop.game])
        for model in (Order, Player):
            text = limited.get(f"{list_of(model)}?books={other_shop.game.pk}.sandbox").content.decode()
            assert "Second game" not in text
            assert [row for row in rows(model, other_shop.game) if page_of(row) in text] == []

    def test_notifications_about_their_attempts_are_theirs(self, busy_shop, other_shop, person):
        limited = person("admin", games=[busy_shop.game])
        mine = Notification.objects.get(transaction_id=busy_shop.bought.transaction_id)
        foreign = Notification.objects.get(transaction_id=other_shop.bought.transaction_id)
        text = limited.get(list_of(Notification)).content.decode()
        assert page_of(mine) in text
        assert page_of(foreign) not in text
        assert limited.get(page_of(foreign)).status_code == 302
        assert limited.act(foreign, "raw", reason="long enough").status_code == 404

    def test_what_belongs_to_no_game_is_for_those_who_work_for_all(self, busy_shop, other_shop, person):
        limited = person("admin", games=[busy_shop.game])
        everything = busy_shop.order("lost")
        Case.objects.filter(order=everything).delete()
        lost = Case.objects.create(
            kind="unknown_order", subject="wx1/lost", environment="sandbox", opened_at=timezone.now()
        )
        assert page_of(lost) not in limited.get(list_of(Case)).content.decode()
        assert limited.get(page_of(lost)).status_code == 302
        assert page_of(lost) in person("admin").get(list_of(Case)).content.decode()
        entry = AuditEntry.objects.first()
        assert limited.get(page_of(entry)).status_code == 302


class TestWhoeverIsNotLimited:
    """Nobody named for a game works for all of them, those to come too."""

    def test_sees_all_games(self, busy_shop, other_shop, person):
        free = person("operations")
        assert games_of(free.user) is None
        for shop in (busy_shop, other_shop):
            assert free.get(page_of(shop.bought)).status_code == 200

    def test_two_games_are_two_games(self, busy_shop, other_shop, person):
        third = Game.objects.create(code="third", name="Third")
        both = person("operations", games=[busy_shop.game, other_shop.game])
        assert games_of(both.user) == {busy_shop.game.pk, other_shop.game.pk}
        assert both.get(page_of(other_shop.bought)).status_code == 200
        assert both.get(page_of(third)).status_code == 302


def _everything(model) -> str:
    """The address that leaves nothing out of a list."""
    return "?status=all" if model is Case else ""


def _by_others() -> set:
    """Tables that are tried where they are tested themselves."""
    from orders.models import ExportFile, Job, JobRow, Note

    return {Job, JobRow, ExportFile, Note}
