"""Cells of lists: short forms of what a page says whole. The whole is always in the title or in the copy button."""

from datetime import datetime

from django.db.models import Model
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from channels_app.console.words import clock, copy_button, copyable, link, mark, money, number
from channels_app.models import Environment

_TAIL = 6
_LONG = 40


def when(at: datetime | None) -> SafeString:
    """A moment: the time alone today, the day and the minute before."""
    if at is None:
        return SafeString("")
    local = timezone.localtime(at)
    today = timezone.localdate()
    shown = "%H:%M:%S" if local.date() == today else "%m-%d %H:%M" if local.year == today.year else "%Y-%m-%d %H:%M"
    return format_html('<time datetime="{}" title="{}">{}</time>', local.isoformat(), clock(at), local.strftime(shown))


def tail(text: str, row: Model | None = None) -> SafeString:
    """The end of a long number, leading to its row where there is one; the copy button has all of it."""
    shown = text if len(text) <= _TAIL + 2 else f"…{text[-_TAIL:]}"
    if row is None:
        return copyable(text, shown)
    return format_html("{}{}", link(row, number(shown)), copy_button(text)) if text else SafeString("")


def shortened(text: str) -> SafeString:
    """Beginning and end of a very long number (a purchase token); the copy button has all of it."""
    return copyable(text, text if len(text) <= _LONG else f"{text[: _LONG // 2]}…{text[-_TAIL:]}")


def yuan(amount_minor: int | None, currency: str) -> str:
    """An amount in a column headed "(yuan)": no sign for yuan, the code behind any other currency."""
    return money(amount_minor, currency).removesuffix(" CNY")


def with_sandbox(cell: object, environment: str) -> object:
    """A cell, marked where it is play money."""
    if environment != Environment.SANDBOX:
        return cell
    return format_html("{} {}", cell, mark(Environment.SANDBOX.label, "sandbox"))
