"""The words every payment provider is spoken to in: one small typed protocol, one file per provider.

An adapter holds the parsed keys of one merchant account and nothing else: no rows, no orders, no Django
request. It signs and sends, verifies and translates. A provider's field names, units and status words
stop inside its adapter; amounts leave it as `Money` in minor units, times as aware UTC datetimes.

Status words go through a literal table; a word that is not in it means *undecided*, never paid and never
failed. Only an explicit yes or no ends a payment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from django_stubs_ext import StrOrPromise

from channels_app.money import Money

if TYPE_CHECKING:
    from channels_app.providers.fields import CredentialField


class PayKind(StrEnum):
    """What the client does with the parameters of an opened payment."""

    SDK = "sdk"
    QR = "qr"
    REDIRECT = "redirect"
    FORM = "form"
    STORE = "store"


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One concrete way to pay at a provider (支付方式)."""

    code: str
    label: StrOrPromise  # for people; translated when it is shown
    kind: PayKind
    needs: tuple[str, ...] = ()  # inputs without which the provider refuses: openid, client_ip
    currencies: tuple[str, ...] = ("CNY",)
    calls_provider: bool = True  # False: opening only signs parameters, nothing is asked of the provider


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRequest:
    """A payment to be opened. `attempt_no` is the provider's merchant order number for it."""

    method: str
    attempt_no: str
    due: Money
    subject: str
    notify_url: str
    expires_at: datetime
    inputs: Mapping[str, str] = field(default_factory=dict)  # openid, return_url, client_ip


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedPayment:
    """What the client's SDK, browser or QR code wants, exactly."""

    kind: PayKind
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentProof:
    """A payment the provider has proved to us; exists only once a signature has been checked."""

    attempt_no: str
    transaction_id: str
    paid: Money
    paid_at: datetime  # the provider's clock
    given_back: bool = False  # the provider says that it was refunded, in part or in full, before we booked it


class Standing(StrEnum):
    """What a provider says about one payment attempt when asked."""

    PAID = "paid"
    WAITING = "waiting"  # opened, not paid
    CLOSED = "closed"  # can never be paid any more
    UNKNOWN = "unknown"  # the provider has no such number (Alipay: nobody has opened it yet)
    UNDECIDED = "undecided"  # a word we do not know, or a state that decides nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryAnswer:
    """A verified answer to "was this paid?". `proof` is present exactly when `standing` is PAID."""

    standing: Standing
    said: str  # the provider's own word, for people
    proof: PaymentProof | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeAnswer:
    """What a provider said to a question about a number that cannot exist: it has accepted who we are.

    `verified`: its answer was signed with a key we know. A provider may leave a no unsigned.
    """

    said: str
    verified: bool


class CloseAnswer(StrEnum):
    """What a provider answered to "close this attempt"."""

    CLOSED = "closed"  # nobody can pay it any more
    PAID = "paid"  # too late: it was paid; query it
    UNKNOWN = "unknown"  # no such number there (yet)


class RefundStanding(StrEnum):
    """How far a refund has come at the provider."""

    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    CLOSED = "closed"  # did not happen; a new refund number is needed
    ABNORMAL = "abnormal"  # stuck at the provider, needs a person
    UNKNOWN = "unknown"  # the provider has no such refund (yet)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRequest:
    """Money to give back. `refund_no` is made once and repeated for ever."""

    refund_no: str
    attempt_no: str
    transaction_id: str
    amount: Money
    paid: Money  # what the payment captured in full
    reason: str
    notify_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundAnswer:
    """A verified word of the provider about one refund."""

    standing: RefundStanding
    said: str
    refund_no: str
    provider_refund_id: str = ""
    amount: Money | None = None
    succeeded_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RawNotification:
    """A message as it arrived: the very bytes, and the headers with lower-case names."""

    headers: Mapping[str, str]
    body: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundNotice:
    """A genuine message about a refund of one payment, started by us or in the provider's back office.

    `refunded_total` is the sum of all refunds of the payment where the provider tells it (Alipay does,
    WeChat Pay does not). `refund_no` is empty when the provider does not name it.
    """

    attempt_no: str
    transaction_id: str
    refund_no: str
    standing: RefundStanding
    said: str
    amount: Money | None = None
    refunded_total: Money | None = None
    provider_refund_id: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NothingToDo:
    """A genuine message that moves nothing (a payment waiting, closed unpaid, an unknown event)."""

    said: str
    attempt_no: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """Rightly signed, but for another merchant, application or seller: acknowledged, never applied."""

    said: str
    attempt_no: str = ""


Message = PaymentProof | RefundNotice | NothingToDo | Foreign


class Ack(StrEnum):
    """What we want to tell a provider about a notification."""

    DONE = "done"  # it is safely ours
    REFUSED = "refused"  # it is not genuine
    LATER = "later"  # we cannot judge it now: send it again


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The HTTP answer a provider wants to hear."""

    status: int
    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a message says of itself, believed by nobody: for people who look into why it was refused.

    `key` names the key it claims to be signed with ("" where messages name none); `known_keys` are those that this
    account would accept, by the same names.
    """

    sent_at: datetime | None  # the provider's clock, when the message was stamped
    key: str
    known_keys: tuple[str, ...]


class NotificationRefused(Exception):
    """The message is not genuine: nothing of it may ever be applied.

    `step` names the check that failed (headers, timestamp, serial, signature, probe, charset, …) for the
    inbox; `detail` must hold no secret, key or signature.
    """

    def __init__(self, step: str, detail: str) -> None:
        """Remember the failed step and a sentence for people."""
        super().__init__(f"{step}: {detail}")
        self.step = step
        self.detail = detail


class NotificationUnreadable(Exception):
    """The message is signed by the provider but we cannot read it now (wrong APIv3 key, broken JSON)."""

    def __init__(self, step: str, detail: str) -> None:
        """Remember the failed step and a sentence for people."""
        super().__init__(f"{step}: {detail}")
        self.step = step
        self.detail = detail


class ProviderError(Exception):
    """A call to a provider gave no usable answer. `retryable` is False when repeating it is pointless."""

    retryable: ClassVar[bool] = False

    def __init__(self, code: str, message: str = "") -> None:
        """`code` is the provider's own word or ours for a transport failure; no secrets in `message`."""
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code
        self.message = message


class ProviderUnavailable(ProviderError):
    """Timeout, 5xx, unverifiable or garbled answer: **the result is unknown**. Query, or repeat the same."""

    retryable = True


class ProviderBusy(ProviderError):
    """The provider, or our own ceiling of calls at once, asks us to slow down. Nothing happened."""

    retryable = True


class ProviderRejected(ProviderError):
    """An explicit no. Repeating the same call is pointless."""


class AlreadyPaid(ProviderRejected):
    """The attempt was paid meanwhile: query it, then settle."""


class AttemptUnusable(ProviderRejected):
    """This merchant order number cannot be opened (closed, or used with other parameters): take a new one."""


class CredentialsInvalid(ValueError):
    """A credentials file misses a key or holds one that does not parse. Names the key, never its value."""


class ProviderAdapter(Protocol):
    """One merchant account at one provider.

    Constructing it parses the keys (34 ms for a private key), so adapters are cached per account and
    credentials version. Every method may be called from many threads at once.
    """

    code: ClassVar[str]
    label: ClassVar[StrOrPromise]
    methods: ClassVar[Mapping[str, Method]]
    fields: ClassVar[tuple["CredentialField", ...]]  # what a credentials file of this provider holds

    def __init__(self, credentials: Mapping[str, Any]) -> None:
        """Raises CredentialsInvalid. No network."""

    def open_payment(self, request: OpenRequest) -> OpenedPayment:
        """Open a payment; repeating the same request is safe. Raises ProviderError."""
        ...

    def query(self, attempt_no: str) -> QueryAnswer:
        """Ask what became of an attempt. Raises ProviderError."""
        ...

    def find(self, transaction_id: str) -> QueryAnswer:
        """Ask about a payment by the provider's own number for it. Raises ProviderError."""
        ...

    def probe(self, attempt_no: str) -> ProbeAnswer:
        """Ask about a number that cannot exist, to see whether the keys are right. Raises ProviderError."""
        ...

    def close(self, attempt_no: str) -> CloseAnswer:
        """Make an attempt unpayable. Repeatable. Raises ProviderError."""
        ...

    def refund(self, request: RefundRequest) -> RefundAnswer:
        """Give money back; repeating the same request never refunds twice. Raises ProviderError."""
        ...

    def query_refund(self, *, refund_no: str, attempt_no: str, transaction_id: str) -> RefundAnswer:
        """Ask what became of a refund. Raises ProviderError."""
        ...

    def read_notification(self, raw: RawNotification) -> Message:
        """Verify the bytes, then translate. No network, no database.

        `raw.received_at` is the clock that message age is judged by. Raises NotificationRefused,
        NotificationUnreadable.
        """
        ...

    def claims(self, raw: RawNotification) -> Claims:
        """What a message says of itself; nothing of it is verified. Never raises."""
        ...

    def reply(self, ack: Ack) -> Reply:
        """Our answer to a notification, in the provider's words."""
        ...
