"""Stripe's own books: what moved on the balance, to the cent, fee by fee. Facts: docs/providers/stripe.md, section 9.

Amounts are of the currency that Stripe settles in, which need not be the payment's.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from channels_app.money import Money
from channels_app.providers.base import ProviderUnavailable
from channels_app.providers.documents import Unexpected, text_in
from channels_app.providers.stripe_api import StripeApi
from channels_app.providers.stripe_money import from_stripe
from channels_app.providers.stripe_wire import ID, expanded, ours_in, time_in, word_in


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceLine:
    """One movement of the balance. `net` is `gross` less `fee`; what leaves the balance is below nothing."""

    number: str  # txn_…
    kind: str  # charge, refund, dispute, dispute_reversal, refund_failure, fee, payout, …: Stripe's reporting_category
    gross: Money
    fee: Money
    net: Money
    at: datetime
    available_on: datetime
    source: str  # the charge, refund, dispute or payout behind it; "" for none
    transaction_id: str  # the payment that it is about (pi_…), "" where none is told
    attempt_no: str
    refund_no: str


def balance_lines(
    api: StripeApi, *, since: datetime | None = None, until: datetime | None = None, payout: str = ""
) -> Iterator[BalanceLine]:
    """The movements of a time, or those that one (automatic) payout was made of; the newest first.

    Raises ProviderError.
    """
    asked = [("expand[]", "data.source")]
    asked += [("created[gte]", str(int(since.timestamp())))] if since else []
    asked += [("created[lt]", str(int(until.timestamp())))] if until else []
    asked += [("payout", payout)] if payout else []
    for line in api.items("/v1/balance_transactions", asked):
        try:
            yield _line(line)
        except Unexpected as error:
            raise ProviderUnavailable("answer_shape", error.detail) from None


def _line(line: Mapping[str, Any]) -> BalanceLine:
    gross, fee, net = (from_stripe(line.get(name), line.get("currency")) for name in ("amount", "fee", "net"))
    if gross.amount_minor - fee.amount_minor != net.amount_minor:
        raise Unexpected("amount", "net is not amount less fee")
    behind = expanded(line, "source") or {}
    named = behind.get("id", line.get("source"))
    payment = behind.get("payment_intent")
    return BalanceLine(
        number=text_in(line, "id", ID),
        kind=word_in(line, "reporting_category"),
        gross=gross,
        fee=fee,
        net=net,
        at=time_in(line, "created"),
        available_on=time_in(line, "available_on"),
        source=named if isinstance(named, str) and ID.fullmatch(named) else "",
        transaction_id=payment if isinstance(payment, str) and ID.fullmatch(payment) else "",
        attempt_no=ours_in(behind),
        refund_no=ours_in(behind, "refund_no"),
    )
