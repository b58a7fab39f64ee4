"""A catalogue file becomes the game's catalogue: the whole file or nothing, and nothing silently."""

import copy
import json

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from fulfillment.catalogue import CatalogueRefused, load_catalogue
from fulfillment.models import Item, ProductGrant
from orders.models import Game, Product, ProductPrice
from tests.buying import get, make_order
from tests.races.at_once import at_once

CATALOGUE = {
    "items": [{"item_id": "gem", "name": "钻石", "kind": "currency"}, {"item_id": "ticket", "name": "召唤券"}],
    "products": [
        {
            "product_id": "gems60",
            "name": "60 钻石",
            "prices": [
                {"currency": "CNY", "amount": 600},
                {"currency": "CNY", "amount": 550, "channel_id": "official"},
            ],
            "grants": [{"item_id": "gem", "quantity": 60, "bonus": 6}, {"item_id": "ticket", "quantity": 1}],
            "store_ids": {"apple_iap": "com.game.gems60"},
        }
    ],
}


def changed(path: str, value: object) -> dict:
    """The catalogue with one place changed: "products.0.name"."""
    document = copy.deepcopy(CATALOGUE)
    place = document
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in way:
        place = place[step]
    place[last] = value
    return document


def rows() -> tuple[int, ...]:
    return tuple(model.objects.count() for model in (Item, Product, ProductPrice, ProductGrant))


@pytest.fixture
def empty(channel):
    """A game without a catalogue."""
    return Game.objects.create(code="new", name="New")


@pytest.mark.django_db
class TestLoading:
    """Makes the catalogue what the file says, and tells every change."""

    def test_makes_items_products_prices_and_grants(self, empty):
        changes = [str(change) for change in load_catalogue(game=empty, document=CATALOGUE)]
        assert changes == [
            "add item gem 钻石", "add item ticket 召唤券", "add product gems60 60 钻石", "add price gems60 CNY 600",
            "add price gems60 CNY on official 550", "add grant gems60 gem 60+6", "add grant gems60 ticket 1+0",
        ]  # fmt: skip
        assert rows() == (2, 1, 2, 2)
        assert Item.objects.get(item_id="ticket").kind == "item"
        assert Product.objects.get().store_ids == {"apple_iap": "com.game.gems60"}

    def test_twice_changes_nothing(self, empty):
        load_catalogue(game=empty, document=CATALOGUE)
        assert load_catalogue(game=empty, document=CATALOGUE) == []
        assert rows() == (2, 1, 2, 2)

    @pytest.mark.parametrize(
        ("path", "value", "told"),
        [
            ("items.0.name", "Gem", "change item gem name: 钻石 → Gem"),
            ("products.0.name", "x", "change product gems60 name: 60 钻石 → x"),
            ("products.0.prices.0.amount", 700, "change price gems60 CNY amount_minor: 600 → 700"),
            ("products.0.grants.0.bonus", 0, "change grant gems60 gem bonus: 6 → 0"),
            ("products.0.prices", CATALOGUE["products"][0]["prices"][:1], "remove price gems60 CNY on official 550"),
            ("products.0.grants", CATALOGUE["products"][0]["grants"][:1], "remove grant gems60 ticket 1+0"),
            (
                "products.0.store_ids", {},
                "change product gems60 store_ids: {'apple_iap': 'com.game.gems60'} → {}",
            ),
        ],
    )  # fmt: skip
    def test_changes_what_differs_and_nothing_else(self, empty, path, value, told):
        load_catalogue(game=empty, document=CATALOGUE)
        document = changed(path, value)
        assert [str(change) for change in load_catalogue(game=empty, document=document)] == [told]
        assert load_catalogue(game=empty, document=document) == []

    def test_leaves_what_the_file_does_not_name_and_says_so(self, empty):
        load_catalogue(game=empty, document=CATALOGUE)
        changes = load_catalogue(game=empty, document={"items": [], "products": []})
        assert [str(change) for change in changes] == [
            "untouched item gem not in the file", "untouched item ticket not in the file",
            "untouched product gems60 not in the file",
        ]  # fmt: skip
        assert rows() == (2, 1, 2, 2)

    def test_does_not_touch_another_game(self, game, empty):
        load_catalogue(game=empty, document=CATALOGUE)
        assert ProductGrant.objects.get(product__game=game).quantity == 60
        assert Item.objects.get(game=game).name == "Gem"

    def test_shows_and_changes_nothing_on_a_dry_run(self, empty):
        changes = load_catalogue(game=empty, document=CATALOGUE, dry_run=True)
        assert (len(changes), rows()) == (7, (0, 0, 0, 0))

    def test_is_what_orders_are_made_from_at_once(self, client, game, channel, api_key):
        load_catalogue(game=game, document=CATALOGUE)
        order = make_order(client, api_key)
        assert (order.amount_minor, [line["quantity"] for line in order.contents]) == (550, [60, 1])
        (product,) = get(client, "products?channel_id=official", bearer=api_key).json()["results"]
        assert product["prices"] == [{"currency": "CNY", "amount": 550}]


@pytest.mark.django_db
class TestAFaultyFile:
    """Is refused whole, with every faulty place named."""

    @pytest.mark.parametrize(
        ("path", "value", "fault"),
        [
            ("prices", [], "prices: there is no such field"),
            ("items", {}, "items: must be a list"),
            ("items.0", "gem", "items[0]: must be an object"),
            ("items.0.item_id", "", "items[0].item_id: must have 1 to 64 characters"),
            ("items.0.name", 5, "items[0].name: must be a string"),
            ("items.0.kind", "money", "items[0].kind: must be one of: currency, item"),
            ("items.1.item_id", "gem", "items: 'gem' appears twice"),
            ("items.0.colour", "red", "items[0].colour: there is no such field"),
            ("products.0.product_id", "a\nb", "products[0].product_id: has a character or form that is not allowed"),
            ("products.0.prices", 5, "products[0].prices: must be a list"),
            ("products.0.prices.0.amount", "600", "products[0].prices[0].amount: must be a whole number"),
            ("products.0.prices.0.amount", 6.0, "products[0].prices[0].amount: must be a whole number"),
            ("products.0.prices.0.amount", True, "products[0].prices[0].amount: must be a whole number"),
            ("products.0.prices.0.amount", 0, "products[0].prices[0].amount: must be from 1 to 10000000000"),
            ("products.0.prices.0.currency", "cny", "products[0].prices[0].currency: has a character or form"),
            ("products.0.prices.1.channel_id", "moon", "products[0].prices: there is no channel 'moon'"),
            ("products.0.prices.0.channel_id", "official", "products[0].prices: ('CNY', 'official') appears twice"),
            ("products.0.grants.0.item_id", "gold", "products[0].grants: there is no item 'gold'"),
            ("products.0.grants.1.item_id", "gem", "products[0].grants: 'gem' appears twice"),
            ("products.0.grants.1.quantity", 0, "products[0].grants[1].quantity: a grant must give something"),
            ("products.0.grants.0.quantity", -1, "products[0].grants[0].quantity: must be from 0 to"),
            ("products.0.store_ids", {"steam": "x"}, "products[0].store_ids.steam: there is no such field"),
        ],
    )
    def test_loads_nothing(self, empty, path, value, fault):
        with pytest.raises(CatalogueRefused) as refused:
            load_catalogue(game=empty, document=changed(path, value))
        (told,) = refused.value.faults
        assert told.startswith(fault)
        assert rows() == (0, 0, 0, 0)

    def test_is_told_all_its_faults_at_once(self, empty):
        document = changed("items.0.kind", "money")
        document["products"][0]["prices"][0]["amount"] = -1
        document["products"].append({"name": "no id"})
        with pytest.raises(CatalogueRefused) as refused:
            load_catalogue(game=empty, document=document)
        assert refused.value.faults == [
            "items[0].kind: must be one of: currency, item",
            "products[0].prices[0].amount: must be from 1 to 10000000000",
            "products[1].prices: must be a list",
            "products[1].grants: must be a list",
            "products[1].product_id: is required",
        ]


@pytest.mark.django_db
class TestTheCommand:
    """`manage.py load_catalogue GAME FILE.json`."""

    @pytest.fixture
    def file(self, tmp_path):
        path = tmp_path / "catalogue.json"
        path.write_text(json.dumps(CATALOGUE), encoding="utf-8")
        return path

    def test_shows_what_it_changed(self, empty, file, capsys):
        call_command("load_catalogue", "new", str(file))
        assert "add grant gems60 gem 60+6" in capsys.readouterr().out
        assert rows() == (2, 1, 2, 2)

    def test_answers_a_machine(self, empty, file, capsys):
        call_command("load_catalogue", "new", str(file), "--dry-run", "--json")
        answer = json.loads(capsys.readouterr().out)
        assert (answer["game"], answer["dry_run"], len(answer["changes"]), rows()) == ("new", True, 7, (0, 0, 0, 0))

    @pytest.mark.parametrize("text", ["", "[]", '{"items": [], "items": []}', "nonsense", '{"items": {}}'])
    def test_refuses_a_file_that_is_none(self, empty, file, text):
        file.write_text(text)
        with pytest.raises(CommandError):
            call_command("load_catalogue", "new", str(file))

    def test_refuses_an_unknown_game_or_file(self, empty, file, tmp_path):
        for game, path in (("none", file), ("new", tmp_path / "none.json")):
            with pytest.raises(CommandError, match=r"there is no game|cannot be read"):
                call_command("load_catalogue", game, str(path))


@pytest.mark.django_db(transaction=True)
class TestTwoAtOnce:
    """Two people load at the same moment: one catalogue comes out."""

    def test_make_one_catalogue(self, empty):
        told = at_once([lambda: load_catalogue(game=empty, document=CATALOGUE)] * 4)
        assert sorted(map(len, told)) == [0, 0, 0, 7]
        assert rows() == (2, 1, 2, 2)
