"""The words every payment provider is spoken to in: one small typed protocol, one file per provider.

An adapter holds the parsed keys of one merchant account and nothing else: no rows, no orders, no Django
request. It signs and sends, verifies and translates. A provider's field names, units and status words
stop inside its adapter; amounts leave it as `Money` in minor units, times as aware UTC datetimes.

Status words go through a literal table; a word that is not in it means *undecided*, never paid and never
failed. Only an explicit yes or no ends a payment.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

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


class Numbers(StrEnum):
    """What the number of an attempt looks like, by which a provider knows it."""

    OF_ORDER = "of_order"  # the order's own, then with two digits more
    UUID = "uuid"  # 32 hexadecimal digits: a provider that links by UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One concrete way to pay at a provider (支付方式)."""

    code: str
    label: StrOrPromise  # for people; translated when it is shown
    kind: PayKind
    needs: tuple[str, ...] = ()  # inputs without which the provider refuses: openid, client_ip, channel_uid
    currencies: tuple[str, ...] = ("CNY",)  # empty: any, because the store sets what is paid
    calls_provider: bool = True  # False: opening only signs parameters, nothing is asked of the provider
    sells_products: bool = False  # what is bought is a product of the store, which sets its price
    numbers: Numbers = Numbers.OF_ORDER
    evidence: tuple[str, ...] = ()  # what a client hands in as proof (POST …/proofs)
    confirms: bool = False  # the store must be told that the goods were delivered, or it gives the money back

    def takes(self, currency: str) -> bool:
        """Whether an order in this currency can be paid so."""
        return not self.currencies or currency in self.currencies


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRequest:
    """A payment to be opened. `attempt_no` is the provider's merchant order number for it."""

    method: str
    attempt_no: str
    due: Money
    subject: str
    notify_url: str
    expires_at: datetime
    inputs: Mapping[str, str] = field(default_factory=dict)  # openid, return_url, client_ip, channel_uid
    opened_at: datetime = field(default_factory=lambda: datetime.now(UTC))  # of the attempt: equal on every repeat
    store_product_id: str = ""  # of methods that sell products of the store
    quantity: int = 1
    player: str = ""  # the player's id at stores: the same for the same player, and nobody can read it back


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRef:
    """A payment attempt, as far as a provider has to be told which one is meant."""

    attempt_no: str
    method: str = ""
    opened_at: datetime | None = None  # as the OpenRequest had it
    expires_at: datetime | None = None  # as the OpenRequest had it
    handle: str = ""  # the provider's own name for it (purchase token, intent, …); empty until we are told
    store_product_id: str = ""
    payer: str = ""  # who was to pay, where opening said so


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedPayment:
    """What the client's SDK, browser or QR code wants, exactly."""

    kind: PayKind
    params: Mapping[str, Any]
    handle: str = ""  # what the provider calls this attempt, to be kept; never a secret
    payer: str = ""  # who has to pay it, in the provider's words; a proof that names another is held


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreGoods:
    """What a store has sold: counts instead of the amount when the store sets the price."""

    product_id: str
    quantity: int
    store_sets_price: bool = True  # False: the amount must be the order's all the same


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentProof:
    """A payment the provider has proved to us; exists only once a signature has been checked.

    `paid` is what the buyer was charged. None when a store does not say; then the order's own price is booked.
    `attempt_no` is empty when the provider names none of ours: the money is kept and waits for a person.
    """

    attempt_no: str
    transaction_id: str
    paid: Money | None
    paid_at: datetime  # the provider's clock
    given_back: bool = False  # the provider says that it was refunded, in part or in full, before we booked it
    bought: StoreGoods | None = None  # of stores only
    payer: str = ""  # who paid, in the words of `OpenedPayment.payer`; empty when the provider does not say
    handle: str = ""  # what the provider calls the attempt, when this says it
    test: bool = False  # play money at an account of real money (a reviewer's, a tester's)
    opened_at: datetime | None = None  # of the attempt, in whole seconds, where number and time name it together
    review: str = ""  # why the provider itself is not sure of it: money was taken, and a person has to decide


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
    CANNOT = "cannot"  # somebody is paying it and the provider closes nothing: ask until it decides


class RefundStanding(StrEnum):
    """How far a refund has come at the provider."""

    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    CLOSED = "closed"  # did not happen, or came back; a new refund number is needed
    ABNORMAL = "abnormal"  # stuck at the provider, needs a person
    UNKNOWN = "unknown"  # the provider has no such refund (yet)
    REVERSED = "reversed"  # the provider has taken the money from the buyer again


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
    handle: str = ""  # of the attempt
    requested_at: datetime = field(default_factory=lambda: datetime.now(UTC))  # equal on every repeat


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
    """A message as it arrived: the very bytes, and the headers with lower-case names.

    A GET has its query string for a body. `headers[":method"]` and `headers[":path"]` are the verb and the address
    with its query, as they came.
    """

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
    payment: PaymentProof | None = None  # the payment itself where the message carries it; it may not be booked yet


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundAsked:
    """A buyer has asked a store for the money back, and the store asks us. Nothing has moved yet."""

    attempt_no: str
    transaction_id: str
    said: str
    due_by: datetime  # what we say later than this is not heard
    payment: PaymentProof | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeNotice:
    """A buyer's bank disputes a payment (拒付), or has decided about it."""

    attempt_no: str
    transaction_id: str
    dispute_id: str
    said: str  # the provider's word for where it stands
    reason: str
    amount: Money
    due_by: datetime | None  # until when evidence is heard
    is_over: bool = False
    is_won: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NothingToDo:
    """A genuine message that moves nothing (a payment waiting, closed unpaid, an unknown event)."""

    said: str
    attempt_no: str = ""
    handle: str = ""  # what the provider calls the attempt, when this says it


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """A message that proves nothing and says whom to ask: the worker lets the adapter `follow` it."""

    said: str
    about: AttemptRef  # its attempt_no is empty when only the provider's own handle is told


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """Rightly signed, but for another merchant, application or seller: acknowledged, never applied."""

    said: str
    attempt_no: str = ""


Message = PaymentProof | RefundNotice | RefundAsked | DisputeNotice | NothingToDo | Foreign | Hint


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


class KeyNotKnown(NotificationUnreadable):
    """The message names a key of the provider's that we do not hold yet. It is being fetched: read it again soon."""


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
    notifies_by: ClassVar[str]  # the verb of its notifications, POST or GET
    # `keeps_authorization = True` is said by a provider whose messages prove themselves by that header.

    def __init__(self, credentials: Mapping[str, Any], *, live: bool = True) -> None:
        """`live`: an account of real money. Raises CredentialsInvalid. No network."""

    def open_payment(self, request: OpenRequest) -> OpenedPayment:
        """Open a payment; repeating the same request is safe. Raises ProviderError."""
        ...

    def query(self, attempt: AttemptRef) -> QueryAnswer:
        """Ask what became of an attempt. Raises ProviderError."""
        ...

    def find(self, transaction_id: str) -> QueryAnswer:
        """Ask about a payment by the provider's own number for it. Raises ProviderError."""
        ...

    def probe(self, attempt_no: str) -> ProbeAnswer:
        """Ask about a number that cannot exist, to see whether the keys are right. Raises ProviderError."""
        ...

    def close(self, attempt: AttemptRef) -> CloseAnswer:
        """Make an attempt unpayable. Repeatable. Raises ProviderError."""
        ...

    def refund(self, request: RefundRequest) -> RefundAnswer:
        """Give money back; repeating the same request never refunds twice. Raises ProviderError."""
        ...

    def query_refund(self, request: RefundRequest) -> RefundAnswer:
        """Ask what became of the refund that this request started. Raises ProviderError."""
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


# What only some providers can do. The service that needs it asks with isinstance; an adapter has the verb or has not.
@runtime_checkable
class Proving(Protocol):
    """The game's client holds something that proves a purchase, or leads to the proof."""

    def prove(self, evidence: Mapping[str, str]) -> Message:
        """Verify what a client has handed in (`Method.evidence`, all of it), asking the provider where needed.

        Raises NotificationRefused for what is not genuine, ProviderError when the provider cannot be asked.
        """
        ...


@runtime_checkable
class Following(Protocol):
    """Messages of this provider are hints."""

    def follow(self, hint: Hint) -> Message:
        """Ask the provider about a hint; never returns a Hint. Raises ProviderError."""
        ...


@runtime_checkable
class Confirming(Protocol):
    """The provider wants to know that the goods were delivered."""

    def confirm(self, attempt: AttemptRef, *, transaction_id: str) -> None:
        """Say so; repeating it is safe. Raises ProviderError."""
        ...


@runtime_checkable
class Listing(Protocol):
    """The provider lists what it has told us, or should have: what was missed is found again."""

    reaches_back: ClassVar[timedelta]  # how old what it lists may be

    def happenings(self, *, since: datetime, until: datetime) -> Iterator[Message]:
        """Verified messages of that time, oldest first where the provider can; repeats are harmless.

        Raises ProviderError.
        """
        ...
