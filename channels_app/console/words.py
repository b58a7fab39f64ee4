"""How the console says things: money, states, numbers, links; and columns made of them."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db.models import Model
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from channels_app.models import Environment
from channels_app.money import NO_CURRENCY, WITHOUT_DECIMALS

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise  # what gettext_lazy returns, by the name of its type only


def money(amount_minor: int | None, currency: str) -> str:
    """600, "CNY" → "6.00 CNY", with thousands separators."""
    if amount_minor is None:
        return ""
    if currency == NO_CURRENCY:  # a store did not say what was charged
        return _("untold amount")
    if currency in WITHOUT_DECIMALS:
        return f"{amount_minor:,} {currency}"
    sign = "−" if amount_minor < 0 else ""
    return f"{sign}{abs(amount_minor) // 100:,}.{abs(amount_minor) % 100:02d} {currency}"


# How people write an amount in a sentence. Currencies that are not here keep their code behind the figure.
_SIGNS = {"CNY": "¥", "USD": "$", "EUR": "€", "GBP": "£", "HKD": "HK$", "TWD": "NT$"}


def money_in_prose(amount_minor: int, currency: str) -> str:
    """3000, "CNY" → "¥30.00": money inside a sentence."""
    if currency not in _SIGNS:
        return money(amount_minor, currency)
    figure = money(abs(amount_minor), currency).removesuffix(f" {currency}")
    return f"{'−' if amount_minor < 0 else ''}{_SIGNS[currency]}{figure}"


def mark(label: object, tone: str) -> SafeString:
    """A state: a shape and its word. Tones: done, working, decide, quiet, sandbox (see console.css)."""
    return format_html('<span class="mark mark-{}">{}</span>', tone, label)


def number(text: object) -> SafeString:
    """An order number, transaction or id: monospace, never cut."""
    return format_html('<span class="number">{}</span>', text) if text else SafeString("")


def copy_button(text: object) -> SafeString:
    """A small button that copies `text` (console.js); nothing without a clipboard."""
    return format_html(
        '<button type="button" class="copy icon" data-copy="{}" aria-label="{}" data-copied="{}"></button>',
        text,
        _("Copy %(text)s") % {"text": text},
        _("Copied"),
    )


def copyable(text: object, shown: object = None) -> SafeString:
    """A number with its copy button; `shown` may be something shorter, the button copies the whole."""
    return format_html("{}{}", number(text if shown is None else shown), copy_button(text)) if text else SafeString("")


def clock(at: datetime) -> str:
    """A moment on the business clock, where it is part of something longer; alone a page shows it the same way."""
    return timezone.localtime(at).strftime("%Y-%m-%d %H:%M:%S")


def link(row: Model | None, label: object = None) -> SafeString:
    """A link to the console page of a row; empty for no row."""
    if row is None:
        return SafeString("")
    meta = row._meta
    address = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=(quote(row.pk),))
    return format_html('<a href="{}">{}</a>', address, row if label is None else label)


def environment_mark(environment: str) -> object:
    """The environment; sandbox in its own colour."""
    label = Environment(environment).label
    return mark(label, "sandbox") if environment == Environment.SANDBOX else label


def column(heading: "_StrPromise | str", cell: Callable[[Any], object]) -> Any:
    """A column of a list, or a field of a page: its heading, and what `cell` makes of a row."""

    @admin.display(description=heading)
    def shown(model_admin: Any, row: Any) -> object:
        said = cell(row)
        return model_admin.get_empty_value_display() if said in (None, "") else said

    return shown
