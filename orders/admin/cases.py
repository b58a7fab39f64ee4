"""Cases: one queue for everything that needs a person, and the act that closes one."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.console.lists import ExactFilter, found_keys
from channels_app.console.pages import Act, ActRefused, ReadOnlyAdmin, history
from channels_app.console.words import column, environment_mark, link, money, number
from orders import narrating
from orders.admin.states import case_mark
from orders.cases import CaseClosed, Decision, close_case
from orders.finding import order_places
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


class ClosingForm(forms.Form):
    """A decision, and why."""

    decision = forms.ChoiceField(label=gettext_lazy("Decision"), choices=Decision.choices)
    reason = forms.CharField(
        label=gettext_lazy("Why"),
        max_length=500,
        min_length=4,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=gettext_lazy("For whoever looks at this in a year: what you found and what you did."),
    )


def _close(request: HttpRequest, case: Case, given: dict[str, Any]) -> str:
    decision = Decision(given["decision"])
    try:
        close_case(
            case_id=case.pk,
            decision=decision,
            reason=given["reason"],
            by=request.user.get_username(),
            now=timezone.now(),
        )
    except CaseClosed as error:
        raise ActRefused(_("Somebody else has just closed this case.")) from error
    return _("%(decision)s. Reason: %(reason)s") % {"decision": decision.label, "reason": given["reason"]}


@admin.register(Case)
class CaseAdmin(ReadOnlyAdmin[Case]):
    """One queue for everything that needs a person."""

    list_display = (
        "opened_at",
        "about",
        "money_at_stake",
        "order_no",
        "matter",
        "standing",
        "closed_by",
        "where",
    )
    list_display_links = ("about",)
    list_select_related = ("order",)
    list_filter = (StatusFilter,)
    search_help_text = gettext_lazy("Order number, attempt number, provider transaction or player, exactly.")
    fields = (
        "about",
        "standing",
        "money_at_stake",
        "where",
        "matter",
        "order_no",
        "payment",
        "account",
        "game",
        "detail",
        "subject",
        "opened_at",
        "closed_at",
        "closed_by",
        "note",
    )
    panels = (history,)

    about = column(gettext_lazy("kind"), lambda case: case.get_kind_display())
    money_at_stake = column(gettext_lazy("money"), lambda case: money(case.amount_minor, case.currency))
    order_no = column(gettext_lazy("order"), lambda case: link(case.order, number(case.order)))
    matter = column(gettext_lazy("what is the matter"), narrating.why)
    standing = column(gettext_lazy("state"), case_mark)
    where = column(gettext_lazy("environment"), lambda case: environment_mark(case.environment))

    acts = (
        Act(
            name="close",
            label=gettext_lazy("Close the case"),
            permission="orders.close_case",
            effect=lambda case: [
                _("The case leaves the queue, with your name, your decision and your reason."),
                _("Nothing else moves: no money, no goods."),
            ],
            hindrance=lambda case: _("It is closed already.") if case.closed_at else "",
            perform=_close,
            form=ClosingForm,
        ),
    )

    def find(self, term: str) -> list[QuerySet[Case]]:
        """By any number of the order, or by the payment's transaction."""
        orders = found_keys(order_places(term))
        return [
            Case.objects.filter(order__in=orders),
            Case.objects.filter(payment__in=Payment.objects.filter(transaction_id=term)),
        ]
