"""Changes of products as they take two people: a product with its prices and contents as JSON, in words, and done.

What is done is loading a catalogue of that one product (fulfillment.catalogue), so a proposal and a catalogue file
are held to the same rules.
"""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.console.words import money
from channels_app.proposals import Done, Kind, ProposalRefused, register
from fulfillment.catalogue import CatalogueRefused, load_catalogue
from fulfillment.models import ProductGrant
from orders.models import Game, Product

KIND = "product"


def snapshot(product: Product) -> dict[str, Any]:
    """Everything about a product that a form can change."""
    prices = product.prices.select_related("channel").order_by("currency", "channel__code")
    grants = ProductGrant.objects.filter(product=product).select_related("item").order_by("item__item_id")
    return {
        "game": product.game.code,
        "product_id": product.product_id,
        "name": product.name,
        "is_active": product.is_active,
        "store_ids": product.store_ids,
        "prices": [[row.currency, row.channel.code if row.channel else "", row.amount_minor] for row in prices],
        "grants": [[row.item.item_id, row.quantity, row.bonus] for row in grants],
    }


def describe(product: Mapping[str, Any]) -> dict[str, str]:
    """A product in words, a line for everything that can differ."""
    prices = {
        _("price %(where)s") % {"where": f"{currency} {channel}".strip()}: money(amount, currency)
        for currency, channel, amount in product["prices"]
    }
    grants = {
        _("gives %(item)s") % {"item": item}: f"{quantity}" + (f" + {bonus}" if bonus else "")
        for item, quantity, bonus in product["grants"]
    }
    return {
        _("game"): product["game"],
        _("name"): product["name"],
        _("on sale"): _("yes") if product["is_active"] else _("no"),
        **product["store_ids"],
        **prices,
        **grants,
    }


def change_product(payload: Mapping[str, Any], by: object) -> Done:
    """Make the product what was asked for, if it is still what it was then. Raises ProposalRefused."""
    before, after = payload["before"], payload["after"]
    game = Game.objects.select_for_update().get(code=after["game"])
    product = Product.objects.select_for_update().filter(game=game, product_id=after["product_id"]).first()
    if (snapshot(product) if product else {}) != before:
        raise ProposalRefused(_("It has been changed since this was asked for. Look at it and ask again."))
    try:
        load_catalogue(game=game, document={"products": [_document(after)]})
    except CatalogueRefused as refusal:
        raise ProposalRefused(" ".join(refusal.faults)) from refusal
    Product.objects.filter(game=game, product_id=after["product_id"]).exclude(is_active=after["is_active"]).update(
        is_active=after["is_active"]
    )
    return Done(_("%(product)s is changed; orders made from now on follow it.") % {"product": after["product_id"]})


def _document(after: Mapping[str, Any]) -> dict[str, Any]:
    """The product as a catalogue file has it."""
    return {
        "product_id": after["product_id"],
        "name": after["name"],
        "store_ids": after["store_ids"],
        "prices": [
            {"currency": currency, "amount": amount, **({"channel_id": channel} if channel else {})}
            for currency, channel, amount in after["prices"]
        ],
        "grants": [
            {"item_id": item, "quantity": quantity, "bonus": bonus} for item, quantity, bonus in after["grants"]
        ],
    }


register(
    Kind(
        name=KIND,
        label=gettext_lazy("Product, price or contents"),
        permission="orders.edit_product",
        perform=change_product,
    )
)
