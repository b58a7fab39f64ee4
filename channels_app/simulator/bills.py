"""The day's bills as both providers write them, from what the simulator saw. Days are Beijing days."""

import gzip
import hashlib
import io
import secrets
import time
import zipfile
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from channels_app.simulator import formats
from channels_app.simulator.rows import Merchant, Payment, Refund, Trade
from channels_app.simulator.store import Store
from channels_app.simulator.wechatpay_voice import TRADE_TYPES

_FEE = Decimal("0.006")
_TOKEN_LIVES_S = {"wechatpay": 300.0, "alipay": 30.0}

_WECHAT_COLUMNS = (
    "交易时间", "公众账号ID", "商户号", "特约商户号", "设备号", "微信订单号", "商户订单号", "用户标识",
    "交易类型", "交易状态", "付款银行", "货币种类", "应结订单金额", "代金券金额", "微信退款单号",
    "商户退款单号", "退款金额", "充值券退款金额", "退款类型", "退款状态", "商品名称", "商户数据包", "手续费",
    "费率", "订单金额", "申请退款金额", "费率备注",
)  # fmt: skip
_REFUND_ONLY = ("微信退款单号", "商户退款单号", "退款金额", "充值券退款金额", "退款类型", "退款状态", "申请退款金额")
_WECHAT_SUMMARY = (
    "总交易单数", "应结订单总金额", "退款总金额", "充值券退款总金额", "手续费总金额", "订单总金额",
    "申请退款总金额",
)  # fmt: skip
_ALIPAY_COLUMNS = (
    "支付宝交易号", "商户订单号", "业务类型", "商品名称", "创建时间", "完成时间", "门店编号", "门店名称",
    "操作员", "终端号", "对方账户", "订单金额（元）", "商家实收（元）", "支付宝红包（元）", "集分宝（元）",
    "支付宝优惠（元）", "商家优惠（元）", "券核销金额（元）", "券名称", "商家红包消费金额（元）",
    "卡消费金额（元）", "退款批次号/请求号", "服务费（元）", "分润（元）", "备注",
)  # fmt: skip
_ALIPAY_SUMMARY_COLUMNS = (
    "门店编号", "门店名称", "交易订单总笔数", "退款订单总笔数", "订单金额（元）", "商家实收（元）",
    "支付宝优惠（元）", "商家优惠（元）", "卡消费金额（元）", "服务费（元）", "分润（元）", "实收净额（元）",
)  # fmt: skip

_downloads: dict[str, tuple[int, float, bytes]] = {}


# --- asking for one ---------------------------------------------------------------------------------------
def read_day(text: str) -> date | None:
    """`YYYY-MM-DD`."""
    try:
        return date.fromisoformat(text) if len(text) == 10 else None
    except ValueError:
        return None


def is_ready(day: date, merchant: Merchant) -> bool:
    """A day's bill is made when the day is over; a merchant may be set to see today's so far."""
    today = datetime.now(formats.CHINA).date()
    return day < today or (day == today and bool(merchant.about.get("bills_at_once")))


def new_token(merchant: Merchant, content: bytes, *, packed: bool = False) -> str:
    """A word that fetches this file, for a short while."""
    now = time.time()
    for token in [token for token, (_, until, _) in _downloads.items() if until < now]:
        del _downloads[token]
    token = secrets.token_urlsafe(24)
    content = gzip.compress(content) if packed else content
    _downloads[token] = (merchant.id, now + _TOKEN_LIVES_S[merchant.provider], content)
    return token


def content_of(token: str, merchant: Merchant | None = None) -> bytes | None:
    """The file behind a token; WeChat Pay gives it to its merchant only."""
    owner, until, content = _downloads.get(token, (0, 0.0, b""))
    if until < time.time() or (merchant is not None and merchant.id != owner):
        return None
    return content


def sha1(content: bytes) -> str:
    """As WeChat Pay tells it: over the uncompressed bytes."""
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def count(store: Store, merchant: Merchant, day: date) -> int:
    """How many lines a day's bill has."""
    start, end = _bounds(day)
    return len(store.payments_between(merchant, start, end)) + len(store.refunds_between(merchant, start, end))


# --- WeChat Pay -------------------------------------------------------------------------------------------
def wechat_trade_bill(store: Store, merchant: Merchant, day: date, kind: str = "ALL") -> bytes | None:
    """ALL, SUCCESS or REFUND; None when nothing happened that day."""
    start, end = _bounds(day)
    payments = store.payments_between(merchant, start, end) if kind != "REFUND" else []
    refunds = store.refunds_between(merchant, start, end) if kind != "SUCCESS" else []
    if not payments and not refunds:
        return None
    rows = [(payment.paid_at, _wechat_payment(store, merchant, payment)) for payment in payments]
    rows += [(refund.created_at, _wechat_refund(store, merchant, refund)) for refund in refunds]
    rows.sort(key=lambda row: row[0])
    columns, summary = _wechat_layout(kind)
    totals = {
        "总交易单数": str(len(rows)),
        "应结订单总金额": formats.yuan(sum(each.amount for each in payments)),
        "退款总金额": formats.yuan(sum(each.amount for each in refunds)),
        "充值券退款总金额": "0.00",
        "手续费总金额": _fees(sum(_fee(p.amount) for p in payments) - sum(_fee(r.amount) for r in refunds)),
        "订单总金额": formats.yuan(sum(each.amount for each in payments)),
        "申请退款总金额": formats.yuan(sum(each.amount for each in refunds)),
    }
    lines = [
        ",".join(columns),
        *(_ticked([row[name] for name in columns]) for _, row in rows),
        ",".join(summary),
        _ticked([totals[name] for name in summary]),
    ]
    return "".join(f"{line}\r\n" for line in lines).encode()


def _wechat_layout(kind: str) -> tuple[Sequence[str], Sequence[str]]:
    if kind == "SUCCESS":
        columns = [name for name in _WECHAT_COLUMNS if name not in _REFUND_ONLY]
        return columns, ("总交易单数", "应结订单总金额", "手续费总金额", "订单总金额")
    if kind == "REFUND":
        at = _WECHAT_COLUMNS.index("代金券金额") + 1
        return (*_WECHAT_COLUMNS[:at], "退款申请时间", "退款成功时间", *_WECHAT_COLUMNS[at:]), _WECHAT_SUMMARY
    return _WECHAT_COLUMNS, _WECHAT_SUMMARY


def _wechat_payment(store: Store, merchant: Merchant, payment: Payment) -> dict[str, str]:
    trade = store.trade(payment.trade_id)
    return {
        **_wechat_common(merchant, trade, payment),
        "交易时间": formats.plain_time(payment.paid_at),
        "交易状态": "SUCCESS",
        "应结订单金额": formats.yuan(payment.amount),
        "微信退款单号": "0",
        "商户退款单号": "0",
        "退款金额": "0.00",
        "退款类型": "",
        "退款状态": "",
        "手续费": _fees(_fee(payment.amount)),
        "订单金额": formats.yuan(payment.amount),
        "申请退款金额": "0.00",
    }


def _wechat_refund(store: Store, merchant: Merchant, refund: Refund) -> dict[str, str]:
    payment = store.payment(refund.payment_id)
    trade = store.trade(payment.trade_id)
    return {
        **_wechat_common(merchant, trade, payment),
        "交易时间": formats.plain_time(refund.created_at),
        "退款申请时间": formats.plain_time(refund.created_at),
        "退款成功时间": formats.plain_time(refund.succeeds_at) if refund.state == "SUCCESS" else "",
        "交易状态": "REFUND",
        "应结订单金额": "0.00",
        "微信退款单号": refund.refund_id,
        "商户退款单号": refund.number,
        "退款金额": formats.yuan(refund.amount),
        "退款类型": "ORIGINAL",
        "退款状态": refund.state,
        "手续费": _fees(-_fee(refund.amount)),
        "订单金额": "0.00",
        "申请退款金额": formats.yuan(refund.amount),
    }


def _wechat_common(merchant: Merchant, trade: Trade, payment: Payment) -> dict[str, str]:
    return {
        "公众账号ID": str(merchant.about["appid"]),
        "商户号": merchant.number,
        "特约商户号": "0",
        "设备号": "",
        "微信订单号": payment.transaction_id,
        "商户订单号": trade.out_trade_no,
        "用户标识": str(trade.terms.get("payer", {}).get("openid", "")),
        "交易类型": TRADE_TYPES[trade.product],
        "付款银行": "OTHERS",
        "货币种类": "CNY",
        "代金券金额": "0.00",
        "充值券退款金额": "0.00",
        "商品名称": trade.subject,
        "商户数据包": trade.attach,
        "费率": "0.60%",
        "费率备注": "",
    }


def _ticked(values: Sequence[str]) -> str:
    return ",".join(f"`{value}" for value in values)


def _fee(fen: int) -> Decimal:
    """In yuan, 5 places."""
    return (Decimal(fen) / 100 * _FEE).quantize(Decimal("0.00001"), ROUND_HALF_UP)


def _fees(yuan: Decimal | int) -> str:
    return f"{Decimal(yuan):.5f}"


# --- Alipay -----------------------------------------------------------------------------------------------
def alipay_trade_bill(store: Store, merchant: Merchant, day: date) -> bytes | None:
    """The ZIP with the detail and summary files; None when nothing happened that day."""
    start, end = _bounds(day)
    payments, refunds = store.payments_between(merchant, start, end), store.refunds_between(merchant, start, end)
    if not payments and not refunds:
        return None
    account = f"{merchant.about['seller_id']}0156"
    name = f"{account}_{day:%Y%m%d}_业务明细"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for title, text in (
            (f"{name}(汇总).csv", _alipay_summary(account, day, payments, refunds)),
            (f"{name}.csv", _alipay_details(store, account, day, payments, refunds)),
        ):
            archive.writestr(_GbkName(title), text.encode("gb18030"))
    return packed.getvalue()


class _GbkName(zipfile.ZipInfo):
    """A member whose name is GBK without saying so, as Alipay's archives have it."""

    def __init__(self, title: str) -> None:
        # The archive keeps its members apart by this name; on paper stands the other one.
        super().__init__(title.encode("gbk").hex(), time.localtime()[:6])
        self._title = title
        self.compress_type = zipfile.ZIP_DEFLATED

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802  # the name that zipfile looks for
        return self._title.encode("gbk"), self.flag_bits


def _alipay_details(store: Store, account: str, day: date, payments: list[Payment], refunds: list[Refund]) -> str:
    rows = [(payment.paid_at, _alipay_payment(store, payment)) for payment in payments]
    rows += [(refund.created_at, _alipay_refund(store, refund)) for refund in refunds]
    rows.sort(key=lambda row: row[0])
    taken, given = sum(each.amount for each in payments), sum(each.amount for each in refunds)
    lines = [
        "#支付宝业务明细查询",
        f"#账号：[{account}]",
        _alipay_period(day),
        "#-----------------------------------------业务明细列表----------------------------------------",
        ",".join(_ALIPAY_COLUMNS),
        *(",".join(f"{_plain(row.get(column, ''))}\t" for column in _ALIPAY_COLUMNS) for _, row in rows),
        "#-----------------------------------------业务明细列表结束------------------------------------",
        f"#交易合计：{len(payments)}笔，商家实收共{formats.yuan(taken)}元，商家优惠共0.00元",
        f"#退款合计：{len(refunds)}笔，商家实收退款共{formats.yuan(-given)}元，商家优惠退款共0.00元",
        f"#导出时间：[{datetime.now(formats.CHINA):%Y年%m月%d日 %H:%M:%S}]",
    ]
    return "".join(f"{line}\r\n" for line in lines)


def _alipay_summary(account: str, day: date, payments: list[Payment], refunds: list[Refund]) -> str:
    taken, given = sum(each.amount for each in payments), sum(each.amount for each in refunds)
    fee = sum((_fee(p.amount) for p in payments), Decimal(0)) - sum((_fee(r.amount) for r in refunds), Decimal(0))
    net = Decimal(taken - given) / 100 - fee
    total = [
        "合计", "", str(len(payments)), str(len(refunds)), formats.yuan(taken - given), formats.yuan(taken - given),
        "0.00", "0.00", "0.00", f"{-fee:.2f}", "0.00", f"{net:.2f}",
    ]  # fmt: skip
    lines = [
        "#支付宝业务汇总查询",
        f"#账号：[{account}]",
        _alipay_period(day),
        "#-----------------------------------------业务汇总列表----------------------------------------",
        ",".join(_ALIPAY_SUMMARY_COLUMNS),
        ",".join(f"{value}\t" for value in total),
        "#-----------------------------------------业务汇总列表结束------------------------------------",
        f"#导出时间：[{datetime.now(formats.CHINA):%Y年%m月%d日 %H:%M:%S}]",
    ]
    return "".join(f"{line}\r\n" for line in lines)


def _alipay_period(day: date) -> str:
    after = day + timedelta(days=1)
    return f"#起始日期：[{day:%Y年%m月%d日} 00:00:00]   终止日期：[{after:%Y年%m月%d日} 00:00:00]"


def _alipay_payment(store: Store, payment: Payment) -> dict[str, str]:
    trade = store.trade(payment.trade_id)
    return {**_alipay_common(trade, payment), "业务类型": "交易", **_alipay_money(payment.amount, payment.paid_at)}


def _alipay_refund(store: Store, refund: Refund) -> dict[str, str]:
    payment = store.payment(refund.payment_id)
    common = _alipay_common(store.trade(payment.trade_id), payment)
    return {
        **common,
        "业务类型": "退款",
        **_alipay_money(-refund.amount, refund.created_at),
        "退款批次号/请求号": refund.number,
    }


def _alipay_common(trade: Trade, payment: Payment) -> dict[str, str]:
    return {
        "支付宝交易号": payment.transaction_id,
        "商户订单号": trade.out_trade_no,
        "商品名称": trade.subject,
        "创建时间": formats.plain_time(trade.created_at),
        "对方账户": "*测试(159****5620)",
    }


def _alipay_money(fen: int, at: float) -> dict[str, str]:
    nothing = ("支付宝红包（元）", "集分宝（元）", "支付宝优惠（元）", "商家优惠（元）", "券核销金额（元）",
               "商家红包消费金额（元）", "卡消费金额（元）", "分润（元）")  # fmt: skip
    fee = _fee(abs(fen)) * (-1 if fen > 0 else 1)
    return {
        "完成时间": formats.plain_time(at),
        "订单金额（元）": formats.yuan(fen),
        "商家实收（元）": formats.yuan(fen),
        "服务费（元）": f"{fee:.2f}",
        **dict.fromkeys(nothing, "0.00"),
    }


def _plain(value: str) -> str:
    """Alipay's bills quote nothing; a line break in a name would end the row."""
    return " ".join(value.split()) if value.strip() else ""


def _bounds(day: date) -> tuple[float, float]:
    start = datetime(day.year, day.month, day.day, tzinfo=formats.CHINA)
    return start.timestamp(), (start + timedelta(days=1)).timestamp()
