"""Store reviewers: players of a live game who may pay a real order with a store's play money, for a few days."""

from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app import trail
from channels_app.console.pages import Panels, history
from channels_app.console.proposing import ProposingAdmin, ReasonedForm
from channels_app.console.words import column, mark
from orders.finding import games_few
from orders.models import Reviewer

_PERMISSION = "orders.edit_reviewer"
_LONGEST = timedelta(days=30)


class ReviewerForm(ReasonedForm):
    """Who, until when, and why. One person's act: a store's review does not wait for a second."""

    ticket = None  # type: ignore[assignment]  # not asked for here: that is how Django takes a field away

    class Meta:
        model = Reviewer
        fields = ("game", "uid", "until", "note")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Goods that nobody pays for are always given for a reason."""
        super().__init__(*args, **kwargs)
        if "reason" in self.fields:
            self.fields["reason"].required = True

    def clean_until(self) -> datetime:
        """Days, not years."""
        until: datetime = self.cleaned_data["until"]
        if until > timezone.now() + _LONGEST:
            raise ValidationError(_("Thirty days at most; list the reviewer again when a later review comes."))
        return until


def _standing(reviewer: Reviewer) -> object:
    return mark(_("listed"), "working") if reviewer.until > timezone.now() else mark(_("over"), "quiet")


@admin.register(Reviewer)
class ReviewerAdmin(ProposingAdmin[Reviewer]):
    """Listed and let lapse, never deleted: the audit (I-08) asks who was given goods for play money."""

    form = ReviewerForm
    game_path = "game"
    list_display = ("uid", "game", "until", "standing", "note", "created_at")
    list_select_related = ("game",)
    list_note = gettext_lazy(
        "A store reviews the very application that players use, and buys in its sandbox. These players get their goods "
        "for such a purchase; nobody else does, and it is no revenue. A row is never deleted, because the audit asks "
        "who was listed: to end it early, change until when it holds."
    )
    list_empty = gettext_lazy("No reviewer was ever listed. Add the test account that you gave to the store.")
    search_help_text = gettext_lazy("UID, exactly.")
    panels: ClassVar[Panels] = (history,)
    standing = column(gettext_lazy("state"), _standing)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A permission of its own, for listing and for changing."""
        return bool(request.user.has_perm(_PERMISSION))

    def has_change_permission(self, request: HttpRequest, obj: Reviewer | None = None) -> bool:
        """As for listing."""
        return bool(request.user.has_perm(_PERMISSION))

    def has_view_permission(self, request: HttpRequest, obj: Reviewer | None = None) -> bool:
        """Who looks into orders sees who was listed."""
        return bool(request.user.has_perm("orders.view_reviewer")) or self.has_change_permission(request)

    def get_readonly_fields(self, request: HttpRequest, obj: Reviewer | None = None) -> tuple[str, ...]:
        """Whose goods they were never changes."""
        return ("game", "uid") if obj else ()

    def save_model(self, request: HttpRequest, obj: Reviewer, form: Any, change: bool) -> None:  # noqa: FBT001
        """With its reason, which the database writes into the trail beside what changed."""
        trail.because(form.cleaned_data["reason"])
        super().save_model(request, obj, form, change)

    def find(self, term: str) -> list[QuerySet[Reviewer]]:
        """One player, in whatever game."""
        return [Reviewer.objects.filter(game__in=games_few(), uid=term)]
