"""A shop to export from, and files read back."""

import csv
import io
from datetime import datetime

import pytest
from django.db import connection
from django.utils import timezone

from channels_app.models import Environment
from orders.exporting.asking import make_export
from orders.exporting.files import stream
from orders.exporting.profiles import Format, Profile
from orders.exporting.reports import ORDERS
from orders.models import EventKind, Order
from orders.timeline import record
from tests.console.conftest import Shop, shop  # noqa: F401  # the fixture

PLAY = Environment.SANDBOX


@pytest.fixture(autouse=True)
def exports_folder(settings, tmp_path):
    """Finished files of a test lie in its own folder."""
    folder = tmp_path / "exports"
    options = {**settings.STORAGES["exports"]["OPTIONS"], "location": folder}
    settings.STORAGES = {**settings.STORAGES, "exports": {**settings.STORAGES["exports"], "OPTIONS": options}}
    settings.EXPORTS_SCRATCH_DIR = folder / "being-made"
    return folder


def export_of(shop, report=ORDERS, **given):  # noqa: F811
    """An export of everything a shop has."""
    wanted = {
        "rows": report.model.objects.all(), "game": shop.game, "environment": Environment(shop.environment),
        "time_zone": shop.game.time_zone, "profile": Profile.FINANCE, "format": Format.CSV, "now": timezone.now(),
    }  # fmt: skip
    return make_export(report=report, **{**wanted, **given})


def content_of(export) -> bytes:
    """The whole file."""
    return b"".join(stream(export))


def read_finance(content: bytes):
    """(headings and rows as dictionaries, footer lines) as a spreadsheet reads them."""
    lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    end = lines.index([])
    rows = [dict(zip(lines[0], line, strict=True)) for line in lines[1:end]]
    return rows, lines[end + 1 :]


def read_machine(content: bytes):
    """Rows as dictionaries, as a program reads them."""
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def refund(order: Order, amount_minor: int, at: datetime) -> None:
    """Money given back, as its issue will book it: a line of the timeline, and the order's sum."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE orders_order SET refunded_minor = refunded_minor + %s WHERE id = %s", (amount_minor, order.pk)
        )
    record(order_id=order.pk, kind=EventKind.REFUNDED, actor="test", now=at, data={"amount": amount_minor})
