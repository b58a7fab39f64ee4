"""The verdict on an order: exactly one, with its colour, one sentence, what to do, and what to tell the player.

`judge` is a pure function of `Facts`. It speaks the active language; the reply to the player is in both, whatever
the console's. What a person must decide comes before what is going well, money before goods.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from channels_app.models import Environment
from orders.casefile import prose
from orders.casefile.facts import Facts
from orders.casefile.kinds import TO_DECIDE, Kind, case_of, kind_of
from orders.casefile.moments import Tone
from orders.casefile.wording import WORDS, decision_words, refund_words
from orders.cases import answer_by, queue_of, taken_by
from orders.models import Case, CaseKind

TONES: Mapping[Kind, Tone] = {
    **dict.fromkeys(TO_DECIDE.values(), Tone.DECIDE),
    Kind.ON_ITS_WAY: Tone.WORKING,
    Kind.RETRYING: Tone.WORKING,
    Kind.NOT_TOLD: Tone.DECIDE,
    Kind.PARKED: Tone.DECIDE,
    Kind.NO_GOODS: Tone.WORKING,
    Kind.UNCONFIRMED: Tone.DECIDE,
    Kind.DELIVERED: Tone.DONE,
    Kind.DELIVERED_UNTOLD: Tone.WORKING,
    Kind.TAKEN_BACK: Tone.QUIET,
    Kind.PARTLY_REFUNDED: Tone.QUIET,
    Kind.REFUNDED: Tone.QUIET,
    Kind.DEALT_WITH: Tone.DONE,
    Kind.WAITING: Tone.QUIET,
    Kind.UNPAID: Tone.QUIET,
    Kind.CANCELLED_BY_GAME: Tone.QUIET,
    Kind.CANCELLED_BY_PLAYER: Tone.QUIET,
}
_ON_THE_WAY = (Kind.ON_ITS_WAY, Kind.RETRYING, Kind.NO_GOODS)
# Names of acts of the order's page, the best first; three are shown. "deliver" is the floor above's.
_GOODS_FIRST = ("deliver", "ask", "hand_over")
_MONEY_FIRST = ("ask", "deliver", "hand_over")
_CASE_FIRST = ("close_case", "ask", "hand_over")
ACTS: Mapping[Kind, Sequence[str]] = {
    **dict.fromkeys(Kind, _MONEY_FIRST),
    **dict.fromkeys(TO_DECIDE.values(), _CASE_FIRST),
    **dict.fromkeys((Kind.ON_ITS_WAY, Kind.RETRYING, Kind.NOT_TOLD, Kind.PARKED), _GOODS_FIRST),
    Kind.UNCONFIRMED: ("hand_over", "close_case", "ask"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What an order comes to. `advice` says what to do, or why not to worry; `remarks` what else is open or decided."""

    kind: Kind
    tone: Tone
    sandbox: bool
    headline: str
    sentence: str
    advice_title: str
    advice: str
    remarks: Sequence[str]
    acts: Sequence[str]
    case: Case | None  # the open case this verdict is about


def judge(facts: Facts) -> Verdict:
    """The verdict on an order, in the active language."""
    kind = kind_of(facts)
    told = WORDS[kind](facts)
    return Verdict(
        kind=kind,
        tone=tone_of(kind, facts),
        sandbox=facts.order.environment == Environment.SANDBOX,
        headline=told.headline,
        sentence=told.sentence,
        advice_title=told.advice_title,
        advice=told.advice,
        remarks=list(_remarks(facts, kind)),
        acts=ACTS[kind],
        case=case_of(facts, kind),
    )


def tone_of(kind: Kind, facts: Facts) -> Tone:
    """The colour; goods that a person has to push on are red even where the system retries most of the time."""
    if kind is Kind.DELIVERED_UNTOLD and CaseKind.WEBHOOK_PARKED in facts.open_cases:
        return Tone.DECIDE
    # The store gives the buyer's money back unless the goods arrive and it is told.
    if kind in _ON_THE_WAY and CaseKind.UNCONFIRMED in facts.open_cases:
        return Tone.DECIDE
    return TONES[kind]


def _remarks(facts: Facts, kind: Kind) -> list[str]:
    """Other open cases, and decisions of the past that the headline does not tell."""
    subject = case_of(facts, kind)
    remarks = [_remark_open(case, facts) for case in facts.cases if case.closed_at is None and case != subject]
    if kind is not Kind.DEALT_WITH:
        remarks += [
            _("%(case)s: %(decision)s (%(who)s, %(at)s).")
            % {
                "case": case.get_kind_display(),
                "decision": decision_words(case),
                "who": case.closed_by,
                "at": prose.moment(case.closed_at, now=facts.now),
            }
            for case in facts.cases
            if case.closed_at is not None and case.kind in TO_DECIDE
        ]
    if facts.order.refunded_minor and kind not in (Kind.REFUNDED, Kind.PARTLY_REFUNDED):
        remarks.append(refund_words(facts))
    return remarks


def _remark_open(case: Case, facts: Facts) -> str:
    about = {
        "case": case.get_kind_display(),
        "who": taken_by(case) or queue_of(case).label,
        "by": prose.until_minute(answer_by(case), now=facts.now),
        "detail": case.detail,
    }
    if case.kind == CaseKind.HANDED_OVER:
        return _("Handed over to %(who)s, answer by %(by)s: %(detail)s") % about
    return _("Also open: %(case)s; it waits for: %(who)s, until %(by)s.") % about
