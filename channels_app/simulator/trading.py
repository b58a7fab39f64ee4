"""What can happen to a trade at a provider, and whom it tells: paying, closing, refunding, in good and bad weather."""

import asyncio
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass

from channels_app.simulator.notifying import Notifier
from channels_app.simulator.rows import (
    CLOSED,
    DUE,
    FOREIGN,
    FORGED,
    GENUINE,
    HELD,
    LOST,
    PAID,
    WAITING,
    Notice,
    Payment,
    Refund,
    Trade,
)
from channels_app.simulator.store import Store
from channels_app.simulator.voices import News, Subject, Voice

_HOUSEKEEPING_S = 0.5
_REFUND_TAKES_S = 2.0
_HELD_AT_MOST_S = 30.0


class Refused(Exception):
    """It cannot be done; `code` says it for machines."""

    def __init__(self, code: str, message: str) -> None:
        """Remember both."""
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """How the notification of a deed travels: normal, lost, delayed by `delay_s`, reordered (after the next one)."""

    mode: str = "normal"
    delay_s: float | None = None
    how: str = GENUINE


_PLAINLY = Telling()


class Trading:
    """The deeds."""

    def __init__(self, store: Store, voices: Mapping[str, Voice], notifier: Notifier, *, speed: float) -> None:
        """`speed` shortens what takes time at a provider."""
        self.store = store
        self._voices = voices
        self._notifier = notifier
        self._speed = speed

    @property
    def speed(self) -> float:
        """What every wait at a provider is divided by."""
        return self._speed

    async def keep_house(self) -> None:
        """Close what nobody paid in time, finish refunds under way; until cancelled."""
        while True:
            now = time.time()
            for trade in self.store.overdue_trades(now):
                self.current(trade)
            for refund in self.store.refunds_under_way(now):
                self.ripe(refund)
            await asyncio.sleep(_HOUSEKEEPING_S)

    def current(self, trade: Trade) -> Trade:
        """The trade as it stands now: unpaid and past its time means closed."""
        if trade.state == WAITING and trade.expires_at <= time.time():
            return self.close(trade)
        return trade

    def open(self, trade: Trade) -> Trade:
        """The buyer is there: from now on Alipay knows the trade."""
        return self.store.open_trade(trade, self._voices[trade.provider].new_transaction_id(time.time()))

    def pay(
        self, trade: Trade, *, amount: int | None = None, paid_at: float | None = None, anyhow: bool = False,
        telling: Telling = _PLAINLY,
    ) -> tuple[Payment, Notice]:  # fmt: skip
        """Take the money and tell the merchant. `anyhow`: although it is closed, or paid already."""
        trade = self.current(trade)
        if not anyhow and trade.state != WAITING:
            raise Refused(trade.state, f"the trade is {trade.state}")
        if not trade.opened:
            trade = self.open(trade)
        now = time.time()
        # The number of a trade is that of its (first) payment.
        is_first = not self.store.payments(trade)
        number = trade.trade_no if trade.provider in ("alipay", "stripe") and is_first else ""
        payment = self.store.add_payment(
            trade,
            transaction_id=number or self._voices[trade.provider].new_transaction_id(now),
            amount=trade.amount if amount is None else amount,
            at=now if paid_at is None else paid_at,
        )
        return payment, self.tell_paid(self.store.trade(trade.id), payment, telling)

    def close(self, trade: Trade) -> Trade:
        """Make an unpaid trade unpayable; those products that tell it, tell it."""
        if trade.state == PAID:
            raise Refused(PAID, "the trade is paid")
        if trade.state == CLOSED:
            return trade
        closed = self.store.close_trade(trade, time.time())
        news = self._voices[trade.provider].closed(self._about(closed))
        if news is not None:
            self._tell(closed, news, _PLAINLY)
        return closed

    def refund(
        self, payment: Payment, *, amount: int, number: str = "", state: str = "SUCCESS", reason: str = "",
        notify_url: str = "", telling: Telling = _PLAINLY,
    ) -> tuple[Refund, Notice | None]:  # fmt: skip
        """Give money back. Without a number it is the provider's own refund. PROCESSING ends by itself."""
        trade = self.store.trade(payment.trade_id)
        if not 0 < amount <= payment.amount - self.refunded(payment):
            raise Refused("too_much", "more than is left of the payment")
        now = time.time()
        takes_s = _REFUND_TAKES_S / self._speed if state == "PROCESSING" else 0.0
        refund = self.store.add_refund(
            payment,
            number=number or f"BACKOFFICE{secrets.token_hex(8).upper()}",
            refund_id=self._voices[trade.provider].new_refund_id(now),
            amount=amount,
            state=state,
            reason=reason,
            notify_url=notify_url,
            created_at=now,
            succeeds_at=now + takes_s,
        )
        return refund, None if state == "PROCESSING" else self.tell_refunded(trade, payment, refund, telling)

    def ripe(self, refund: Refund) -> Refund:
        """The refund as it stands now."""
        if refund.state != "PROCESSING" or refund.succeeds_at > time.time():
            return refund
        refund = self.store.refund_succeeded(refund)
        payment = self.store.payment(refund.payment_id)
        self.tell_refunded(self.store.trade(payment.trade_id), payment, refund, _PLAINLY)
        return refund

    def refunded(self, payment: Payment) -> int:
        """What was given back, or is on its way back, of one payment."""
        return sum(each.amount for each in self.store.refunds(payment) if each.state != "CLOSED")

    # --- telling --------------------------------------------------------------------------------------------
    def tell_paid(self, trade: Trade, payment: Payment, telling: Telling = _PLAINLY) -> Notice:
        """The notification of a payment."""
        return self._tell(trade, self._voices[trade.provider].paid(self._about(trade, payment)), telling)

    def tell_foreign(self, trade: Trade) -> Notice:
        """A rightly signed payment notification that belongs to another merchant."""
        voice = self._voices[trade.provider]
        news = voice.as_foreign(voice.paid(self._about(trade, self.latest_or_invented(trade))))
        return self._tell(trade, news, Telling(how=FOREIGN))

    def tell_forged(self, trade: Trade) -> Notice:
        """A payment notification by somebody who has not the provider's key; sent once."""
        return self.tell_paid(trade, self.latest_or_invented(trade), Telling(how=FORGED))

    def tell_refunded(self, trade: Trade, payment: Payment, refund: Refund, telling: Telling) -> Notice | None:
        """The notification of a refund; None when the provider tells nobody."""
        about = self._about(trade, payment, refund)
        news = self._voices[trade.provider].refunded(about)
        # Alipay writes to the payment's address. WeChat Pay writes to the refund call's, and only to that.
        url = trade.notify_url if trade.provider == "alipay" else refund.notify_url
        return self._tell(trade, news, telling, url=url) if news and url else None

    def tell_again(self, notice: Notice) -> Notice:
        """The same news as a notification of its own."""
        trade = self.store.trade(notice.trade_id)
        return self._tell(trade, News(event=notice.event, content=notice.content), _PLAINLY, url=notice.url)

    def latest_or_invented(self, trade: Trade) -> Payment:
        """The last payment; for an unpaid trade one that never happened."""
        payments = self.store.payments(trade)
        now = time.time()
        number = self._voices[trade.provider].new_transaction_id(now)
        return (
            payments or [Payment(id=0, trade_id=trade.id, transaction_id=number, amount=trade.amount, paid_at=now)]
        )[-1]

    def _tell(self, trade: Trade, news: News, telling: Telling, *, url: str = "") -> Notice:
        held = telling.mode == "reordered"
        delay_s = telling.delay_s if telling.delay_s is not None else _HELD_AT_MOST_S
        notice = self.store.add_notice(
            trade,
            number=self._voices[trade.provider].new_notice_number(),
            event=news.event,
            content=news.content,
            url=url,
            state=HELD if held else LOST if telling.mode == "lost" else DUE,
            how=telling.how,
            delay_s=delay_s if held or telling.mode == "delayed" else 0.0,
        )
        self._notifier.wake()
        return notice

    def _about(self, trade: Trade, payment: Payment | None = None, refund: Refund | None = None) -> Subject:
        return Subject(
            merchant=self.store.merchant_of(trade),
            trade=trade,
            payment=payment,
            refund=refund,
            refunded=self.refunded(payment) if payment and payment.id else 0,
        )
