"""The provider's side of the wire, as the contract speaks to it. Each provider has one, in the module of its code.

A side is made of the provider's independent signer (tests/providers/*_side.py). What a provider does not have (a
buyer's own price, an environment in its messages, a refund that it tells) its side says by its words below; the promises
are the same for all.
"""

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import ClassVar

from channels_app.providers import ADAPTERS
from channels_app.providers.base import Numbers, ProviderAdapter, RawNotification

ACCOUNT = "contract"


class News(StrEnum):
    """What has become of a purchase."""

    PAID = "paid"
    WAITING = "waiting"  # begun, not paid
    CLOSED = "closed"  # ended unpaid
    REFUNDED = "refunded"
    NEW_WORD = "a word of tomorrow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """A purchase as the provider knows it; `replace` makes the wrong ones."""

    attempt_no: str
    opened_at: datetime
    transaction_id: str
    amount_minor: int = 600
    currency: str = "CNY"
    product: str = ""
    quantity: int = 1
    payer: str = ""
    is_ours: bool = True  # False: of another merchant, application or seller
    is_elsewhere: bool = False  # of the environment that this account is not of
    has_new_field: bool = False  # with a field that nobody has told us about


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A message on its way to us. What is sent by GET has its query string for a body."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Side(ABC):
    """One provider."""

    code: ClassVar[str]
    method: ClassVar[str]  # what the contract buys with
    inputs: ClassVar[Mapping[str, str]] = {}  # what opening needs
    content_type: ClassVar[str] = "application/json"

    # Our answers, in the provider's words: the status, and what the body is (done) or holds (the others).
    done: ClassVar[tuple[int, bytes]]
    refused: ClassVar[tuple[int, bytes]] = (401, b"")
    later: ClassVar[tuple[int, bytes]] = (503, b"")

    # What is signed beside the body: headers, `:method`, `:path`.
    signed_headers: ClassVar[tuple[str, ...]] = ()
    signs_body: ClassVar[bool] = True  # False: a message is a hint whatever it says

    product: ClassVar[str] = ""  # what the store calls our product; empty where our own price list counts
    sells_several: ClassVar[bool] = False  # the store sells a quantity
    sets_price: ClassVar[bool] = False  # the store sets the price: an amount decides nothing
    tells_currency: ClassVar[bool] = True
    tells_payer: ClassVar[bool] = False
    tells_environment: ClassVar[bool] = False
    tells_merchant: ClassVar[bool] = True
    refund_brings_payment: ClassVar[bool] = False  # told before its payment, a refund keeps it from delivering
    proves_with: ClassVar[tuple[str, ...]] = ()  # optional credentials, one of which it takes to believe a message
    sandbox_only: ClassVar[Mapping[str, object]] = {}  # credentials that an account of real money must refuse

    @property
    def is_signed(self) -> bool:
        """Whether a message can be told from a stranger's at all."""
        return self.signs_body or bool(self.signed_headers)

    def start(self) -> None:  # noqa: B027  # most have nothing to do
        """Open for business: what we may call."""

    def stop(self) -> None:  # noqa: B027
        """Close."""

    def prepare(self) -> None:  # noqa: B027
        """Be ready for the call that opens a payment."""

    def ready(self, adapter: ProviderAdapter) -> None:  # noqa: B027
        """An adapter has been made: let it learn what it reads messages with, as "check this account" does."""

    @abstractmethod
    def credentials(self) -> dict[str, object]:
        """Of a sandbox account."""

    def live_credentials(self) -> dict[str, object]:
        """Of an account of real money."""
        return {name: value for name, value in self.credentials().items() if name != "base_url"}

    def transaction_id(self, number: int) -> str:
        """The provider's own number of a payment."""
        return f"42000{number:015d}"

    @abstractmethod
    def told(self, purchase: Purchase, news: News = News.PAID) -> Sent | None:
        """It has happened, and the provider tells us; twice told is two messages. None: it never tells such a thing."""

    @abstractmethod
    def forgeries(self, purchase: Purchase) -> dict[str, Sent]:
        """Messages that are not the provider's, each by what is wrong with it."""

    @abstractmethod
    def unreadable(self, purchase: Purchase) -> dict[str, Sent]:
        """Messages that are the provider's and say what cannot be read."""

    def evidence(self, purchase: Purchase) -> dict[str, str]:
        """What the game's client holds after it. Only of methods with evidence."""
        raise TypeError(f"{self.code} takes evidence: its side has to make some")

    def forged_evidence(self, purchase: Purchase) -> dict[str, dict[str, str]]:
        """Evidence of nothing, each by what is wrong with it. Only of methods with evidence."""
        raise TypeError(f"{self.code} takes evidence: its side has to forge some")


def purchase_at(side: Side, adapter: ProviderAdapter) -> Purchase:
    """A purchase of some attempt, opened this second."""
    is_uuid = adapter.methods[side.method].numbers is Numbers.UUID
    return Purchase(
        attempt_no="0b6f5d1c4a3e4f6b8d2c1a0e9f7b5d3c" if is_uuid else "20260102G0123456789ABCDEFGHJKM",
        opened_at=datetime.now(UTC).replace(microsecond=0),
        transaction_id=side.transaction_id(1),
        product=side.product,
        payer=side.inputs.get("channel_uid", ""),
    )


def raw(side: Side, sent: Sent) -> RawNotification:
    """A message as the adapter gets it."""
    verb = ADAPTERS[side.code].notifies_by
    path = f"/notify/{side.code}/{ACCOUNT}"
    headers = {name.lower(): value for name, value in sent.headers.items()}
    return RawNotification(
        headers={
            "content-type": side.content_type,
            ":method": verb,
            ":path": path if verb == "POST" else f"{path}?{sent.body.decode('latin-1')}",
            **headers,
        },
        body=sent.body,
        received_at=datetime.fromtimestamp(time.time(), UTC),
    )


def spoilings(data: bytes, points: int) -> Iterator[tuple[str, bytes]]:
    """A text changed on the way: at so many points a bit flipped, a byte added, a byte removed."""
    for at in range(0, len(data), max(1, len(data) // points)):
        yield from _spoilt_at(data, at)


def spoilt_inside(data: bytes) -> Iterator[tuple[str, bytes]]:
    """A text changed near its middle, where a letter or digit stands for itself."""
    plain = (found.start(1) for found in _PLAIN.finditer(data))
    yield from _spoilt_at(data, next((at for at in plain if at >= len(data) // 2), 0))


_PLAIN = re.compile(rb"(?<!%)(?<!%.)([0-9A-Za-z])")


def _spoilt_at(data: bytes, at: int) -> Iterator[tuple[str, bytes]]:
    yield f"bit flipped at {at}", data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    yield f"byte added at {at}", data[:at] + b"0" + data[at:]
    yield f"byte removed at {at}", data[:at] + data[at + 1 :]
