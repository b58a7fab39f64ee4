"""The case file: the page of one order, laid out as a letter to whoever has to answer for it.

Verdict, acts, player, reply and timeline come first; the evidence stands below in two columns. Everything it says is
made by `orders.casefile`; this room only arranges it, and knows who may ask for what.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from channels_app.console.cells import tail
from channels_app.console.pages import Act, Button, Panels, ReadOnlyAdmin
from channels_app.console.words import clock, copyable, link, mark, number
from channels_app.models import Environment
from orders import narrating
from orders.admin import order_panels
from orders.admin.asking import ASK, worth_asking
from orders.admin.order_acts import (
    ADD_NOTE,
    HAND_OVER,
    REVEAL,
    Impossible,
    case_address,
    masked_address,
    never_here,
    not_for_this_role,
)
from orders.admin.states import with_play_mark
from orders.casefile import facts as casefile
from orders.casefile import prose, timeline
from orders.casefile.facts import Facts
from orders.casefile.moments import Moment
from orders.casefile.player import PlayerStrip, read_player, spend
from orders.casefile.replies import reply_to
from orders.casefile.summary import summary
from orders.casefile.verdict import Verdict, judge
from orders.confirming import waits_for_confirmation
from orders.models import AttemptState, Order

_SLOTS = 3
_A_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One of the three places for an act: a button, and one line that says what it does or why it cannot."""

    label: object
    address: str
    line: object
    possible: bool = True
    confirmed: bool = True


@dataclass(frozen=True, slots=True)
class Line:
    """A moment of the timeline, as the page shows it."""

    moment: Moment
    clock: str
    step: str


class OrderPage(ReadOnlyAdmin[Order]):
    """The page half of the orders' admin."""

    change_form_template = "admin/orders/order/change_form.html"
    acts: ClassVar[Sequence[Act]] = (ASK, HAND_OVER, ADD_NOTE, REVEAL)
    # The tables of evidence, in two columns; the floor above adds to the right one.
    evidence: ClassVar[Panels] = (order_panels.attempts, order_panels.payments, order_panels.notifications)
    evidence_beside: ClassVar[Panels] = (order_panels.cases,)
    # One line under each button: what it does.
    act_lines: ClassVar[dict[str, Any]] = {
        "ask": lambda: _("Changes nothing, unless it turns out paid"),
        "hand_over": lambda: _("Choose a reason; this summary goes along"),
        "close_case": lambda: _("Decision and reason; the next page says what happens"),
    }

    def get_fieldsets(self, request: HttpRequest, obj: Order | None = None) -> Any:
        """None: the page shows facts of its own instead of a form."""
        return ()

    def buttons(self, request: HttpRequest, row: Order) -> list[Button]:
        """None above the page: they stand under the verdict, three at most."""
        return []

    def more_context(self, request: HttpRequest, row: Order) -> dict[str, Any]:
        """The whole case file."""
        now = timezone.now()
        facts = casefile.gather(row, now=now)
        verdict = judge(facts)
        messages = casefile.notifications_about(facts.attempts)
        moments = timeline.tell(
            facts,
            notifications=messages,
            staff=timeline.staff_acts(row),
            above=casefile.moments_above(row),
        )
        player = read_player(row, now=now)
        slots, impossible = self._acts(request, facts, verdict)
        return {
            "verdict": verdict,
            "slots": slots,
            "impossible": impossible,
            "reply": reply_to(facts),
            "strip": list(_strip(request, facts, player)),
            "lines": _lines(moments, facts),
            "order_facts": list(_order_facts(facts)),
            "notes": player.notes,
            "note_address": self._address("act", row, ADD_NOTE.name) if self.may(request, ADD_NOTE) else "",
            "reveal_address": self._address("act", row, REVEAL.name) if self.may(request, REVEAL) else "",
            "summary": summary(facts, verdict, moments),
            "evidence": [panel(request, row) for panel in self.evidence],
            "evidence_beside": [panel(request, row) for panel in self.evidence_beside],
            "is_sandbox": row.environment == Environment.SANDBOX,
        }

    # --- the acts under the verdict ---------------------------------------------------------------------------
    def _acts(self, request: HttpRequest, facts: Facts, verdict: Verdict) -> tuple[list[Slot], list[Impossible]]:
        """Three buttons, the fitting ones first; and everything else with the reason why not."""
        known = {act.name: act for act in self.acts}
        slots: list[Slot] = []
        impossible: list[Impossible] = []
        for name in verdict.acts:
            slot = self._case_slot(request, verdict) if name == "close_case" else None
            act = known.get(name)
            if act is not None and not self.may(request, act):
                impossible.append(not_for_this_role(act))
            elif act is not None:
                slot = self._slot(request, act, facts)
            if slot is not None:
                slots.append(slot)
        for act in self.acts:
            if act.name not in verdict.acts and act not in (ADD_NOTE, REVEAL):
                impossible += self._elsewhere(request, act, facts.order)
        return slots[:_SLOTS], [*impossible, *never_here(facts)]

    def _slot(self, request: HttpRequest, act: Act, facts: Facts) -> Slot:
        order = facts.order
        hindrance = self.hindrance(request, act, order)
        line = self.act_lines.get(act.name)
        return Slot(
            label=_ask_label(facts) if act is ASK else act.label,
            address=self._address("act", order, act.name),
            line=hindrance or (line() if line else ""),
            possible=not hindrance,
            confirmed=act.confirmed,
        )

    def _case_slot(self, request: HttpRequest, verdict: Verdict) -> Slot | None:
        """Deciding the case that the verdict is about, on the case's own page."""
        if verdict.case is None or not request.user.has_perm("orders.close_case"):
            return None
        return Slot(
            label=_("Decide the case"),
            address=case_address(verdict.case, "close"),
            line=self.act_lines["close_case"](),
        )

    def _elsewhere(self, request: HttpRequest, act: Act, order: Order) -> list[Impossible]:
        """An act that does not fit this verdict: listed only with the reason why it cannot be done."""
        if not self.may(request, act):
            return [not_for_this_role(act)]
        hindrance = self.hindrance(request, act, order)
        return [Impossible(act.label, hindrance)] if hindrance else []


def _ask_label(facts: Facts) -> object:
    """Whom it asks, by name, where there is one to ask."""
    asked = worth_asking(facts.attempts)
    names = {prose.provider(attempt.account.provider) for attempt in asked}
    return _("Ask %(provider)s now") % {"provider": names.pop()} if len(names) == 1 else ASK.label


# --- what stands on the page --------------------------------------------------------------------------------------
def _strip(request: HttpRequest, facts: Facts, player: PlayerStrip) -> Iterator[tuple[object, object]]:
    """The cells of the player strip."""
    order = facts.order
    exact = request.user.has_perm("orders.view_totals")
    yield "UID", copyable(order.uid)
    yield capfirst(_("zone")), prose.zone_name(order.zone_id) or "–"
    yield _("Role"), number(order.role_id) or "–"
    yield (_("Spent in all") if exact else _("Lifetime band")), spend(player.lifetime, exact=exact, more=player.more)
    yield _("Last 30 days"), spend(player.recently, exact=exact)
    orders = reverse("admin:orders_order_changelist")
    yield _("Orders"), link_to(f"{orders}?q={order.uid}", f"{player.orders}{'+' if player.more else ''}")
    yield _("Refunds"), player.refunds
    yield _("Debt"), "0" if facts.delivery.kept_by_us else "–"
    yield _("Cases"), _cases_in_words(request, order, player)


def _cases_in_words(request: HttpRequest, order: Order, player: PlayerStrip) -> object:
    said = _("none")
    if player.open_cases:
        said = _("%(open)s open, %(closed)s closed") % {"open": player.open_cases, "closed": player.closed_cases}
    elif player.closed_cases:
        said = _("%(closed)s closed") % {"closed": player.closed_cases}
    if not (player.open_cases or player.closed_cases) or not request.user.has_perm("orders.view_case"):
        return said
    return link_to(f"{reverse('admin:orders_case_changelist')}?q={order.uid}", said)


def link_to(address: str, label: object) -> object:
    """A plain link."""
    return format_html('<a href="{}">{}</a>', address, label)


def _order_facts(facts: Facts) -> Iterator[tuple[object, object, str]]:
    """Label, value and tone of the facts in the right column."""
    order = facts.order
    yield _("Amount"), prose.amount(order.amount_minor, order.currency), "figure"
    yield from _money_facts(facts)
    yield _("Refunded"), prose.amount(order.refunded_minor, order.currency), "figure"
    yield _("Product"), narrating.goods(order), ""
    yield _("Contents"), narrating.contents(order.contents), ""
    yield _("Channel"), order.channel.name, ""
    methods = list(dict.fromkeys(prose.method_name(attempt.method) for attempt in facts.attempts))
    yield _("Payment method"), _(", ").join(methods) or "–", ""
    accounts = list(dict.fromkeys(attempt.account.code for attempt in facts.attempts))
    yield _("Account"), _(", ").join(accounts) or "–", ""
    yield from _store_facts(facts)
    yield _("Game's reference"), copyable(order.client_ref), ""
    for payment in facts.payments:
        yield _("Provider transaction"), copyable(payment.transaction_id), ""
    for case in facts.open_cases.values():
        yield _("Open case"), link(case, case.get_kind_display()), ""
    yield _("Player's address"), masked_address(order.client_ip) or "–", ""


def _store_facts(facts: Facts) -> Iterator[tuple[object, object, str]]:
    """What only stores have, of the attempt that was paid, else of the newest: nothing where no store sells."""
    paid = facts.applied.attempt if facts.applied else None
    attempt = paid or next((one for one in reversed(facts.attempts) if one.store_product_id), None)
    if attempt is None:
        return
    if attempt.store_product_id:
        yield _("Store product"), attempt.store_product_id, ""
    if attempt.payer:
        yield _("Who has to pay"), tail(attempt.payer), ""
    if attempt.handle:
        yield _("Provider's name for it"), tail(attempt.handle), ""
    if attempt.confirmed_at is not None:
        yield _("Store told of delivery"), clock(attempt.confirmed_at), ""
    elif attempt.state == AttemptState.PAID and waits_for_confirmation(attempt):
        yield _("Store told of delivery"), mark(_("not yet"), "working"), ""


def _money_facts(facts: Facts) -> Iterator[tuple[object, object, str]]:
    """What came. A store charges what it likes for what it sells: that is shown beside the order's price, as it is."""
    order = facts.order
    of_stores = [payment for payment in facts.payments if payment.attempt and payment.attempt.store_product_id]
    others = [payment for payment in facts.payments if payment not in of_stores]
    for payment in of_stores:
        charged = prose.amount(payment.amount_minor, payment.currency)
        yield _("Charged by the store"), with_play_mark(charged, payment, order), "figure"
    if of_stores and not others:
        return
    received = sum(payment.amount_minor for payment in others if payment.currency == order.currency)
    too_much = max(0, received - (0 if facts.applied in of_stores else order.amount_minor))
    yield _("Received"), prose.amount(received, order.currency), "figure decide" if too_much else "figure"
    if too_much:
        yield _("Too much"), prose.amount(too_much, order.currency), "figure decide"
    for payment in others:
        if payment.currency != order.currency:
            foreign = prose.amount(payment.amount_minor, payment.currency)
            yield _("Received in another currency"), foreign, "figure decide"


def _lines(moments: Sequence[Moment], facts: Facts) -> list[Line]:
    """The moments with their clock and the time each step took."""
    lines = []
    before = None
    for moment in moments:
        lines.append(Line(moment, _clock(moment, facts), _step(moment, before, facts)))
        before = moment.until or moment.at
    return lines


def _clock(moment: Moment, facts: Facts) -> str:
    at = prose.moment(moment.at, now=facts.now)
    if moment.until is None or moment.until - moment.at < _A_SECOND:
        return at
    return f"{at}–{timezone.localtime(moment.until):%H:%M:%S}"


def _step(moment: Moment, before: Any, facts: Facts) -> str:
    if moment.future:
        return _("in %(wait)s") % {"wait": prose.wait(moment.at - facts.now)}
    if moment.until is not None:
        return prose.wait(moment.until - moment.at)
    return prose.step(moment.at - before) if before is not None else ""
