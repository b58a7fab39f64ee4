"""Loading a catalogue file: a game's items and products, with prices and what they grant.

Loading the same file again changes nothing. A product in the file is described whole: a price or grant that
the file no longer has is taken off it, and reported. What the file does not name stays as it is, and is
reported too.
Orders that were made keep the price and contents they were made with.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.db import transaction

from channels_app.models import Channel
from channels_app.providers import METHODS
from fulfillment.models import Item, ItemKind, ProductGrant
from orders.models import Game, Product, ProductPrice
from orders.ordering import MOST_MINOR
from orders.parsing import Fields
from orders.problems import Problem

_TEXT = re.compile(r"[^\x00-\x1f\x7f]+")
_CURRENCY = re.compile(r"[A-Z]{3}")
# Times the largest quantity of an order it still fits a bigint.
_MOST_GRANTED = 10**12
# Methods that sell a product under a name which the store gave it.
STORES = tuple(code for code, method in METHODS.items() if method.sells_products)
_T = TypeVar("_T")


class CatalogueRefused(Exception):
    """The document does not hold; nothing was loaded. `faults` name the places."""

    def __init__(self, faults: Sequence[str]) -> None:
        """`faults`: sentences like "products[2].prices[0].amount: is required"."""
        super().__init__("\n".join(faults))
        self.faults = list(faults)


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that loading changes, or (`untouched`) finds but does not name."""

    action: str  # add, change, remove, untouched
    what: str  # item, product, price, grant
    key: str
    detail: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.action, self.what, self.key, self.detail) if part)


# --- the document -------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Item:
    item_id: str
    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class _Product:
    product_id: str
    name: str
    store_ids: Mapping[str, str]
    prices: Mapping[tuple[str, str], int]  # (currency, channel or "") -> minor units
    grants: Mapping[str, tuple[int, int]]  # item -> (quantity, bonus)


@dataclass(slots=True)
class _Reader:
    """Reads the document, remembering every fault with its place."""

    faults: list[str] = field(default_factory=list)

    def fault(self, place: str, detail: str) -> None:
        """Remember one."""
        self.faults.append(f"{place}: {detail}")

    def refuse_faults(self) -> None:
        """Raises CatalogueRefused when there are any."""
        if self.faults:
            raise CatalogueRefused(self.faults)

    def rows(self, place: str, value: object, read: Callable[[str, Mapping[str, Any]], _T]) -> list[_T]:
        """Read a list of objects, each by `read`."""
        if not isinstance(value, list):
            self.fault(place, "must be a list")
            return []
        found = []
        for number, row in enumerate(value):
            if isinstance(row, dict):
                found.append(read(f"{place}[{number}]", row))
            else:
                self.fault(f"{place}[{number}]", "must be an object")
        return found

    def done(self, place: str, fields: Fields) -> None:
        """Note what is wrong with one object's own fields."""
        try:
            fields.done()
        except Problem as problem:
            for error in problem.errors:
                self.fault(f"{place}.{error['field']}" if place else error["field"], error["detail"])

    def once(self, place: str, keys: Iterable[object]) -> None:
        """Note keys that appear twice."""
        seen: set[object] = set()
        for key in keys:
            if key in seen:
                self.fault(place, f"{key!r} appears twice")
            seen.add(key)

    def document(self, document: Mapping[str, Any]) -> tuple[list[_Item], list[_Product]]:
        """The whole file."""
        rest = dict(document)
        items = self.rows("items", rest.pop("items", []), self.item)
        products = self.rows("products", rest.pop("products", []), self.product)
        self.done("", Fields(rest))
        self.once("items", (item.item_id for item in items))
        self.once("products", (product.product_id for product in products))
        return items, products

    def item(self, place: str, row: Mapping[str, Any]) -> _Item:
        """One item."""
        fields = Fields({"kind": ItemKind.ITEM.value, **row})
        item = _Item(
            item_id=fields.text("item_id", most=64, pattern=_TEXT),
            name=fields.text("name", most=100, pattern=_TEXT),
            kind=fields.choice("kind", ItemKind.values),
        )
        self.done(place, fields)
        return item

    def product(self, place: str, row: Mapping[str, Any]) -> _Product:
        """One product with its prices and grants."""
        rest = dict(row)
        prices = self.rows(f"{place}.prices", rest.pop("prices", None), self.price)
        grants = self.rows(f"{place}.grants", rest.pop("grants", None), self.grant)
        stores = rest.pop("store_ids", {})
        fields = Fields(rest)
        product_id = fields.text("product_id", most=64, pattern=_TEXT)
        name = fields.text("name", most=100, pattern=_TEXT)
        self.done(place, fields)
        self.once(f"{place}.prices", (key for key, _ in prices))
        self.once(f"{place}.grants", (key for key, _ in grants))
        return _Product(product_id, name, self.stores(f"{place}.store_ids", stores), dict(prices), dict(grants))

    def stores(self, place: str, value: object) -> Mapping[str, str]:
        """The product's names in app stores."""
        if not isinstance(value, dict):
            self.fault(place, "must be an object")
            return {}
        fields = Fields(value)
        names = {store: fields.text(store, most=100, default="", pattern=_TEXT) for store in STORES}
        self.done(place, fields)
        return {store: name for store, name in names.items() if name}

    def price(self, place: str, row: Mapping[str, Any]) -> tuple[tuple[str, str], int]:
        """One price."""
        fields = Fields(row)
        currency = fields.text("currency", most=3, least=3, pattern=_CURRENCY)
        channel = fields.text("channel_id", most=32, default="", pattern=_TEXT)
        amount = fields.integer("amount", least=1, most=MOST_MINOR)
        self.done(place, fields)
        return (currency, channel), amount

    def grant(self, place: str, row: Mapping[str, Any]) -> tuple[str, tuple[int, int]]:
        """One line of what a product gives."""
        fields = Fields(row)
        item_id = fields.text("item_id", most=64, pattern=_TEXT)
        quantity = fields.integer("quantity", least=0, most=_MOST_GRANTED)
        bonus = fields.integer("bonus", least=0, most=_MOST_GRANTED, default=0)
        if quantity == bonus == 0 and row.get("quantity") == 0:
            fields.refuse("quantity", "a grant must give something")
        self.done(place, fields)
        return item_id, (quantity, bonus)


# --- loading ------------------------------------------------------------------------------------------------
def load_catalogue(*, game: Game, document: Mapping[str, Any], dry_run: bool = False) -> list[Change]:
    """Make the game's catalogue what the document says. Returns what changes; with `dry_run` nothing is kept.

    Raises CatalogueRefused naming every faulty place; then nothing was loaded.
    """
    reader = _Reader()
    items, products = reader.document(document)
    # References are looked up in a readable file only: a faulty item would be reported missing everywhere.
    reader.refuse_faults()
    with transaction.atomic():
        # Two loads of one game at once: the second sees what the first has made.
        Game.objects.select_for_update().get(pk=game.pk)
        loader = _Loader(game)
        for number, product in enumerate(products):
            loader.check(reader, f"products[{number}]", product, {item.item_id for item in items})
        reader.refuse_faults()
        loader.load(items, products)
        if dry_run:
            transaction.set_rollback(True)
    return loader.changes


class _Loader:
    def __init__(self, game: Game) -> None:
        self.changes: list[Change] = []
        self._game = game
        self._items = {item.item_id: item for item in Item.objects.filter(game=game)}
        self._products = {product.product_id: product for product in Product.objects.filter(game=game)}
        self._channels = {channel.code: channel for channel in Channel.objects.all()}

    def check(self, reader: _Reader, place: str, product: _Product, new_items: set[str]) -> None:
        """Note references to what does not exist."""
        for _, channel in product.prices:
            if channel and channel not in self._channels:
                reader.fault(f"{place}.prices", f"there is no channel {channel!r} (create_channel makes one)")
        for item_id in product.grants:
            if item_id and item_id not in new_items and item_id not in self._items:
                reader.fault(f"{place}.grants", f"there is no item {item_id!r}")

    def load(self, items: Sequence[_Item], products: Sequence[_Product]) -> None:
        """Write everything that differs."""
        for item in items:
            self._item(item)
        for product in products:
            row = self._product(product)
            self._prices(row, product)
            self._grants(row, product)
        self._report_others("item", self._items, {item.item_id for item in items})
        self._report_others("product", self._products, {product.product_id for product in products})

    def _item(self, wanted: _Item) -> None:
        row = self._items.get(wanted.item_id)
        if row is None:
            self._items[wanted.item_id] = Item.objects.create(
                game=self._game, item_id=wanted.item_id, name=wanted.name, kind=wanted.kind
            )
            self._note("add", "item", wanted.item_id, wanted.name)
        else:
            self._update(row, "item", wanted.item_id, {"name": wanted.name, "kind": wanted.kind})

    def _product(self, wanted: _Product) -> Product:
        row = self._products.get(wanted.product_id)
        about = {"name": wanted.name, "store_ids": dict(wanted.store_ids)}
        if row is None:
            row = Product.objects.create(game=self._game, product_id=wanted.product_id, **about)
            self._products[wanted.product_id] = row
            self._note("add", "product", wanted.product_id, wanted.name)
        else:
            self._update(row, "product", wanted.product_id, about, also=("updated_at",))
        return row

    def _prices(self, product: Product, wanted: _Product) -> None:
        rows = {
            (row.currency, row.channel.code if row.channel else ""): row
            for row in ProductPrice.objects.filter(product=product).select_related("channel")
        }
        for (currency, channel), amount in wanted.prices.items():
            key = _price_key(product, currency, channel)
            row = rows.pop((currency, channel), None)
            if row is None:
                ProductPrice.objects.create(
                    product=product,
                    currency=currency,
                    channel=self._channels.get(channel),
                    amount_minor=amount,
                )
                self._note("add", "price", key, str(amount))
            else:
                self._update(row, "price", key, {"amount_minor": amount})
        for (currency, channel), row in rows.items():
            self._note("remove", "price", _price_key(product, currency, channel), str(row.amount_minor))
            row.delete()

    def _grants(self, product: Product, wanted: _Product) -> None:
        rows = {row.item.item_id: row for row in ProductGrant.objects.filter(product=product).select_related("item")}
        for item_id, (quantity, bonus) in wanted.grants.items():
            key = f"{product.product_id} {item_id}"
            row = rows.pop(item_id, None)
            if row is None:
                ProductGrant.objects.create(product=product, item=self._items[item_id], quantity=quantity, bonus=bonus)
                self._note("add", "grant", key, f"{quantity}+{bonus}")
            else:
                self._update(row, "grant", key, {"quantity": quantity, "bonus": bonus})
        for item_id, row in rows.items():
            self._note("remove", "grant", f"{product.product_id} {item_id}", str(row))
            row.delete()

    def _update(self, row: Any, what: str, key: str, values: Mapping[str, Any], *, also: tuple[str, ...] = ()) -> None:
        differing = {name: value for name, value in values.items() if getattr(row, name) != value}
        if not differing:
            return
        words = ", ".join(f"{name}: {getattr(row, name)} → {value}" for name, value in differing.items())
        for name, value in differing.items():
            setattr(row, name, value)
        row.save(update_fields=(*differing, *also))
        self._note("change", what, key, words)

    def _report_others(self, what: str, known: Iterable[str], named: set[str]) -> None:
        for key in sorted(set(known) - named):
            self._note("untouched", what, key, "not in the file")

    def _note(self, action: str, what: str, key: str, detail: str) -> None:
        self.changes.append(Change(action, what, key, detail))


def _price_key(product: Product, currency: str, channel: str) -> str:
    return f"{product.product_id} {currency}" + (f" on {channel}" if channel else "")
