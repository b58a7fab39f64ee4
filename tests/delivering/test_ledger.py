"""What was bought is on the player's account, line by line, with a record that nobody can change."""

import uuid
from urllib.parse import quote

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models import Sum
from django.utils import timezone

from fulfillment.catalogue import load_catalogue
from fulfillment.models import Balance, Delivery, DeliveryLine, Item, LedgerEntry, Player
from orders.models import Order
from tests.buying import attempt_at, get, make_order, settle
from tests.effects import ONE_PURCHASE, effects

pytestmark = pytest.mark.django_db


def refused(sql: str, *parameters: object, by: str) -> None:
    """The database itself says no."""
    with connection.cursor() as cursor:
        # A test is one transaction; what its constraints still have to check would refuse TRUNCATE first.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        with pytest.raises(DatabaseError, match=by), transaction.atomic():
            cursor.execute(sql, parameters)


def buy(client, api_key, account, **about) -> Order:
    """Order and pay."""
    order = make_order(client, api_key, **about)
    settle(attempt_at(order, account))
    return order


class TestAPurchase:
    """Puts exactly the promised lines on the player's account, paid and free apart."""

    def test_delivers_the_frozen_lines(self, order, attempt):
        settle(attempt)
        assert effects() == ONE_PURCHASE
        entry = LedgerEntry.objects.get(account="player")
        assert (entry.item.item_id, entry.paid, entry.free, entry.paid_after, entry.free_after) == (
            "gem",
            60,
            6,
            60,
            6,
        )
        delivery = Delivery.objects.get()
        assert (delivery.order_no, delivery.state, delivery.mode) == (order.order_no, "delivered", "ledger")

    def test_of_several_delivers_every_line_several_times(self, client, game, channel, api_key, wechat_account):
        document = {
            "items": [{"item_id": "ticket", "name": "Ticket"}],
            "products": [
                {
                    "product_id": "pack", "name": "Pack", "prices": [{"currency": "CNY", "amount": 100}],
                    "grants": [{"item_id": "gem", "quantity": 5}, {"item_id": "ticket", "quantity": 0, "bonus": 1}],
                }
            ],
        }  # fmt: skip
        load_catalogue(game=game, document=document)
        buy(client, api_key, wechat_account, product_id="pack", quantity=3)
        balances = Balance.objects.values_list("item__item_id", "paid", "free").order_by("item__item_id")
        assert list(balances) == [("gem", 15, 0), ("ticket", 0, 3)]

    def test_is_not_changed_by_what_happens_to_the_product(self, client, game, api_key, order, attempt):
        load_catalogue(
            game=game,
            document={
                "items": [{"item_id": "gem", "name": "Jewel", "kind": "item"}, {"item_id": "dust", "name": "Dust"}],
                "products": [
                    {
                        "product_id": "gems60", "name": "Dust", "prices": [{"currency": "CNY", "amount": 1}],
                        "grants": [{"item_id": "dust", "quantity": 1}],
                    }
                ],
            },
        )  # fmt: skip
        settle(attempt)
        line = DeliveryLine.objects.get()
        assert (line.item.item_id, line.quantity, line.bonus) == ("gem", 60, 6)
        assert list(Balance.objects.values_list("item__item_id", "paid", "free")) == [("gem", 60, 6)]
        told = get(client, f"orders/{order.order_no}", bearer=api_key).json()
        assert told["items"] == [{"item_id": "gem", "name": "Gem", "quantity": 60, "bonus": 6}]

    def test_adds_up_with_all_others(self, client, channel, api_key, wechat_account):
        for uid in ("a", "a", "b"):
            buy(client, api_key, wechat_account, uid=uid)
        assert list(Balance.objects.order_by("player__uid").values_list("player__uid", "paid", "free")) == [
            ("a", 120, 12), ("b", 60, 6),
        ]  # fmt: skip
        for balance in Balance.objects.all():
            entries = LedgerEntry.objects.filter(player=balance.player, item=balance.item)
            assert entries.aggregate(paid=Sum("paid"), free=Sum("free")) == {
                "paid": balance.paid,
                "free": balance.free,
            }
        assert LedgerEntry.objects.aggregate(paid=Sum("paid"), free=Sum("free")) == {"paid": 0, "free": 0}


class TestTheLedger:
    """Only ever grows; balances move with it and in no other way. The database sees to it, not Python."""

    @pytest.fixture(autouse=True)
    def _a_purchase(self, attempt):
        settle(attempt)

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE fulfillment_ledgerentry SET paid = paid + 1",
            "DELETE FROM fulfillment_ledgerentry",
            "TRUNCATE fulfillment_ledgerentry",
        ],
    )
    def test_is_append_only(self, change):
        refused(change, by="append-only")
        assert LedgerEntry.objects.count() == 2

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE fulfillment_balance SET paid = 1000000",
            "DELETE FROM fulfillment_balance",
            "INSERT INTO fulfillment_balance (player_id, item_id, paid, free)"
            " SELECT player_id, item_id + 1, 1000000, 0 FROM fulfillment_balance",
        ],
    )
    def test_alone_moves_a_balance(self, change):
        refused(change, by="a balance moves only with a ledger entry")
        assert list(Balance.objects.values_list("paid", "free")) == [(60, 6)]

    def entries(self, *rows: tuple[str, int, int]) -> list[LedgerEntry]:
        player, item, transfer = Player.objects.get(), Item.objects.get(), uuid.uuid4()
        return [
            LedgerEntry(
                transfer=transfer, account=account, player=player if account == "player" else None, item=item,
                paid=paid, free=free, reason="purchase", at=timezone.now(),
            )
            for account, paid, free in rows
        ]  # fmt: skip

    @pytest.mark.parametrize(
        "rows",
        [
            [("player", 5, 0)], [("player", 5, 0), ("sold", -4, 0)], [("player", 5, 1), ("sold", -6, 0)],
        ],
    )  # fmt: skip
    def test_takes_no_transfer_that_does_not_sum_to_zero(self, rows):
        with pytest.raises(DatabaseError, match="does not sum to zero"), transaction.atomic():
            LedgerEntry.objects.bulk_create(self.entries(*rows))
        assert (LedgerEntry.objects.count(), Balance.objects.get().paid) == (2, 60)

    def test_never_makes_a_balance_negative(self):
        with pytest.raises(DatabaseError, match="balance_not_negative"), transaction.atomic():
            LedgerEntry.objects.bulk_create(self.entries(("player", -61, 0), ("sold", 61, 0)))
        assert (LedgerEntry.objects.count(), Balance.objects.get().paid) == (2, 60)

    def test_moves_the_balance_with_every_entry(self):
        LedgerEntry.objects.bulk_create(self.entries(("player", 10, 1), ("sold", -10, -1)))
        last = LedgerEntry.objects.filter(account="player").latest("pk")
        balance = Balance.objects.get()
        assert (balance.paid, balance.free, last.paid_after, last.free_after) == (70, 7, 70, 7)

    def test_takes_goods_back_down_to_nothing(self):
        LedgerEntry.objects.bulk_create(self.entries(("player", -60, -6), ("sold", 60, 6)))
        last = LedgerEntry.objects.filter(account="player").latest("pk")
        balance = Balance.objects.get()
        assert (balance.paid, balance.free, last.paid_after, last.free_after) == (0, 0, 0, 0)

    def test_keeps_a_delivery_from_being_deleted_or_turned_back(self):
        refused("DELETE FROM fulfillment_delivery", by="pgtrigger|delete")
        refused(
            "UPDATE fulfillment_delivery SET state = 'pending', delivered_at = NULL",
            by="pgtrigger|transition",
        )
        assert Delivery.objects.get().state == "delivered"

    def test_has_one_live_delivery_per_order(self):
        refused(
            "INSERT INTO fulfillment_delivery SELECT (gen_random_uuid()), order_no, zone_id, role_id, mode, state,"
            " receipt, created_at, delivered_at, order_id, player_id FROM fulfillment_delivery",
            by="delivery_one_live_per_order",
        )
        assert Delivery.objects.count() == 1


class TestWhatAPlayerOwns:
    """Is told to the game server: balances, and the ledger that explains them."""

    def test_is_told_with_paid_and_free_apart(self, client, api_key, attempt):
        settle(attempt)
        assert get(client, "players/10086/balances", bearer=api_key).json() == {
            "next": None,
            "previous": None,
            "results": [{"item_id": "gem", "name": "Gem", "kind": "currency", "paid": 60, "free": 6, "quantity": 66}],
        }

    def test_is_explained_entry_by_entry_newest_first(self, client, channel, api_key, wechat_account):
        orders = [buy(client, api_key, wechat_account) for _ in range(3)]
        rows = get(client, "players/10086/ledger", bearer=api_key).json()["results"]
        assert [row["order_no"] for row in rows] == [order.order_no for order in reversed(orders)]
        assert [(row["quantity"], row["paid"], row["free"], row["quantity_after"]) for row in rows] == [
            (66, 60, 6, 198), (66, 60, 6, 132), (66, 60, 6, 66),
        ]  # fmt: skip
        assert {row["delivery_id"] for row in rows} == {str(pk) for pk in Delivery.objects.values_list("pk", flat=True)}

    def test_is_paged_without_loss_both_ways(self, client, channel, api_key, wechat_account):
        for _ in range(5):
            buy(client, api_key, wechat_account)
        whole = [row["id"] for row in get(client, "players/10086/ledger", bearer=api_key).json()["results"]]
        pages, address = [], "players/10086/ledger?limit=2"
        while address:
            page = get(client, address, bearer=api_key).json()
            pages.append(page)
            address = page["next"] and page["next"].partition("/api/v1/")[2]
        assert [[row["id"] for row in page["results"]] for page in pages] == [
            whole[:2],
            whole[2:4],
            whole[4:],
        ]
        back = get(client, pages[2]["previous"].partition("/api/v1/")[2], bearer=api_key).json()
        assert back["results"] == pages[1]["results"]

    @pytest.mark.parametrize("what", ["balances", "ledger", "deliveries"])
    def test_of_nobody_is_nothing(self, client, api_key, what):
        answer = get(client, f"players/nobody/{what}", bearer=api_key)
        assert (answer.status_code, answer.json()) == (200, {"next": None, "previous": None, "results": []})

    @pytest.mark.parametrize("uid", ["a/b", "玩家 1", "a%2Fb", "..", "balances"])
    def test_is_found_whatever_the_game_calls_its_players(self, client, channel, api_key, wechat_account, uid):
        buy(client, api_key, wechat_account, uid=uid)
        rows = get(client, f"players/{quote(uid, safe='')}/balances", bearer=api_key).json()["results"]
        assert [row["paid"] for row in rows] == [60]

    @pytest.mark.parametrize("what", ["balances", "ledger", "deliveries"])
    def test_is_not_told_to_a_question_that_does_not_exist(self, client, api_key, what):
        answer = get(client, f"players/10086/{what}?item=gem&stat=x", bearer=api_key)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
        assert [error["field"] for error in answer.json()["errors"]] == ["item", "stat"]
