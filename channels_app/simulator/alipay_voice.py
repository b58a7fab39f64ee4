"""How Alipay tells a merchant: signed forms, the same words for a payment, a partial refund and an end."""

import secrets
import time
from collections.abc import Mapping
from urllib.parse import urlencode

from channels_app.simulator import formats, keys
from channels_app.simulator.merchants import Platform
from channels_app.simulator.rows import FORGED, Merchant, Notice, Payment, Trade
from channels_app.simulator.store import new_number
from channels_app.simulator.voices import News, Subject

BUYER_ID = "2088102122524333"
BUYER_LOGON_ID = "159****5620"
# The products whose merchants are told that a trade was closed.
_TELL_CLOSING = ("app", "wap")


class AlipayVoice:
    """Alipay as a sender."""

    ladder_s: tuple[int, ...] = (240, 600, 600, 3600, 7200, 21600, 54000)
    verb = "POST"
    patience_s = 10.0

    def __init__(self, platform: Platform) -> None:
        """`platform` holds the keys."""
        self._platform = platform

    def new_transaction_id(self, at: float) -> str:
        """28 digits: what Alipay calls trade_no."""
        return new_number(at, "", 20)

    def new_refund_id(self, at: float) -> str:
        """Alipay shows nobody its number of a refund."""
        return new_number(at, "R", 18)

    def new_notice_number(self) -> str:
        """34 characters."""
        return secrets.token_hex(17)

    def paid(self, about: Subject) -> News:
        """TRADE_SUCCESS."""
        return News(event="TRADE_SUCCESS", content=self._fields(about, "TRADE_SUCCESS"))

    def refunded(self, about: Subject) -> News | None:
        """TRADE_SUCCESS once more after a partial refund, TRADE_CLOSED after the last one."""
        refund, payment = about.refund, about.payment
        if refund is None or payment is None:
            raise TypeError("no refund to tell of")
        is_full = about.refunded >= payment.amount
        if is_full and about.trade.product not in _TELL_CLOSING:
            return None
        at = formats.plain_time(refund.created_at)
        more = {
            "refund_fee": formats.yuan(about.refunded),
            "gmt_refund": f"{at}.{int(refund.created_at * 1000) % 1000:03d}",
            "out_biz_no": refund.number,
        }
        if is_full:
            more["gmt_close"] = at
        status = "TRADE_CLOSED" if is_full else "TRADE_SUCCESS"
        return News(event=status, content={**self._fields(about, status), **more})

    def closed(self, about: Subject) -> News | None:
        """TRADE_CLOSED without a payment."""
        trade = about.trade
        if trade.product not in _TELL_CLOSING or not trade.opened:
            return None
        fields = self._fields(about, "TRADE_CLOSED")
        return News(
            event="TRADE_CLOSED",
            content={**fields, "gmt_close": formats.plain_time(trade.closed_at or time.time())},
        )

    def as_foreign(self, news: News) -> News:
        """Another application's payment of another seller under our number."""
        other = {
            "app_id": "2021009999999999",
            "auth_app_id": "2021009999999999",
            "seller_id": "2088999999999999",
        }
        return News(event=news.event, content={**news.content, **other})

    def letter(self, notice: Notice, merchant: Merchant, how: str) -> tuple[Mapping[str, str], bytes]:
        """The form, signed without `sign` and `sign_type`."""
        fields = {
            **notice.content,
            "notify_time": formats.plain_time(time.time()),
            "notify_id": notice.number,
            "sign_type": "RSA2",
        }
        owner = "stranger" if how == FORGED else "alipay"
        fields["sign"] = keys.sign(self._platform.key(owner), notification_text(fields).encode())
        headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
        return headers, urlencode(fields).encode()

    def is_acknowledged(self, status: int, answer: bytes) -> bool:
        """Exactly `success`, nothing else."""
        return status == 200 and answer == b"success"

    def returning(self, trade: Trade, merchant: Merchant, payment: Payment, method: str) -> str:
        """The signed parameters with which a buyer's browser comes back to the merchant's page."""
        fields = {
            "charset": "utf-8",
            "out_trade_no": trade.out_trade_no,
            "method": f"{method}.return",
            "total_amount": formats.yuan(payment.amount),
            "trade_no": payment.transaction_id,
            "auth_app_id": merchant.number,
            "version": "1.0",
            "app_id": merchant.number,
            "sign_type": "RSA2",
            "seller_id": merchant.about["seller_id"],
            "timestamp": formats.plain_time(time.time()),
        }
        fields["sign"] = keys.sign(self._platform.key("alipay"), notification_text(fields).encode())
        return urlencode(fields)

    @staticmethod
    def _fields(about: Subject, status: str) -> dict[str, str]:
        trade, payment = about.trade, about.payment
        amount = formats.yuan(payment.amount if payment else trade.amount)
        fields = {
            "notify_type": "trade_status_sync",
            "app_id": about.merchant.number,
            "auth_app_id": about.merchant.number,
            "charset": "utf-8",
            "version": "1.0",
            "trade_no": payment.transaction_id if payment else trade.trade_no,
            "out_trade_no": trade.out_trade_no,
            "buyer_id": BUYER_ID,
            "buyer_logon_id": BUYER_LOGON_ID,
            "seller_id": about.merchant.about["seller_id"],
            "seller_email": "pay***@example.com",
            "trade_status": status,
            "total_amount": amount,
            "subject": trade.subject,
            "gmt_create": formats.plain_time(trade.created_at),
        }
        if trade.terms.get("body"):
            fields["body"] = str(trade.terms["body"])
        if trade.attach:
            fields["passback_params"] = trade.attach
        if payment:
            fields |= {
                "receipt_amount": amount,
                "invoice_amount": amount,
                "buyer_pay_amount": amount,
                "point_amount": "0.00",
                "gmt_payment": formats.plain_time(payment.paid_at),
                "fund_bill_list": formats.compact_json([{"amount": amount, "fundChannel": "ALIPAYACCOUNT"}]),
            }
        return fields


def notification_text(fields: Mapping[str, str]) -> str:
    """What is signed of a form that Alipay sends."""
    return "&".join(f"{name}={fields[name]}" for name in sorted(fields) if name not in ("sign", "sign_type"))
