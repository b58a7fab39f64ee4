"""The office on a year of business: the console's pages, the revenue report and the exports, beside their floors.

Everything is asked over HTTP by somebody who logged in with a second factor, as in production. PostgreSQL counts how
often each table was read from end to end: while the pages are opened, no large one may be.
"""

import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from html import unescape
from urllib.parse import urlencode

import requests
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.urls import reverse
from django_otp.oath import hotp

from bench import exporting
from bench.floors import program_of
from bench.history import History
from bench.report import Line
from bench.stack import Stack
from channels_app.models import Channel, Environment
from orders.models import Order
from orders.revenue import report
from orders.revenue.folding import fold_some, look
from orders.revenue.periods import Days, Grain
from payments_site.models import STEP_S
from payments_site.people import factors

_PASSWORD = "a long bench password"  # noqa: S105  # of a database that lives for minutes
_ROUNDS = 3
_EXPORTED_DAYS = 72  # of five million orders a year: a million
_LARGE = 100_000  # rows from which on a table may not be read from end to end
_PAGES_TARGET, _REVENUE_TARGET = 5.0, 50.0
_LINK = re.compile(r'href="(\?[^"#]+)"')
_SELECT = re.compile(r'<select[^>]*name="([^"]+)"[^>]*>(.*?)</select>', re.DOTALL)
_OPTION = re.compile(r'<option value="([^"]+)"')
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Timed:
    """One page: its address and how long it took, in milliseconds (the median of several)."""

    address: str
    ms: float


class Office:
    """Somebody at the console of the running stack."""

    def __init__(self, stack: Stack, history: History, *, say: Say) -> None:
        """Log in."""
        self._stack, self._base = stack, f"http://127.0.0.1:{stack.port}"
        self._history, self._say = history, say
        self.browser = requests.Session()
        self._log_in()
        self._catch_up()

    def _catch_up(self) -> None:
        """Fold the year into the revenue sums, beside the worker: nobody measures on the day of a migration."""
        waiting, began = report.backlog(), time.monotonic()
        while fold_some(seen=look()) is not None or report.backlog():
            pass
        self._say(f"{waiting:,} events folded in {time.monotonic() - began:.0f} s")

    def _log_in(self) -> None:
        person = User.objects.create_superuser("bench", password=_PASSWORD)
        authenticator = factors.begin(person)
        authenticator.confirmed = True
        authenticator.save()
        self._send("/admin/login/", {"username": "bench", "password": _PASSWORD})
        code = f"{hotp(authenticator.seed(), int(time.time()) // STEP_S):06d}"
        answer = self._send("/admin/login/code/", {"factor_code": code})
        if "logout-form" not in answer.text:
            raise RuntimeError(f"the console did not let us in: {answer.url}")

    def _send(self, path: str, fields: dict[str, str]) -> requests.Response:
        form = self.browser.get(self._base + path, timeout=60)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form.text)
        sent = {**fields, "csrfmiddlewaretoken": token[1] if token else ""}
        return self.browser.post(form.url, data=sent, timeout=60, headers={"Referer": form.url})

    # --- T7: pages ----------------------------------------------------------------------------------------
    def pages(self) -> list[Line]:
        """Every list, every filter of every list, and the look-up, beside a page that shows one row."""
        floor = self._time(reverse("admin:channels_app_channel_change", args=(Channel.objects.earliest("pk").pk,)))
        before = _whole_reads()
        lists = [timed for address in _lists() for timed in self._with_filters(address)]
        searches = [self._time(f"{reverse('admin:look_up')}?{urlencode({'q': term})}") for term in self._terms()]
        read = [table for table, times in _whole_reads().items() if times > before.get(table, 0)]
        slowest, search = (max(some, key=lambda timed: timed.ms) for some in (lists, searches))
        self._say(f"{len(lists)} lists and filters; the slowest is {slowest.address}")
        order = Order.objects.filter(game=self._history.game, state="paid").latest("pk")
        case = self._time(reverse("admin:orders_order_change", args=(order.pk,)))
        return [
            _page_line("T7", f"slowest of {len(lists)} lists and filters", slowest, floor, _PAGES_TARGET),
            _page_line("", f"slowest of {len(searches)} searches", search, floor, 1.0),
            _page_line("", "home", self._time("/admin/"), floor, _PAGES_TARGET),
            _page_line("", "case file of an order", case, floor, None),
            Line(
                "", "large tables read from end to end meanwhile", ", ".join(read) or "none", "", "", "", "none",
                not read,
            ),
        ]  # fmt: skip

    def _with_filters(self, address: str) -> Iterator[Timed]:
        text = self._get(address).text
        yield self._time(address)
        for query in sorted(_choices(text)):
            yield self._time(address + query)

    def _terms(self) -> Sequence[str]:
        order = Order.objects.filter(game=self._history.game, state="paid").order_by("-pk")[1000]
        return (order.order_no, order.client_ref, order.transaction_id, order.uid, order.role_id, "nothing-like-this")

    def _get(self, address: str) -> requests.Response:
        # A look-up with one hit leads on to its page; the search itself is what is timed.
        answer = self.browser.get(self._base + address, timeout=60, allow_redirects=False)
        if answer.status_code not in (requests.codes.ok, requests.codes.found):
            raise RuntimeError(f"{address} was answered {answer.status_code}:\n{self._stack.log('web')}")
        return answer

    def _time(self, address: str) -> Timed:
        times = []
        for _turn in range(_ROUNDS):
            began = time.perf_counter()
            self._get(address)
            times.append((time.perf_counter() - began) * 1000)
        return Timed(address, statistics.median(times))

    # --- T8: revenue --------------------------------------------------------------------------------------
    def revenue(self) -> list[Line]:
        """Twelve months by channel and month, from the sums and from the raw rows by their best plan."""
        asked = self._twelve_months()
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")
            cursor.execute(
                "CREATE INDEX bench_covering ON orders_order (game_id, environment, paid_at)"
                " INCLUDE (channel_code, amount_minor, currency) WHERE state = 'paid'"
            )
            cursor.execute("VACUUM ANALYZE orders_order")
        raw_ms, raw = _timed(lambda: self._raw(asked))
        ours_ms, ours = _timed(lambda: _totals(report.add_up(asked)))
        with connection.cursor() as cursor:
            cursor.execute("DROP INDEX bench_covering")
        if raw != ours:
            raise RuntimeError(f"the report says {ours}, the orders say {raw}")
        times = raw_ms / ours_ms
        self._say(f"twelve months of {self._history.orders:,} orders: {ours}, equal to the fen")
        return [
            Line(
                "T8", "revenue of twelve months by channel", f"{ours_ms:.1f} ms", "",
                f"raw rows, covering index {raw_ms:.0f} ms", f"{times:.0f}×", f"≥ {_REVENUE_TARGET:.0f}×, equal",
                times >= _REVENUE_TARGET,
            )
        ]  # fmt: skip

    # --- T6: exports --------------------------------------------------------------------------------------
    def exports(self) -> list[Line]:
        """The newest orders as files, in both profiles, beside the bare COPY of the same query."""
        last = self._history.ended.date()
        cookie = "; ".join(f"{one.name}={one.value}" for one in self.browser.cookies)
        psql = [program_of("psql"), *self._stack.pgbench_arguments()]
        return exporting.measure(
            exporting.Place(address=self._base, cookie=cookie, psql=psql),
            game=self._history.game,
            first=last - timedelta(days=_EXPORTED_DAYS),
            last=last,
            rounds=_ROUNDS,
            memory=self._stack.memory,
            say=self._say,
        )

    def _twelve_months(self) -> report.Asked:
        last = self._history.ended.date()
        return report.Asked(
            games=[self._history.game],
            environment=Environment.PRODUCTION,
            currency="CNY",
            days=Days(last - timedelta(days=364), last),
            grain=Grain.MONTH,
        )

    def _raw(self, asked: report.Asked) -> dict[str, int]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT channel_code, sum(amount_minor) FROM orders_order"
                " WHERE game_id = %s AND environment = 'production' AND state = 'paid' AND currency = 'CNY'"
                " AND paid_at >= %s::date::timestamp AT TIME ZONE 'Asia/Shanghai'"
                " AND paid_at < (%s::date + 1)::timestamp AT TIME ZONE 'Asia/Shanghai'"
                " GROUP BY channel_code, date_trunc('month', paid_at AT TIME ZONE 'Asia/Shanghai')",
                (asked.games[0].pk, asked.days.first, asked.days.last),
            )
            sums: dict[str, int] = {}
            for channel, amount in cursor.fetchall():
                sums[channel] = sums.get(channel, 0) + int(amount)
        return sums


def _totals(sums: report.Sums) -> dict[str, int]:
    return {key: figures.gross_minor for key, figures in sums.rows.items() if figures.gross_minor}


def _timed(work: Callable[[], dict[str, int]]) -> tuple[float, dict[str, int]]:
    """The median time in milliseconds, and what came out."""
    found = work()  # once to warm
    times = []
    for _turn in range(_ROUNDS):
        began = time.perf_counter()
        found = work()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times), found


def _lists() -> list[str]:
    """The list of every table that has pages."""
    return [
        reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for model in admin.site._registry
        if model._meta.app_label in ("channels_app", "orders", "fulfillment")
    ]


def _choices(text: str) -> set[str]:
    """Every choice that a list offers: its chips, and the options of its selects."""
    chips = {query for query in map(unescape, _LINK.findall(text)) if "size=" not in query}
    selects = {
        f"?{urlencode({name: unescape(value)})}"
        for name, options in _SELECT.findall(text)
        for value in _OPTION.findall(options)
        if name not in ("act", "action", "game", "which")
    }
    return chips | selects


def _whole_reads() -> dict[str, int]:
    """How often each large table was read from end to end so far."""
    time.sleep(1.5)  # the server's counters lag by a second
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname, seq_scan FROM pg_stat_user_tables WHERE n_live_tup > %s", (_LARGE,))
        return dict(cursor.fetchall())


def _page_line(code: str, what: str, timed: Timed, floor: Timed, most: float | None) -> Line:
    times = timed.ms / floor.ms
    return Line(
        code=code,
        what=what,
        ours=f"{timed.ms:.0f} ms",
        latency="",
        floor=f"page of one row {floor.ms:.0f} ms",
        share=f"{times:.1f}×",
        target=f"≤ {most:g}×" if most else "",
        met=times <= most if most else None,
    )
