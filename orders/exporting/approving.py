"""Exports with personal data, where they take two people: asked for by one, and made once another has approved."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.proposals import Done, Kind, register
from orders.exporting.asking import Export
from orders.exporting.running import queue_export
from orders.models import Game

PERMISSION = "orders.export_personal"


def payload_of(export: Export, *, game: Game | None, by: str) -> dict[str, Any]:
    """What is frozen: the export as it was asked for, and for whom the files are."""
    return {"export": export.to_document(), "game": game.pk if game else None, "by": by}


def _make(payload: Mapping[str, Any], by: object) -> Done:
    export = Export.from_document(payload["export"])
    game = Game.objects.get(pk=payload["game"]) if payload["game"] else None
    queue_export(export, title=export.file_name, game=game, by=payload["by"])
    return Done(_("The worker makes the files; %(who)s finds them among their exports.") % {"who": payload["by"]})


KIND = register(Kind("export.personal", gettext_lazy("Export with personal data"), PERMISSION, _make))
