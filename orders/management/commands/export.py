"""`export`: the books of a period as a file, as the console makes it; progress on the error stream."""

import getpass
import json
import shutil
import tempfile
from argparse import ArgumentParser
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from channels_app.models import AuditEntry, Environment
from orders.exporting.asking import Export, make_export
from orders.exporting.files import Part, write_parts
from orders.exporting.profiles import Format, Profile
from orders.exporting.reports import REPORTS
from orders.models import Game


class Command(BaseCommand):
    _said = -2
    help = "Write orders, refunds, payments, deliveries or ledger entries of a period into a file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """What, whose, when, how, and where to."""
        parser.add_argument("report", choices=sorted(REPORTS))
        parser.add_argument("--game", required=True, help="its code, or `all`")
        parser.add_argument("--environment", required=True, choices=Environment.values)
        parser.add_argument("--from", dest="first", required=True, type=date.fromisoformat, metavar="DAY")
        parser.add_argument("--to", dest="last", required=True, type=date.fromisoformat, metavar="DAY", help="included")
        parser.add_argument("--profile", choices=Profile.values, default=Profile.FINANCE.value)
        parser.add_argument("--format", choices=Format.values, default=Format.CSV.value)
        parser.add_argument("--personal", action="store_true", help="players, roles, addresses whole; needs --reason")
        parser.add_argument("--reason", default="", help="kept in the audit trail")
        parser.add_argument("--out", required=True, type=Path, metavar="PATH", help="a folder, or the file's name")
        parser.add_argument("--json", action="store_true", help="say what was written as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write it down first, then make the files."""
        export = self._export(options)
        user = getpass.getuser()
        detail = {"out": str(options["out"]), "personal": export.personal, "profile": export.profile.value}
        AuditEntry.objects.create(
            actor=f"command of {user}"[:150],
            action="export",
            label=export.file_name[:200],
            reason=options["reason"][:500],
            detail=detail,
        )
        with tempfile.TemporaryDirectory(prefix="export-") as folder:
            parts = write_parts(
                export, Path(folder), per_part=settings.EXPORTS_ROWS_PER_FILE, progress=self._say_how_far
            )
            written = [self._put(part, options["out"], alone=len(parts) == 1) for part in parts]
        if options["json"]:
            self.stdout.write(json.dumps({"files": written}, ensure_ascii=False))
            return
        for file in written:
            self.stdout.write(f"{file['sha256']}  {file['path']}  ({file['rows']} rows)")

    def _export(self, options: dict[str, Any]) -> Export:
        if options["personal"] and len(options["reason"].strip()) < 4:
            raise CommandError("--personal needs --reason.")
        if options["last"] < options["first"]:
            raise CommandError("--to lies before --from.")
        report = REPORTS[options["report"]]
        game = None if options["game"] == "all" else Game.objects.filter(code=options["game"]).first()
        if game is None and options["game"] != "all":
            raise CommandError(f"There is no game {options['game']!r}.")
        zone = ZoneInfo(game.time_zone if game else _only_zone())
        turns = game.day_turns_at_hour if game else 0
        since, until = (
            datetime.combine(day, time(turns), tzinfo=zone)
            for day in (options["first"], options["last"] + timedelta(days=1))
        )
        dated = report.dated[0]
        try:
            return make_export(
                report=report,
                rows=report.model._default_manager.filter(**{f"{dated}__gte": since, f"{dated}__lt": until}),
                game=game,
                environment=Environment(options["environment"]),
                time_zone=zone.key,
                profile=Profile(options["profile"]),
                format=Format(options["format"]),
                personal=options["personal"],
                now=timezone.now(),
            )
        except ValueError as wrong:
            raise CommandError(str(wrong)) from wrong

    def _say_how_far(self, done: int, total: int | None) -> None:
        """Over and over on a terminal, every tenth in a log."""
        tenth = -1 if not total else done * 10 // total
        if total is not None and (self.stderr.isatty() or tenth != self._said):
            self._said = tenth
            self.stderr.write(f"\r{done:,} of {total:,} rows", ending="" if self.stderr.isatty() else "\n")

    @staticmethod
    def _put(part: Part, out: Path, *, alone: bool) -> dict[str, Any]:
        """Where the person wants it: in a folder under its own name, or under the name they gave."""
        if out.is_dir():
            target = out / part.name
        elif alone:
            target = out
        else:
            raise CommandError("It takes several files: name a folder that is there with --out.")
        # Beside its place first, so that nobody finds half a file under the name.
        draft = target.with_name(f".{target.name}.part")
        shutil.move(part.path, draft)
        draft.replace(target)
        return {"path": str(target), "rows": part.rows, "size": part.size, "sha256": part.sha256}


def _only_zone() -> str:
    """The clock all games share. Raises CommandError when they do not."""
    zones = set(Game.objects.order_by().values_list("time_zone", flat=True).distinct()[:2])
    if len(zones) != 1:
        raise CommandError("The games have different clocks: export them one by one.")
    return zones.pop()
