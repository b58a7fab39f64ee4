"""Cases: one queue for everything that needs a person, with its limits, and the page of one case."""

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.console.cells import when, with_sandbox, yuan
from channels_app.console.filters import ExactFilter
from channels_app.console.lists import found_keys
from channels_app.console.pages import Button, ReadOnlyAdmin, history
from channels_app.console.words import clock, column, environment_mark, link, mark, money_in_prose, number
from orders import narrating
from orders.admin.case_acts import CASE_ACTS, fits
from orders.admin.states import case_mark
from orders.casefile import facts as casefile
from orders.casefile import prose
from orders.casefile.verdict import judge
from orders.casefile.wording import decision_words
from orders.cases import LIMIT_HOURS, answer_by, is_late, queue_of, taken_by
from orders.finding import order_places, transactions
from orders.models import Case, CaseKind, Payment


class StatusFilter(ExactFilter):
    """Open cases first: without a choice the list shows nothing else. Kinds are told apart among the open."""

    title = gettext_lazy("state")
    parameter_name = "status"
    ALL = "all"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Every kind among the open, and all cases ever."""
        return [*CaseKind.choices, (self.ALL, _("all, closed ones too"))]

    def choices(self, changelist: Any) -> Any:
        """Names the default."""
        first, *others = super().choices(changelist)
        yield {**first, "display": _("open")}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Case]) -> QuerySet[Case]:
        """Open cases unless all are wanted; a search looks among all."""
        chosen = self.chosen()
        if chosen == self.ALL or (not chosen and request.GET.get("q")):
            return queryset
        open_cases = queryset.filter(closed_at__isnull=True)
        return open_cases.filter(kind=chosen) if chosen else open_cases


def _age(case: Case) -> object:
    """How long it has waited, or how long it took."""
    return prose.wait((case.closed_at or timezone.now()) - case.opened_at)


def _limit(case: Case) -> object:
    """How long it may wait, or until when somebody outside waits for us; red once it is over."""
    said: object = _("%(hours)s h") % {"hours": LIMIT_HOURS[CaseKind(case.kind)]}
    if case.due_at is not None and case.due_at == answer_by(case):
        said = _("by %(at)s") % {"at": prose.until_minute(case.due_at, now=timezone.now())}
    if not is_late(case, timezone.now()):
        return said
    return format_html('{} <strong class="decide">{}</strong>', said, _("over"))


def _who(case: Case) -> object:
    """Who has it, or whose turn it is."""
    return taken_by(case) or queue_of(case).label


@admin.register(Case)
class CaseAdmin(ReadOnlyAdmin[Case]):
    """One queue for everything that needs a person."""

    game_path = "game"
    change_form_template = "admin/console/case_case.html"
    list_display = (
        "about",
        "order_no",
        "money_at_stake",
        "matter",
        "waited",
        "limit",
        "who",
        "standing",
        "opened",
    )
    list_display_links = ("about",)
    list_select_related = ("order",)
    list_filter = (StatusFilter,)
    list_empty = gettext_lazy("Nothing waits for a person now. Money that cannot be booked by itself would stand here.")
    search_help_text = gettext_lazy("Order number, attempt number, provider transaction or player, exactly.")
    acts = CASE_ACTS
    panels = (history,)

    about = column(
        gettext_lazy("kind"),
        lambda case: with_sandbox(
            mark(case.get_kind_display(), "quiet" if case.closed_at else "decide"), case.environment
        ),
    )
    money_at_stake = column(gettext_lazy("amount (yuan)"), lambda case: yuan(case.amount_minor, case.currency))
    order_no = column(gettext_lazy("order"), lambda case: link(case.order, number(case.order)))
    matter = column(gettext_lazy("what is the matter"), narrating.why)
    waited = column(gettext_lazy("waited"), _age)
    limit = column(gettext_lazy("limit"), _limit)
    who = column(gettext_lazy("who"), _who)
    standing = column(gettext_lazy("decision"), case_mark)
    opened = column(gettext_lazy("opened"), lambda case: when(case.opened_at))

    def row_tone(self, row: Case) -> str:
        """Only what is over its limit is tinted; closed ones are grey."""
        if row.closed_at:
            return "quiet"
        return "decide" if is_late(row, timezone.now()) else ""

    def buttons(self, request: HttpRequest, row: Case) -> list[Button]:
        """Those that fit this kind of case."""
        return [button for button in super().buttons(request, row) if fits(button.act, row)]

    def get_fieldsets(self, request: HttpRequest, obj: Case | None = None) -> Any:
        """None: the page shows facts of its own instead of a form."""
        return ()

    def more_context(self, request: HttpRequest, row: Case) -> dict[str, Any]:
        """The case in words, and the verdict on the order it is about."""
        now = timezone.now()
        closed = row.closed_at is not None
        return {
            "tone": "quiet" if closed else "decide",
            "kind": row.get_kind_display(),
            "sentence": narrating.why(row),
            "due": "" if closed else _due(row, now),
            "decided": case_decided(row, now) if closed else "",
            "case_facts": _facts(row),
            "remedy": "" if closed else _remedy(request, row),
            "order_verdict": judge(casefile.gather(row.order, now=now)) if row.order else None,
        }

    def find(self, term: str) -> list[QuerySet[Case]]:
        """By any number of the order, or by the payment's transaction."""
        orders = found_keys(order_places(term))
        return [
            Case.objects.filter(order__in=orders),
            Case.objects.filter(payment__in=Payment.objects.filter(transaction_id__in=transactions(term))),
        ]


def _due(case: Case, now: datetime) -> str:
    """By when somebody should have decided, and who."""
    about = {"by": prose.until_minute(answer_by(case), now=now), "who": _who(case)}
    if is_late(case, now):
        return _("This was due by %(by)s; it waits for: %(who)s.") % about
    return _("To be decided by %(by)s; it waits for: %(who)s.") % about


def case_decided(case: Case, now: datetime) -> str:
    """How a closed case ended, when, by whom and why."""
    assert case.closed_at is not None  # noqa: S101  # asked of closed cases only
    decided = _("%(who)s decided at %(at)s: %(decision)s.") % {
        "who": case.closed_by,
        "at": prose.moment(case.closed_at, now=now),
        "decision": decision_words(case),
    }
    return prose.together(decided, case.note)


def _remedy(request: HttpRequest, case: Case) -> object:
    """What helps beside deciding: play money becomes goods once its player is listed as a reviewer."""
    if case.kind != CaseKind.TEST_MONEY or case.order is None or not request.user.has_perm("orders.edit_reviewer"):
        return ""
    query = urlencode({"game": case.order.game_id, "uid": case.order.uid})
    return format_html(
        _("Is it a store's reviewer? {}, then ask the store again: the goods go out, and it never counts as revenue."),
        format_html('<a href="{}?{}">{}</a>', reverse("admin:orders_reviewer_add"), query, _("List this player")),
    )


def _facts(case: Case) -> list[tuple[object, object]]:
    """Label and value of everything a case points at."""
    amount = "–" if case.amount_minor is None else money_in_prose(case.amount_minor, case.currency)
    return [
        (_("Amount"), amount),
        (_("Opened"), clock(case.opened_at)),
        (_("Waited"), _age(case)),
        (_("Limit"), _limit(case)),
        (_("Outside deadline"), clock(case.due_at) if case.due_at else ""),
        (_("Who"), _who(case)),
        (_("Order"), link(case.order, number(case.order))),
        (_("Provider transaction"), link(case.payment, number(case.payment))),
        (_("Account"), link(case.account)),
        (_("Environment"), environment_mark(case.environment)),
        (_("About"), number(case.subject)),
    ]
