"""What a person or a test can make happen to a trade, by the names of the control API."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

from django_stubs_ext import StrOrPromise

from channels_app.simulator import formats
from channels_app.simulator.rows import GENUINE, PAID, PROBE, WAITING, Notice, Payment, Trade
from channels_app.simulator.trading import Refused, Telling
from channels_app.simulator.weather import World

NOTIFY_MODES = ("normal", "lost", "delayed", "reordered")
REFUND_STATES = ("SUCCESS", "ABNORMAL", "CLOSED")
_MOST_TIMES = 200
WAIT_S = 20.0
_TELLING_FIELDS = ("notify", "delay_s")


@dataclass(frozen=True, slots=True)
class Done:
    """What was done, in one sentence, and the notifications it caused."""

    said: str
    notices: list[Notice] = field(default_factory=list)


# What some parts say of themselves.
@runtime_checkable
class Lacking(Protocol):
    """A provider at which not all of this can happen."""

    lacks: ClassVar[frozenset[str]]  # names of acts


@runtime_checkable
class Peculiar(Protocol):
    """A provider at which more can happen to a trade: each is posted to `/control/{code}/{out_trade_no}/{name}`."""

    own_acts: ClassVar[Mapping[str, StrOrPromise]]  # by name: what its button says


Act = Callable[[Trade, Mapping[str, Any]], Awaitable[Done]]


class Acting:
    """The acts."""

    def __init__(self, world: World) -> None:
        """`world`: what the simulator knows and can do."""
        self._store = world.store
        self._parts = world.parts
        self._trading = world.trading
        self._notifier = world.notifier
        self._acts: Mapping[str, tuple[Act, tuple[str, ...]]] = {
            "pay": (self._pay, ("paid_at", *_TELLING_FIELDS)),
            "pay-twice": (self._pay_twice, _TELLING_FIELDS),
            "pay-late": (self._pay_late, _TELLING_FIELDS),
            "wrong-amount": (self._wrong_amount, ("amount", *_TELLING_FIELDS)),
            "foreign-merchant": (self._foreign_merchant, ()),
            "close": (self._close, ()),
            "refund": (self._refund, ("amount", "transaction_id", "status", *_TELLING_FIELDS)),
            "notify": (self._notify, ("times", "at_once", "new_ids")),
            "forged": (self._forged, ()),
            "probe": (self._probe, ()),
        }

    def at(self, provider: str) -> tuple[str, ...]:
        """What can happen at a provider."""
        part = self._parts.get(provider)
        lacks = {"probe"} if provider != "wechatpay" else set()
        if isinstance(part, Lacking):
            lacks |= part.lacks
        return tuple(name for name in self._acts if name not in lacks)

    def fields(self, name: str) -> tuple[str, ...]:
        """What an act can be told."""
        return self._acts[name][1] if name in self._acts else ()

    async def act(self, trade: Trade, name: str, asked: Mapping[str, Any]) -> Done:
        """Do it; `wait` in `asked` waits for what was answered to the notifications. Raises Refused."""
        if name not in self.at(trade.provider):
            raise Refused("unknown_action", f"there is {', '.join(self.at(trade.provider))}")
        act, fields = self._acts[name]
        if unknown := sorted(set(asked) - {*fields, "wait", "merchant"}):
            raise Refused("unknown_field", f"{name} takes {', '.join(fields) or 'no fields'}, not {', '.join(unknown)}")
        done = await act(self._trading.current(trade), asked)
        if asked.get("wait"):
            await self._notifier.answers(done.notices, within_s=WAIT_S)
        return done

    async def _pay(self, trade: Trade, asked: Mapping[str, Any]) -> Done:
        paid_at = None
        if "paid_at" in asked:
            paid_at = formats.read_rfc3339(str(asked["paid_at"]))
            if paid_at is None:
                raise Refused("invalid_field", "paid_at is a time like 2026-01-02T03:04:05+08:00")
        payment, notice = self._trading.pay(trade, paid_at=paid_at, telling=telling_of(asked))
        return Done(
            f"paid {formats.money(payment.amount, trade.currency)}, transaction {payment.transaction_id}", [notice]
        )

    async def _pay_twice(self, trade: Trade, asked: Mapping[str, Any]) -> Done:
        """One payment more than there should be: two for an unpaid trade."""
        notices = []
        if trade.state == WAITING:
            notices.append(self._trading.pay(trade, telling=telling_of(asked))[1])
        payment, notice = self._trading.pay(self._store.trade(trade.id), anyhow=True, telling=telling_of(asked))
        return Done(f"paid once more, transaction {payment.transaction_id}", [*notices, notice])

    async def _pay_late(self, trade: Trade, asked: Mapping[str, Any]) -> Done:
        if trade.state == PAID:
            raise Refused(PAID, "the trade is paid")
        payment, notice = self._trading.pay(trade, anyhow=True, telling=telling_of(asked))
        return Done(f"paid although {trade.state}, transaction {payment.transaction_id}", [notice])

    async def _wrong_amount(self, trade: Trade, asked: Mapping[str, Any]) -> Done:
        amount = _amount(asked) or (trade.amount - 1 or 2)
        payment, notice = self._trading.pay(trade, amount=amount, telling=telling_of(asked))
        paid, due = (formats.money(minor, trade.currency) for minor in (payment.amount, trade.amount))
        return Done(f"paid {paid} instead of {due}", [notice])

    async def _foreign_merchant(self, trade: Trade, asked: Mapping[str, Any]) -> Done:
        return Done("told of another merchant's payment", [self._trading.tell_foreign(trade)])

    async def _close(self, trade: Trade, asked: Mapping[str, Any]) -> Done:
        before = {notice.id for notice in self._store.notices(trade=trade)}
        self._trading.close(trade)
        return Done("closed", [each for each in self._store.notices(trade=trade) if each.id not in before])

    async def _refund(self, trade: Trade, asked: Mapping[str, Any]) -> Done:
        payment = self._payment(trade, asked.get("transaction_id"))
        state = asked.get("status", "SUCCESS")
        if state not in REFUND_STATES or (trade.provider == "alipay" and state != "SUCCESS"):
            raise Refused("invalid_field", f"status is {', '.join(REFUND_STATES)}; at Alipay refunds succeed")
        refund, notice = self._trading.refund(
            payment,
            amount=_amount(asked) or payment.amount - self._trading.refunded(payment),
            state=state,
            reason="back office",
            # The address for refunds of the merchant's console; here it is the payment's.
            notify_url=trade.notify_url,
            telling=telling_of(asked),
        )
        said = f"refunded {formats.money(refund.amount, trade.currency)} as {refund.number}, {refund.state}"
        return Done(said if notice else f"{said}; this product tells nobody", [notice] if notice else [])

    async def _notify(self, trade: Trade, asked: Mapping[str, Any]) -> Done:
        notice = self._current_notice(trade)
        times = asked.get("times", 1)
        if type(times) is not int or not 1 <= times <= _MOST_TIMES:
            raise Refused("invalid_field", f"times is a whole number from 1 to {_MOST_TIMES}")
        at_once = bool(asked.get("at_once", True))
        if not asked.get("new_ids"):
            await self._notifier.send_again(notice, times=times, at_once=at_once)
            return Done(f"sent {notice.event} {times} times", [notice])
        notices = []
        for _ in range(times):
            notices.append(self._trading.tell_again(notice))
            if not at_once:
                await self._notifier.answers(notices[-1:], within_s=WAIT_S)
        return Done(f"sent {notice.event} as {times} notifications", notices)

    async def _forged(self, trade: Trade, asked: Mapping[str, Any]) -> Done:
        return Done("told by somebody without the provider's key", [self._trading.tell_forged(trade)])

    async def _probe(self, trade: Trade, asked: Mapping[str, Any]) -> Done:
        """WeChat Pay's deliberate wrong signature, then the genuine one; an unpaid trade is paid for it."""
        if trade.state == PAID:
            notice = self._trading.tell_paid(trade, self._payment(trade, None), Telling(how=PROBE))
        else:
            _, notice = self._trading.pay(trade, telling=Telling(how=PROBE))
        return Done("sent a deliberate wrong signature, then the genuine one", [notice])

    def _payment(self, trade: Trade, transaction_id: Any) -> Payment:
        payments = self._store.payments(trade)
        chosen = [each for each in payments if transaction_id in (None, each.transaction_id)]
        if not chosen:
            raise Refused("not_paid", "there is no such payment of this trade")
        return chosen[0]

    def _current_notice(self, trade: Trade) -> Notice:
        """The newest one that is about what really happened."""
        for notice in self._store.notices(trade=trade):
            if notice.how in (GENUINE, PROBE):
                return notice
        raise Refused("nothing_to_tell", "nothing happened yet that the provider tells")


def telling_of(asked: Mapping[str, Any]) -> Telling:
    """How the notification of a deed travels: `notify` and `delay_s`. Raises Refused."""
    mode, delay_s = asked.get("notify", "normal"), asked.get("delay_s")
    if mode not in NOTIFY_MODES:
        raise Refused("invalid_field", f"notify is {', '.join(NOTIFY_MODES)}")
    if delay_s is not None and (type(delay_s) not in (int, float) or not 0 <= delay_s <= 86400 * 30):
        raise Refused("invalid_field", "delay_s is a number of seconds")
    return Telling(mode=mode, delay_s=delay_s)


def _amount(asked: Mapping[str, Any]) -> int | None:
    amount = asked.get("amount")
    if amount is not None and (type(amount) is not int or amount <= 0):
        raise Refused("invalid_field", "amount is a whole number of minor units (fen) above 0")
    return amount
