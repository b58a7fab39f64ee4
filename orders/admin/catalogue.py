"""What a game sells, and for how much."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.console.filters import ColumnFilter, SwitchFilter
from channels_app.console.pages import Inlines
from channels_app.console.proposing import ProposingAdmin
from orders.models import Game, Product, ProductPrice
from orders.staff import games_of


class PriceForm(forms.ModelForm[ProductPrice]):
    """A price in minor units, in a currency written as ISO 4217 does."""

    class Meta:
        model = ProductPrice
        fields = ("currency", "channel", "amount_minor")

    def clean_currency(self) -> str:
        """Three capital letters."""
        currency: str = self.cleaned_data["currency"].upper()
        if not (len(currency) == 3 and currency.isascii() and currency.isalpha()):
            raise ValidationError(_("Three letters, like CNY."))
        return currency


class PriceInline(admin.TabularInline[ProductPrice, Product]):
    """Prices per currency, and per channel where it differs. A price may go: orders carry their own."""

    model = ProductPrice
    form = PriceForm
    extra = 0
    ordering = ("currency", "channel", "pk")


class GameFilter(ColumnFilter):
    """Of one game, among those this person works for."""

    title = gettext_lazy("game")
    parameter_name = "game"
    column = "game"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """By name."""
        mine = games_of(request.user)
        games = Game.objects.all() if mine is None else Game.objects.filter(pk__in=mine)
        return [(str(pk), name) for pk, name in games.order_by("code").values_list("pk", "name")]


class OnSaleFilter(SwitchFilter):
    """Whether players can buy it."""

    title = gettext_lazy("on sale")
    parameter_name = "on_sale"
    column = "is_active"


@admin.register(Product)
class ProductAdmin(ProposingAdmin[Product]):
    """What a game sells. Changes hold for later orders; made orders keep what they were promised."""

    game_path = "game"
    list_display = ("product_id", "name", "game", "is_active", "updated_at")
    list_filter = (GameFilter, OnSaleFilter)
    list_select_related = ("game",)
    inlines: ClassVar[Inlines] = (PriceInline,)
    search_help_text = gettext_lazy("Product id, exactly.")
    list_note = gettext_lazy(
        "Changes hold for orders made from now on. `manage.py load_catalogue` loads a whole catalogue and"
        " shows what would change."
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Product | None = None) -> tuple[str, ...]:
        """Orders and game servers refer to a product by these."""
        return ("game", "product_id", "created_at", "updated_at") if obj else ("created_at", "updated_at")

    def find(self, term: str) -> list[QuerySet[Product]]:
        """By product id in every game."""
        games = list(Game.objects.order_by("pk").values_list("pk", flat=True))
        return [Product.objects.filter(game__in=games, product_id=term)]
