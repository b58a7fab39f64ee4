"""T6: what a person waits for a large export over HTTP, beside `psql COPY` of the same query.

Called with a server that streams any number of rows (EXPORTS_STREAMED_ROWS, EXPORTS_PER_PERSON_PER_HOUR raised) and
with the session cookie of somebody who may export:

    lines = exporting.measure(
        exporting.Place(address="http://127.0.0.1:8000", cookie="sessionid=…", psql=["psql", "-h", …]),
        game=game, first=date(2026, 1, 1), last=date(2026, 3, 31), rounds=3, memory=stack.memory, say=say)

Effects: every line that came is counted and must be as many as PostgreSQL copied.
"""

import http.client
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from datetime import time as clock
from typing import Any
from urllib.parse import urlencode, urlsplit
from zoneinfo import ZoneInfo

from bench.report import Line

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where it is measured. `psql`: the command with its connection arguments."""

    address: str
    cookie: str
    psql: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Run:
    seconds: float
    lines: int
    size: int


def measure(
    place: Place,
    *,
    game: Any,
    first: date,
    last: date,
    rounds: int,
    memory: Callable[[], dict[str, float]],
    say: Callable[[str], None],
) -> list[Line]:
    """Both profiles in interleaved rounds, each beside the bare COPY of its own query; and the web process's growth."""
    from orders.exporting.profiles import Profile

    queries = {profile: _queries(profile, game, first, last) for profile in Profile}
    runs: dict[str, list[_Run]] = {}
    _download(place, game, first, last, "machine")  # warm: both sides find the table in memory
    before = _web(memory())
    peak = before
    for turn in range(1, rounds + 1):
        for profile, selects in queries.items():
            bare = _copy(place, selects)
            ours = _download(place, game, first, last, profile.value)
            peak = max(peak, _web(memory()))
            foot = 0 if profile == Profile.MACHINE else _FOOT_LINES
            if not bare.lines <= ours.lines - 1 <= bare.lines + foot:
                raise RuntimeError(f"{ours.lines} lines came, {bare.lines} were copied")
            runs.setdefault(f"{profile.value} bare", []).append(bare)
            runs.setdefault(profile.value, []).append(ours)
            share = bare.seconds / ours.seconds
            say(f"round {turn}/{rounds}  T6 {profile.value}: {ours.seconds:.2f} s, {share:.0%} of psql")
    return [*(_line(name, runs, least) for name, least in (("machine", 0.8), ("finance", 0.5))), _growth(before, peak)]


_FOOT_LINES = 40


def _line(name: str, runs: dict[str, list[_Run]], least: float) -> Line:
    share = statistics.median(
        bare.seconds / ours.seconds for bare, ours in zip(runs[f"{name} bare"], runs[name], strict=True)
    )
    ours, bare = (statistics.median(run.seconds for run in runs[kind]) for kind in (name, f"{name} bare"))
    one = runs[name][0]
    return Line(
        "T6" if name == "machine" else "",
        f"export of {one.lines - 1:,} lines, {one.size / 1e6:.0f} MB, {name}",
        f"{ours:.2f} s",
        "",
        f"psql COPY {bare:.2f} s",
        f"{share:.0%}",
        f"≥ {least:.0%}",
        share >= least,
    )


def _growth(before: float, peak: float) -> Line:
    grown = peak - before
    return Line(
        "", "memory of the web processes while exporting", f"+{grown:.1f} MiB", "", "", "", "≤ 8 MiB", grown <= 8
    )


def _web(usage: dict[str, float]) -> float:
    return sum(mib for name, mib in usage.items() if name.startswith("web"))


def _queries(profile: Any, game: Any, first: date, last: date) -> Sequence[str]:
    """The SELECTs behind the export's own COPYs: orders, and refunds on rows of their own."""
    from django.utils import timezone

    from channels_app.models import Environment
    from orders.exporting.asking import make_export
    from orders.exporting.reports import ORDERS
    from orders.exporting.snapshot import statements
    from orders.models import Order

    zone = ZoneInfo(game.time_zone)
    since = datetime.combine(first, clock(game.day_turns_at_hour), tzinfo=zone)
    until = datetime.combine(last + timedelta(days=1), clock(game.day_turns_at_hour), tzinfo=zone)
    export = make_export(
        report=ORDERS,
        rows=Order.objects.filter(created_at__gte=since, created_at__lt=until),
        game=game,
        environment=Environment.PRODUCTION,
        time_zone=game.time_zone,
        profile=profile,
        now=timezone.now(),
    )
    return statements(export)


def _copy(place: Place, selects: Sequence[str]) -> _Run:
    """`psql -c "COPY … TO STDOUT"` into a pipe that is read."""
    began = time.monotonic()
    copies = [f"COPY ({select}) TO STDOUT WITH (FORMAT csv)" for select in selects]
    command = [*place.psql, "-q", *(part for copy in copies for part in ("-c", copy))]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        out: Any = process.stdout
        lines, size = _counted(iter(lambda: out.read(_BLOCK), b""))
    if process.returncode:
        raise RuntimeError(f"psql ended with {process.returncode}")
    return _Run(time.monotonic() - began, lines, size)


def _download(place: Place, game: Any, first: date, last: date, kind: str) -> _Run:
    """What a browser does when "Export" is pressed, without the disk."""
    parts = urlsplit(place.address)
    period = urlencode({"books": f"{game.pk}.production", "period": "custom", "from": first, "to": last})
    path = f"/admin/orders/order/export/?{period}"
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=120)
    connection.request("GET", path, headers={"Cookie": place.cookie})
    page = connection.getresponse()
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.read().decode())
    if token is None:
        raise RuntimeError(f"the export page answered {page.status}")
    csrf = page.getheader("Set-Cookie", "").partition(";")[0]
    fields = {"csrfmiddlewaretoken": token[1], "report": "orders", "game": game.pk, "kind": kind}
    headers = {
        "Cookie": f"{place.cookie}; {csrf}" if csrf else place.cookie,
        "Content-Type": "application/x-www-form-urlencoded",
        "Referer": f"{place.address}{path}",
    }
    began = time.monotonic()
    connection.request("POST", path, body=urlencode(fields), headers=headers)
    answer = connection.getresponse()
    if answer.status != http.client.OK or "csv" not in answer.getheader("Content-Type", ""):
        raise RuntimeError(f"the export answered {answer.status} {answer.getheader('Location', '')}")
    lines, size = _counted(iter(lambda: answer.read1(_BLOCK), b""))
    connection.close()
    return _Run(time.monotonic() - began, lines, size)


def _counted(blocks: Iterator[bytes]) -> tuple[int, int]:
    lines = size = 0
    for block in blocks:
        lines += block.count(b"\n")
        size += len(block)
    return lines, size
