"""`load_catalogue GAME FILE.json [--dry-run]`: a game's items and products, from a file."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from fulfillment.catalogue import CatalogueRefused, load_catalogue
from orders.models import Game
from orders.parsing import read_object
from orders.problems import Problem


class Command(BaseCommand):
    help = "Load a game's items and products from a file. Nothing that the file does not name is deleted."

    def add_arguments(self, parser: CommandParser) -> None:
        """Arguments of contract section 1."""
        parser.add_argument("game", help="the game's code")
        parser.add_argument("file", type=Path, metavar="FILE.json")
        parser.add_argument("--dry-run", action="store_true", help="show what would change, change nothing")
        parser.add_argument("--json", action="store_true", help="machine-readable answer")

    def handle(self, *args: Any, game: str, file: Path, dry_run: bool, **options: Any) -> None:
        """Check the whole file, load it, show every change."""
        row = Game.objects.filter(code=game).first()
        if row is None:
            raise CommandError(f"there is no game {game!r} (create_game makes one)")
        try:
            changes = load_catalogue(game=row, document=_read(file), dry_run=dry_run)
        except CatalogueRefused as refused:
            raise CommandError(
                "nothing was loaded:\n" + "\n".join(f"- {fault}" for fault in refused.faults)
            ) from refused
        if options["json"]:
            answer = {"game": game, "dry_run": dry_run, "changes": [asdict(change) for change in changes]}
            self.stdout.write(json.dumps(answer, ensure_ascii=False))
            return
        for change in changes:
            self.stdout.write(str(change))
        moved = sum(change.action != "untouched" for change in changes)
        self.stdout.write(f"{moved} changes" + (" would be made" if dry_run else " made"))


def _read(file: Path) -> dict[str, Any]:
    try:
        return read_object(file.read_bytes())
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}") from error
    except Problem as problem:
        raise CommandError(f"{file}: {problem.detail}") from problem
