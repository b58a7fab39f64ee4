"""What the simulator remembers. Amounts are minor units (fen), times Unix seconds."""

from dataclasses import dataclass
from typing import Any

WAITING, PAID, CLOSED = "waiting", "paid", "closed"

# A notification: due = will be sent, held = waits for a later one to overtake it.
DUE, HELD, ACKNOWLEDGED, GIVEN_UP, LOST = "due", "held", "acknowledged", "given_up", "lost"

# What one sending is: foreign ones are rightly signed but about another merchant, probes and forged ones are not.
GENUINE, FOREIGN, PROBE, FORGED = "genuine", "foreign", "probe", "forged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Merchant:
    """A merchant of one provider. `number` is mchid or app_id; `about` holds its keys."""

    id: int
    provider: str
    code: str
    number: str
    about: dict[str, Any]

    def __repr__(self) -> str:
        """Without the keys."""
        return f"<Merchant {self.provider} {self.code} {self.number}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """What one merchant order number stands for.

    `opened`: the buyer has been there. Alipay knows a trade only from then on, by `trade_no`.
    """

    id: int
    merchant_id: int
    provider: str
    out_trade_no: str
    product: str
    amount: int
    subject: str
    attach: str
    notify_url: str
    return_url: str
    state: str
    opened: bool
    trade_no: str
    created_at: float
    expires_at: float
    closed_at: float | None
    terms: dict[str, Any]

    @property
    def currency(self) -> str:
        """What the amount is of."""
        return str(self.terms.get("currency", "CNY"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """Money taken for a trade. More than one only when somebody asked for that bad weather."""

    id: int
    trade_id: int
    transaction_id: str
    amount: int
    paid_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """Money given back from one payment. `number` is the merchant's, `refund_id` the provider's."""

    id: int
    payment_id: int
    number: str
    refund_id: str
    amount: int
    state: str
    reason: str
    notify_url: str
    created_at: float
    succeeds_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A notification and how its sending goes. `number` is the provider's id for it, equal on resends."""

    id: int
    number: str
    provider: str
    trade_id: int
    event: str
    url: str
    content: dict[str, Any]
    state: str
    how: str
    attempts: int
    due_at: float
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One sending of a notification and what was answered; `status` 0 means no answer came."""

    id: int
    notice_id: int
    at: float
    how: str
    status: int
    answer: str
    acknowledged: bool
    took_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """How one call of one provider misbehaves, for `remaining` more calls (None: until switched off)."""

    provider: str
    call: str
    mode: str
    remaining: int | None
    carried_out: bool
