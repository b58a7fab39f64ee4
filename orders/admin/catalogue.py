"""What a game sells, and for how much."""

from typing import ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.console.pages import Inlines
from channels_app.console.proposing import ProposingAdmin
from orders.models import Game, Product, ProductPrice


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


@admin.register(Product)
class ProductAdmin(ProposingAdmin[Product]):
    """What a game sells. Changes hold for later orders; made orders keep what they were promised."""

    game_path = "game"
    list_display = ("product_id", "name", "game", "is_active", "updated_at")
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
