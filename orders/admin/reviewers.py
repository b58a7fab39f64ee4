"""Store reviewers: players of a live game who may pay a real order with a store's play money, for a few days."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.console.pages import ConsoleAdmin
from channels_app.console.words import column, mark
from orders.models import Reviewer

_LONGEST_DAYS = 30


class ReviewerForm(forms.ModelForm[Reviewer]):
    """Who, until when, and why."""

    class Meta:
        model = Reviewer
        fields = ("game", "uid", "until", "note")

    def clean_until(self) -> Any:
        """Days, not years: whoever is listed gets goods that nobody pays for."""
        until = self.cleaned_data["until"]
        if until > timezone.now() + timedelta(days=_LONGEST_DAYS):
            raise ValidationError(_("Thirty days at most; list the reviewer again when a later review comes."))
        return until


def _standing(reviewer: Reviewer) -> object:
    return mark(_("listed"), "working") if reviewer.until > timezone.now() else mark(_("over"), "quiet")


@admin.register(Reviewer)
class ReviewerAdmin(ConsoleAdmin[Reviewer]):
    """Listed and let lapse, never deleted: the audit asks who was given goods for play money."""

    form = ReviewerForm
    step_up_changes = True
    game_path = "game"
    list_display = ("uid", "game", "until", "standing", "note", "created_at")
    list_select_related = ("game",)
    list_note = gettext_lazy(
        "A store reviews the very application that players use, and buys in its sandbox. These players get their goods "
        "for such a purchase; nobody else does, and it is no revenue."
    )
    list_empty = gettext_lazy("No reviewer was ever listed. Add the test account that you gave to the store.")
    standing = column(gettext_lazy("state"), _standing)

    def get_readonly_fields(self, request: HttpRequest, obj: Reviewer | None = None) -> tuple[str, ...]:
        """Whose goods they were never changes."""
        return ("game", "uid") if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Reviewer | None = None) -> bool:
        """Nobody: see the class."""
        return False
