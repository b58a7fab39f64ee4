"""What the deeds and the sender need from each provider: its words for what happened, its letters, its patience."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from channels_app.simulator.rows import Merchant, Notice, Payment, Refund, Trade


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """A notification before it is signed: its event, and what it says."""

    event: str
    content: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a notification is about."""

    merchant: Merchant
    trade: Trade
    payment: Payment | None = None
    refund: Refund | None = None
    refunded: int = 0  # of this payment so far, together


class Voice(Protocol):
    """One provider's way of telling merchants."""

    ladder_s: tuple[int, ...]  # waits between sends of one notification
    patience_s: float  # how long an answer may take
    verb: str  # POST, or GET: then the body of a letter is the query string

    def new_transaction_id(self, at: float) -> str:
        """A number for a payment."""
        ...

    def new_refund_id(self, at: float) -> str:
        """A number for a refund."""
        ...

    def new_notice_number(self) -> str:
        """A number for a notification."""
        ...

    def paid(self, about: Subject) -> News:
        """The payment of the subject."""
        ...

    def refunded(self, about: Subject) -> News | None:
        """The refund of the subject; None when this product tells nobody."""
        ...

    def closed(self, about: Subject) -> News | None:
        """Unpaid and over; None when nobody is told."""
        ...

    def as_foreign(self, news: News) -> News:
        """The same, but for another merchant."""
        ...

    def letter(self, notice: Notice, merchant: Merchant, how: str) -> tuple[Mapping[str, str], bytes]:
        """Headers and body of one sending, signed now."""
        ...

    def is_acknowledged(self, status: int, answer: bytes) -> bool:
        """Whether the merchant said that it has it."""
        ...
