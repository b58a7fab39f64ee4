"""How UnionPay tells a merchant: signed forms with its certificate inside, under the order number of each matter."""

import re
import time
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from urllib.parse import urlencode

from channels_app.simulator import formats, keys
from channels_app.simulator.merchants import Platform
from channels_app.simulator.rows import FORGED, Merchant, Notice, Refund
from channels_app.simulator.store import new_number
from channels_app.simulator.unionpay_merchant import certificates
from channels_app.simulator.voices import News, Subject

CONSUME, REFUND, UNDO = "01", "04", "31"
CODES: Mapping[str, str] = {
    "00": "成功[0000000]",
    "A6": "有缺陷的成功[0000000]",
    "01": "交易失败[6100100]",
    "04": "交易状态未明，请查询对账结果[6100104]",
    "05": "交易已受理，请稍后查询交易结果[6154037]",
    "10": "报文格式错误[6100030]",
    "11": "验证签名失败[9100004]",
    "12": "重复交易[2040004]",
    "30": "交易未通过，请尝试使用其他银联卡支付或联系95516[6100130]",
    "31": "商户状态不正确[6100131]",
    "34": "查无此交易[2600000]",
    "35": "原交易不存在或状态不正确[2030028]",
    "36": "与原交易信息不符[2030036]",
    "37": "已超过最大查询次数或操作过于频繁[6100137]",
    "42": "扣款成功但交易超过规定支付时间[6100142]",
    "45": "原交易已被成功退货或已被成功撤销[2040045]",
    "74": "扣款成功，销账未知[6100174]",
    "75": "扣款成功，销账失败[6100175]",
    "98": "文件不存在[6100198]",
}
_OF_REFUND = {"SUCCESS": "00", "PROCESSING": "05", "CLOSED": "30", "ABNORMAL": "75"}
_BEGUN_AS = re.compile(r"(04|31) ([0-9]{14})")
_STRANGERS_NUMBER = "777999999999999"


class UnionPayVoice:
    """UnionPay as a sender: five times within twelve minutes."""

    ladder_s: tuple[int, ...] = (60, 120, 240, 300)
    verb = "POST"
    patience_s = 10.0

    def __init__(self, platform: Platform) -> None:
        """`platform` holds the keys."""
        self._platform = platform

    def new_transaction_id(self, at: float) -> str:
        """What UnionPay calls queryId, 21 digits."""
        return new_number(at, "", 13)

    def new_refund_id(self, at: float) -> str:
        """A refund is a transaction as well."""
        return self.new_transaction_id(at)

    def new_notice_number(self) -> str:
        """UnionPay's notifications have none; ours is for the simulator's own page."""
        return new_number(time.time(), "N", 12)

    def paid(self, about: Subject) -> News:
        """A consume with its result."""
        return News(event="consume", content=self.fields(about, "00"))

    def refunded(self, about: Subject) -> News | None:
        """A refund or an undoing with its result, under its own order number."""
        refund, payment = about.refund, about.payment
        if refund is None or payment is None:
            raise TypeError("no refund to tell of")
        return News(event="refund", content=refund_fields(about.merchant, refund, payment.transaction_id))

    def closed(self, about: Subject) -> News | None:
        """Nobody is told."""
        return None

    def as_foreign(self, news: News) -> News:
        """Another merchant's payment under our number."""
        return News(event=news.event, content={**news.content, "merId": _STRANGERS_NUMBER})

    def letter(self, notice: Notice, merchant: Merchant, how: str) -> tuple[Mapping[str, str], bytes]:
        """The form."""
        sealed = self.sealed(notice.content, by="stranger" if how == FORGED else "unionpay")
        return {"Content-Type": "application/x-www-form-urlencoded;charset=UTF-8"}, urlencode(sealed).encode()

    def is_acknowledged(self, status: int, answer: bytes) -> bool:
        """Whatever the body says."""
        return status in (200, 302)

    def sealed(self, fields: Mapping[str, str], *, by: str = "unionpay") -> dict[str, str]:
        """The fields with certificate and signature."""
        _root, _middle, own = certificates(self._platform)
        told = {**fields, "version": "5.1.0", "encoding": "UTF-8", "signMethod": "01", "signPubKeyCert": own}
        return {**told, "signature": keys.sign(self._platform.key(by), digest_of(told))}

    @staticmethod
    def fields(about: Subject, code: str) -> dict[str, str]:
        """What is told of a payment."""
        trade, payment = about.trade, about.payment
        if payment is None:
            raise TypeError("no payment to tell of")
        return {
            "accessType": "0",
            "accNo": "6226********0048",
            "bizType": "000201",
            "currencyCode": "156",
            "exchangeRate": "0",
            "merId": about.merchant.number,
            "orderId": trade.out_trade_no,
            "payCardType": "01",
            "queryId": payment.transaction_id,
            "respCode": code,
            "respMsg": CODES[code],
            "settleAmt": str(payment.amount),
            "settleCurrencyCode": "156",
            "settleDate": full_time(payment.paid_at)[4:8],
            "traceNo": payment.transaction_id[-6:],
            "traceTime": full_time(payment.paid_at)[4:],
            "txnAmt": str(payment.amount),
            "txnSubType": "01",
            "txnTime": str(trade.terms["txnTime"]),
            "txnType": CONSUME,
        }


def refund_fields(merchant: Merchant, refund: Refund, query_id_of_payment: str) -> dict[str, str]:
    """What is told of a refund."""
    kind, asked_at = begun_as(refund)
    code = _OF_REFUND[refund.state]
    return {
        "accessType": "0",
        "bizType": "000201",
        "currencyCode": "156",
        "merId": merchant.number,
        "orderId": refund.number,
        "origQryId": query_id_of_payment,
        "queryId": refund.refund_id,
        "respCode": code,
        "respMsg": CODES[code],
        "settleDate": full_time(refund.created_at)[4:8],
        "traceNo": refund.refund_id[-6:],
        "traceTime": full_time(refund.created_at)[4:],
        "txnAmt": str(refund.amount),
        "txnSubType": "00",
        "txnTime": asked_at,
        "txnType": kind,
    }


def begun_as(refund: Refund) -> tuple[str, str]:
    """Its txnType and txnTime, which are kept as the reason UnionPay never asks for; the back office has neither."""
    found = _BEGUN_AS.fullmatch(refund.reason)
    return (found[1], found[2]) if found else (REFUND, full_time(refund.created_at))


def digest_of(fields: Mapping[str, str]) -> bytes:
    """What is signed: the digest of the text, as hexadecimal digits."""
    text = "&".join(f"{name}={value}" for name, value in sorted(fields.items()) if name != "signature" and value)
    return sha256(text.encode()).hexdigest().encode()


def full_time(at: float) -> str:
    """`20260102030405`."""
    return datetime.fromtimestamp(at, formats.CHINA).strftime("%Y%m%d%H%M%S")


def read_full_time(text: str) -> float | None:
    """Unix seconds; None when it is no time."""
    if not re.fullmatch(r"[0-9]{14}", text):
        return None
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=formats.CHINA).timestamp()
    except ValueError:
        return None
