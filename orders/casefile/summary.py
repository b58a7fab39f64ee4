"""The case file as plain text, to be pasted into a ticket: what happened, what was decided, what comes next.

Carries numbers and states, no address and no payer: a ticket system is not ours.
"""

from collections.abc import Sequence

from django.utils import timezone
from django.utils.translation import gettext as _

from channels_app.models import Environment
from orders.casefile import prose
from orders.casefile.facts import Facts
from orders.casefile.moments import Moment
from orders.casefile.verdict import Verdict

_LINES = 20


def summary(facts: Facts, verdict: Verdict, moments: Sequence[Moment]) -> str:
    """The whole as lines of text."""
    order = facts.order
    lines = [
        f"{_('Order')} {order.order_no} · {order.game_code} · {Environment(order.environment).label}",
        verdict.headline,
        verdict.sentence,
        prose.together(verdict.advice_title, verdict.advice),
        *verdict.remarks,
        "",
        _("Goods: %(goods)s") % {"goods": prose.goods(order)},
        _("Amount: %(amount)s") % {"amount": prose.amount(order.amount_minor, order.currency)},
        _("Player: %(uid)s %(receiver)s") % {"uid": order.uid, "receiver": prose.place(order.zone_id, order.role_id)},
        _("Game's reference: %(reference)s") % {"reference": order.client_ref},
    ]
    lines += [
        _("Transaction: %(number)s (%(provider)s, %(amount)s)")
        % {
            "number": payment.transaction_id,
            "provider": prose.provider(payment.account.provider),
            "amount": prose.amount(payment.amount_minor, payment.currency),
        }
        for payment in facts.payments
    ]
    lines += ["", *(_line(moment, facts) for moment in moments[-_LINES:])]
    zone = timezone.get_current_timezone_name()
    written = _("Written %(at)s, %(zone)s") % {"at": prose.dated(facts.now, now=facts.now), "zone": zone}
    return "\n".join([*lines, "", written])


def _line(moment: Moment, facts: Facts) -> str:
    return f"{prose.moment(moment.at, now=facts.now)}  {moment.words}" + (f"  [{moment.who}]" if moment.who else "")
