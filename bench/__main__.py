"""`python -m bench`: start the stack, run the trials in interleaved rounds, print the table."""

import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from bench.stack import ROOT, Stack

if TYPE_CHECKING:
    from bench.report import Line
    from bench.trials import Sample, Trials

TRIALS = ("T1", "T2", "T3", "T4", "telling", "T6", "T7", "T8", "T9", "T11")
OFFICE = ("T6", "T7", "T8")
ALONE = ("T9", "T11")  # without the running system
_STARTED = time.monotonic()


def say(text: str) -> None:
    """Progress, on the error stream: the table alone goes to the output."""
    sys.stderr.write(f"{time.monotonic() - _STARTED:6.1f} s  {text}\n")
    sys.stderr.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="Speed and memory beside their floors.")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds; medians are shown (default 3)")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one measurement (default 3)")
    parser.add_argument("--only", default=",".join(TRIALS), help=f"some of {','.join(TRIALS)}")
    parser.add_argument("--soak", type=int, default=0, metavar="N", help="T10: N purchases in a row, memory watched")
    parser.add_argument("--orders", type=int, default=5_000_000, metavar="N", help="T6-T8: orders of the built year")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep every figure of every round")
    chosen = parser.parse_args()
    chosen.only = [name for name in chosen.only.split(",") if name]
    if unknown := set(chosen.only) - set(TRIALS):
        parser.error(f"unknown trial: {', '.join(sorted(unknown))}")
    return chosen


def main() -> int:
    """Measure; 1 when a target was missed."""
    chosen = _arguments()
    signal.signal(signal.SIGTERM, _end_in_order)
    base = Path(os.environ.get("PAYMENTS_DATA_DIR") or ROOT / "var").resolve()
    base.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="bench-", dir=base))
    try:
        lines: list[Line] = []
        memory: dict[str, float] = {}
        if chosen.soak or set(chosen.only) - set(ALONE):
            lines, memory = _measure_stack(home / "stack", chosen)
        if "T9" in chosen.only:
            lines += _measure_starts(home)
        if "T11" in chosen.only:
            lines += _measure_verifying()
    except KeyboardInterrupt:
        say("stopped")
        return 130
    finally:
        shutil.rmtree(home, ignore_errors=True)
    _print(lines, memory)
    if chosen.json:
        _keep(chosen.json, lines, memory)
    return 1 if any(line.met is False for line in lines) else 0


def _end_in_order(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _measure_stack(home: Path, chosen: argparse.Namespace) -> "tuple[list[Line], dict[str, float]]":
    say("starting PostgreSQL, web, stream and worker as in production")
    home.mkdir()
    with Stack(home) as stack:
        # Only now do the settings find the benchmark's own database.
        os.environ.update(
            stack.environment, DJANGO_SETTINGS_MODULE="payments_site.settings", DATABASE_URL=stack.address
        )
        import django

        django.setup()
        from django.core.management import call_command

        from bench.trials import Trials

        call_command("migrate", verbosity=0)
        stack.open_tables()
        stack.start("web", "stream", "worker")
        stack.wait_ready()
        trials = Trials(stack, seconds=chosen.seconds, say=say)
        trials.warm_up()
        lines = _rounds(trials, chosen)
        memory = stack.memory()
        if chosen.soak:
            lines += _soak(stack, trials, chosen.soak)
        if set(OFFICE) & set(chosen.only):
            lines += _office(stack, chosen)
        return lines, memory


def _office(stack: Stack, chosen: argparse.Namespace) -> "list[Line]":
    """The console and the reports on a year of business, which takes some minutes to write."""
    from bench import history
    from bench.office import Office
    from bench.purchases import ACCOUNT
    from channels_app.models import MerchantAccount

    account = MerchantAccount.objects.get(code=ACCOUNT)
    office = Office(stack, history.build(orders=chosen.orders, account=account, say=say), say=say)
    run = {"T7": lambda: office.pages(), "T8": lambda: office.revenue(), "T6": lambda: office.exports()}
    return [line for name, measure in run.items() if name in chosen.only for line in measure()]


def _rounds(trials: "Trials", chosen: argparse.Namespace) -> "list[Line]":
    from bench.report import Target, lines_of

    targets = {
        "T1": Target("T1", "notification → paid and delivered", "own statements", 0.35, 4, 12),
        "T2": Target("T2", "create an order", "fixed H1", 0.20),
        "T3": Target("T3", "read an order", "empty view", 0.30),
        "T4": Target("T4", "whole purchases", "fixed H2", 0.15),
        "telling": Target("", "webhooks told", "the receiver alone"),
    }
    run = {"T1": trials.notification, "T2": trials.creation, "T3": trials.reading, "T4": trials.purchase}
    samples: dict[str, list[Sample]] = {name: [] for name in targets if name in chosen.only}
    for turn in range(1, chosen.rounds + 1):
        for name in [name for name in run if name in chosen.only]:
            sample = run[name](turn)
            samples[name].append(sample)
            floors = ", ".join(f"{floor} {tps:,.0f}/s" for floor, tps in sample.floors.items())
            say(f"round {turn}/{chosen.rounds}  {name}: {sample.rate:,.0f}/s  ({floors})")
    if "telling" in samples:
        samples["telling"].append(trials.telling())
        say(f"telling: {samples['telling'][0].rate:,.0f} webhooks/s")
    for name, notes in ((name, _notes(some)) for name, some in samples.items()):
        if notes:
            say(f"{name}: {notes}")
    return [line for name, some in samples.items() for line in lines_of(targets[name], some)]


def _notes(samples: "list[Sample]") -> str:
    names = samples[0].notes
    return ", ".join(f"{name} {statistics.median(sample.notes[name] for sample in samples):.2f}" for name in names)


def _measure_starts(home: Path) -> "list[Line]":
    from bench.report import Line
    from bench.starting import embedded_starts, run_starts

    say("starting PostgreSQL from nothing, and again")
    bare = embedded_starts(home / "embedded")
    say(f"cold {bare.cold:.2f} s, warm {bare.warm:.2f} s; now `manage.py run`, twice")
    run = run_starts(home / "run")
    say(f"`manage.py run` ready after {run.cold:.1f} s, the second time after {run.warm:.1f} s")
    return [
        Line("T9", "embedded PostgreSQL, cold", f"{bare.cold:.2f} s", "", "", "", "≤ 1.5 s", bare.cold <= 1.5),
        Line("", "embedded PostgreSQL, warm", f"{bare.warm:.2f} s", "", "", "", "≤ 0.3 s", bare.warm <= 0.3),
        Line("", "`run` to ready, second start", f"{run.warm:.1f} s", "", "", "", "≤ 6 s", run.warm <= 6),
        Line("", "`run` to ready, first start", f"{run.cold:.1f} s", "", "", "", "", None),
    ]


def _measure_verifying() -> "list[Line]":
    from bench.verifying import verifying

    return verifying(say)


def _soak(stack: Stack, trials: "Trials", purchases: int) -> "list[Line]":
    from bench.report import Line
    from bench.soak import Watch

    rate, watched = trials.soak(purchases, Watch(stack))
    return [
        Line(
            "T10" if place == 0 else "",
            f"memory of {one.process}, {purchases:,} purchases at {rate:,.0f}/s",
            f"{one.last_quarter:.1f} MiB",
            "",
            f"first quarter {one.first_quarter:.1f} MiB",
            f"{one.last_quarter / max(one.first_quarter, 0.1):.1%}",
            "≤ 105%",
            one.is_flat,
        )
        for place, one in enumerate(watched)
    ]


def _print(lines: "list[Line]", memory: dict[str, float]) -> None:
    from bench.report import table

    sys.stdout.write(f"\n{table(lines)}\n\n")
    if memory:
        shown = ", ".join(f"{name} {mib:.0f}" for name, mib in memory.items())
        sys.stdout.write(f"Memory after the rounds, MiB: {shown}\n")
    sys.stdout.write(f"Machine: {os.cpu_count()} cores shared by load, application and PostgreSQL; ")
    sys.stdout.write(f"Python {platform.python_version()}. Every run's rows were counted.\n")


def _keep(file: Path, lines: "list[Line]", memory: dict[str, float]) -> None:
    document: dict[str, Any] = {
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "system": platform.platform(),
        },
        "memory_mib": memory,
        "lines": [{name: getattr(line, name) for name in line.__dataclass_fields__} for line in lines],
    }
    file.write_text(json.dumps(document, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    sys.exit(main())
