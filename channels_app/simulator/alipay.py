"""Alipay's gateway as a merchant meets it: signed forms in, JSON with a signed node out, status 200 for everything."""

import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web

from channels_app.simulator import bills, formats, keys
from channels_app.simulator.alipay_voice import BUYER_ID, BUYER_LOGON_ID
from channels_app.simulator.rows import CLOSED, PAID, Merchant, Payment, Refund, Trade, Weather
from channels_app.simulator.weather import World, instead_of_answer, spares_the_deed

CODE_PREFIX = "https://qr.alipay.com/"
BILL_PATH = "/downloadBillFile.resource"
_OUT_TRADE_NO = re.compile(r"[0-9A-Za-z_]{1,64}")
_TIMEOUT = re.compile(r"([1-9][0-9]{0,4})([mhd])")
_UNITS_S = {"m": 60, "h": 3600, "d": 86400}
_LONGEST_S = 15 * 86400.0
_CODE_LIVES_S = 2 * 3600.0
_CLOCK_TOLERANCE_S = 900.0
_MOST_FEN = 10_000_000_000
# Handed to the buyer's side and carried here by it: method → product and its product_code.
PRESENTED: Mapping[str, tuple[str, str]] = {
    "alipay.trade.app.pay": ("app", "QUICK_MSECURITY_PAY"),
    "alipay.trade.wap.pay": ("wap", "QUICK_WAP_WAY"),
    "alipay.trade.page.pay": ("page", "FAST_INSTANT_TRADE_PAY"),
}

Parameters = Mapping[str, str]
Document = dict[str, Any]
Deed = Callable[[Merchant, Document, Parameters], Document]


class GatewayFault(Exception):
    """The gateway would not even pass the request on: 4000x, unsigned."""

    def __init__(self, code: str, sub_code: str, message: str) -> None:
        """As the provider says it."""
        super().__init__(message)
        self.code = code
        self.sub_code = sub_code


class BusinessFault(Exception):
    """40004: understood and refused."""

    def __init__(self, sub_code: str, message: str) -> None:
        """As the provider says it."""
        super().__init__(message)
        self.sub_code = sub_code


class Alipay:
    """The HTTP side."""

    def __init__(self, world: World) -> None:
        """`world`: what the simulator knows and can do."""
        self._world = world
        self._store = world.store
        self._deeds: Mapping[str, tuple[str, Deed]] = {
            "alipay.trade.precreate": ("create", self._precreate),
            "alipay.trade.query": ("query", self._query),
            "alipay.trade.close": ("close", self._close),
            "alipay.trade.cancel": ("close", self._cancel),
            "alipay.trade.refund": ("refund", self._refund),
            "alipay.trade.fastpay.refund.query": ("query", self._query_refund),
            "alipay.data.dataservice.bill.downloadurl.query": ("bill", self._bill_address),
        }

    async def answer(self, request: web.Request, parameters: Parameters) -> web.StreamResponse:
        """One server-to-server call."""
        method = parameters.get("method", "")
        merchant: Merchant | None = None
        weather: Weather | None = None
        try:
            merchant = self.caller(parameters, tolerance_s=_CLOCK_TOLERANCE_S)
            call, deed = self._deeds.get(method, ("query", _nothing_there))
            weather = self._store.take_weather("alipay", call)
            node = self._node(deed, merchant, {**parameters, "_host": request.host}, weather)
        except GatewayFault as fault:
            document = _no(fault.code, "Invalid Arguments", fault.sub_code, str(fault))
            return _text_answer(formats.compact_json({"error_response": document}))
        other = await instead_of_answer(weather, request, self._world)
        return other or _text_answer(self._sealed(method, node, merchant, weather.mode if weather else "ok"))

    def present(self, parameters: Parameters) -> Trade:
        """The buyer's app or browser brings what the merchant signed: from now on the trade exists.

        Raises GatewayFault, BusinessFault.
        """
        merchant = self.caller(parameters, tolerance_s=_LONGEST_S)
        product, product_code = PRESENTED.get(parameters.get("method", ""), ("", ""))
        if not product:
            raise GatewayFault("40002", "isv.invalid-method", "不存在的方法名")
        terms = _read_terms(parameters)
        if terms.get("product_code") != product_code:
            raise BusinessFault("ACQ.INVALID_PARAMETER", "product_code参数无效")
        trade = self._trade_for(merchant, product, terms, parameters)
        return self._world.trading.open(trade) if not trade.opened else trade

    # --- who asks, and how it is answered -------------------------------------------------------------------
    def caller(self, parameters: Parameters, *, tolerance_s: float) -> Merchant:
        """Whose signature these parameters bear. `tolerance_s`: how old they may be."""
        merchant = self._store.merchant_by_number("alipay", parameters.get("app_id", ""))
        if merchant is None:
            raise GatewayFault("40002", "isv.invalid-app-id", "无效的AppID参数")
        for name, needed in (("sign_type", "RSA2"), ("version", "1.0"), ("format", "JSON")):
            if parameters.get(name, needed if name == "format" else "") != needed:
                raise GatewayFault("40002", f"isv.invalid-{name.replace('_', '-')}", f"无效的{name}参数")
        if parameters.get("charset", "").lower() != "utf-8":
            raise GatewayFault("40002", "isv.invalid-charset", "无效的charset参数")
        at = formats.read_plain_time(parameters.get("timestamp", ""))
        if at is None or not -tolerance_s < time.time() - at < max(tolerance_s, _CLOCK_TOLERANCE_S):
            raise GatewayFault("40002", "isv.invalid-timestamp", "非法的时间戳参数")
        self._check_certificates(merchant, parameters)
        text = "&".join(f"{name}={value}" for name, value in sorted(parameters.items()) if name != "sign" and value)
        if not keys.verifies(merchant.about["private_key"], text.encode(), parameters.get("sign", "")):
            raise GatewayFault("40002", "isv.invalid-signature", "验签出错，请确认charset参数放在了URL查询字符串中")
        return merchant

    def _check_certificates(self, merchant: Merchant, parameters: Parameters) -> None:
        """An application in certificate mode names its certificate and the roots it knows."""
        said = (parameters.get("app_cert_sn"), parameters.get("alipay_root_cert_sn"))
        expected = (
            keys.certificate_sn(merchant.about["app_cert"]),
            keys.root_sn(self._store.platform.alipay_root),
        )
        if said != (expected if merchant.about["certificates"] else (None, None)):
            raise GatewayFault("40002", "isv.invalid-app-cert-sn", "应用公钥证书序列号无效")

    def _node(self, deed: Deed, merchant: Merchant, parameters: Parameters, weather: Weather | None) -> Document:
        trouble = _weather_node(weather)
        if trouble is not None and spares_the_deed(weather):
            return trouble
        try:
            document = {"code": "10000", "msg": "Success", **deed(merchant, _read_terms(parameters), parameters)}
        except BusinessFault as fault:
            document = _no("40004", "Business Failed", fault.sub_code, str(fault))
        return trouble or document

    def _sealed(self, method: str, node: Document, merchant: Merchant, mode: str) -> str:
        """The body: the node exactly as signed, the certificate's SN in certificate mode, the signature."""
        text = formats.compact_json(node)
        owner = "stranger" if mode == "wrong_signature" else "alipay"
        parts = [f'"{method.replace(".", "_")}_response":{text}']
        if merchant.about["certificates"]:
            parts.append(f'"alipay_cert_sn":"{keys.certificate_sn(self._store.platform.alipay_certificate)}"')
        if mode != "unsigned":
            parts.append(f'"sign":"{keys.sign(self._store.platform.key(owner), text.encode())}"')
        return f"{{{','.join(parts)}}}"

    # --- trades ---------------------------------------------------------------------------------------------
    def _precreate(self, merchant: Merchant, terms: Document, parameters: Parameters) -> Document:
        trade = self._trade_for(merchant, "precreate", terms, parameters)
        code = f"{CODE_PREFIX}bax{secrets.token_hex(10)}"
        self._store.add_code(trade, code, lives_s=_CODE_LIVES_S)
        return {"out_trade_no": trade.out_trade_no, "qr_code": code}

    def _trade_for(self, merchant: Merchant, product: str, terms: Document, parameters: Parameters) -> Trade:
        """The trade these terms make, or the one that they made before."""
        amount = formats.read_yuan(terms.get("total_amount"))
        number, subject = terms.get("out_trade_no"), terms.get("subject")
        _check_terms(number, amount, subject, parameters)
        expires_at = _expiry(terms)
        known = self._store.trade_by_number(merchant, str(number))
        if known is not None:
            known = self._world.trading.current(known)
            if known.state == PAID:
                raise BusinessFault("ACQ.TRADE_HAS_SUCCESS", "交易已被支付")
            if known.state == CLOSED:
                raise BusinessFault("ACQ.TRADE_HAS_CLOSE", "交易已经关闭")
            if (known.product, known.amount, known.subject) != (product, amount, subject):
                raise BusinessFault("ACQ.CONTEXT_INCONSISTENT", "交易信息被篡改")
            return known
        if expires_at <= time.time():
            raise BusinessFault("ACQ.TRADE_HAS_CLOSE", "交易已经超时")
        return self._store.add_trade(
            merchant,
            out_trade_no=number,
            product=product,
            amount=amount,
            subject=subject,
            attach=str(terms.get("passback_params", "")),
            notify_url=parameters["notify_url"],
            return_url=parameters.get("return_url", ""),
            opened=False,
            expires_at=expires_at,
            terms={**terms, "_method": parameters.get("method", "")},
        )

    def _query(self, merchant: Merchant, terms: Document, _: Parameters) -> Document:
        trade, payment = self._find(merchant, terms)
        document: Document = {
            "trade_no": payment.transaction_id if payment else trade.trade_no,
            "out_trade_no": trade.out_trade_no,
            "buyer_logon_id": BUYER_LOGON_ID,
            "buyer_user_id": BUYER_ID,
            "trade_status": self._status(trade, payment),
            "total_amount": formats.yuan(payment.amount if payment else trade.amount),
            "receipt_amount": formats.yuan(payment.amount if payment else 0),
            "buyer_pay_amount": formats.yuan(payment.amount if payment else 0),
            "point_amount": "0.00",
            "invoice_amount": formats.yuan(payment.amount if payment else 0),
        }
        if payment:
            document["send_pay_date"] = formats.plain_time(payment.paid_at)
            document["fund_bill_list"] = [{"amount": formats.yuan(payment.amount), "fund_channel": "ALIPAYACCOUNT"}]
        return document

    def _close(self, merchant: Merchant, terms: Document, _: Parameters) -> Document:
        trade, _payment = self._find(merchant, terms)
        if trade.state in (PAID, CLOSED):
            raise BusinessFault("ACQ.TRADE_STATUS_ERROR", "交易状态不合法")
        self._world.trading.close(trade)
        return {"trade_no": trade.trade_no, "out_trade_no": trade.out_trade_no}

    def _cancel(self, merchant: Merchant, terms: Document, _: Parameters) -> Document:
        """Face-to-face only: closes what is unpaid, refunds what is paid."""
        number = terms.get("out_trade_no")
        known = self._store.trade_by_number(merchant, number) if isinstance(number, str) else None
        if known is None:
            return {"out_trade_no": number, "retry_flag": "N"}
        if known.product != "precreate":
            raise BusinessFault("ACQ.INVALID_PARAMETER", "该产品不支持撤销")
        document = {"trade_no": known.trade_no, "out_trade_no": known.out_trade_no, "retry_flag": "N"}
        known = self._world.trading.current(known)
        if known.state != PAID:
            self._world.trading.close(known)
            return {**document, "action": "close"}
        payment = self._store.payments(known)[0]
        left = payment.amount - self._world.trading.refunded(payment)
        if left:
            self._world.trading.refund(payment, amount=left, number=known.out_trade_no, reason="cancel")
        return {**document, "action": "refund"}

    def _find(self, merchant: Merchant, terms: Document) -> tuple[Trade, Payment | None]:
        """The trade by `trade_no`, which wins, or `out_trade_no`. Nobody has been there: it does not exist."""
        trade_no, number = terms.get("trade_no"), terms.get("out_trade_no")
        payment: Payment | None = None
        trade: Trade | None = None
        if isinstance(trade_no, str) and trade_no:
            payment = self._store.payment_by_transaction(trade_no)
            trade = (
                self._store.trade(payment.trade_id) if payment else self._store.trade_by_trade_no(merchant, trade_no)
            )
        elif isinstance(number, str) and number:
            trade = self._store.trade_by_number(merchant, number)
        else:
            raise BusinessFault("ACQ.INVALID_PARAMETER", "参数无效")
        if trade is None or trade.merchant_id != merchant.id or not trade.opened:
            raise BusinessFault("ACQ.TRADE_NOT_EXIST", "交易不存在")
        trade = self._world.trading.current(trade)
        return trade, payment or next(iter(self._store.payments(trade)), None)

    def _status(self, trade: Trade, payment: Payment | None) -> str:
        if payment is None:
            return "TRADE_CLOSED" if trade.state == CLOSED else "WAIT_BUYER_PAY"
        return "TRADE_CLOSED" if self._world.trading.refunded(payment) >= payment.amount else "TRADE_SUCCESS"

    # --- refunds --------------------------------------------------------------------------------------------
    def _refund(self, merchant: Merchant, terms: Document, _: Parameters) -> Document:
        trade, payment = self._find(merchant, terms)
        amount = formats.read_yuan(terms.get("refund_amount"))
        number = terms.get("out_request_no") or trade.out_trade_no
        if not amount or not isinstance(number, str) or len(number) > 64:
            raise BusinessFault("ACQ.INVALID_PARAMETER", "参数无效")
        if payment is None:
            raise BusinessFault("ACQ.TRADE_STATUS_ERROR", "交易状态不合法")
        known = self._refund_of(payment, number)
        if known is None:
            self._give_back(payment, amount, number, terms)
        elif known.amount != amount:
            raise BusinessFault("ACQ.DISCORDANT_REPEAT_REQUEST", "请求不一致")
        return {
            "trade_no": payment.transaction_id,
            "out_trade_no": trade.out_trade_no,
            "buyer_logon_id": BUYER_LOGON_ID,
            "buyer_user_id": BUYER_ID,
            "fund_change": "Y" if known is None else "N",
            "refund_fee": formats.yuan(self._world.trading.refunded(payment)),
            "send_back_fee": formats.yuan(amount if known is None else 0),
        }

    def _give_back(self, payment: Payment, amount: int, number: str, terms: Document) -> None:
        left = payment.amount - self._world.trading.refunded(payment)
        if not left:
            raise BusinessFault("ACQ.TRADE_HAS_CLOSE", "交易已经关闭")
        if amount < payment.amount and not terms.get("out_request_no"):
            raise BusinessFault("ACQ.INVALID_PARAMETER", "部分退款时out_request_no必填")
        if amount > left:
            raise BusinessFault("ACQ.REFUND_AMT_NOT_EQUAL_TOTAL", "退款金额超限")
        reason = str(terms.get("refund_reason", ""))
        self._world.trading.refund(payment, amount=amount, number=number, reason=reason)

    def _query_refund(self, merchant: Merchant, terms: Document, _: Parameters) -> Document:
        trade, payment = self._find(merchant, terms)
        number = terms.get("out_request_no")
        if not isinstance(number, str) or not number:
            raise BusinessFault("ACQ.INVALID_PARAMETER", "参数无效")
        refund = self._refund_of(payment, number) if payment else None
        if payment is None or refund is None:
            # Almost empty: not refunded, or not yet.
            return {}
        document = {
            "trade_no": payment.transaction_id,
            "out_trade_no": trade.out_trade_no,
            "out_request_no": refund.number,
            "total_amount": formats.yuan(payment.amount),
            "refund_amount": formats.yuan(refund.amount),
            "refund_status": "REFUND_SUCCESS",
        }
        if "gmt_refund_pay" in (terms.get("query_options") or []):
            document["gmt_refund_pay"] = formats.plain_time(refund.created_at)
        return document

    def _refund_of(self, payment: Payment, number: str) -> Refund | None:
        return next((each for each in self._store.refunds(payment) if each.number == number), None)

    # --- bills ----------------------------------------------------------------------------------------------
    def _bill_address(self, merchant: Merchant, terms: Document, parameters: Parameters) -> Document:
        day = bills.read_day(str(terms.get("bill_date", "")))
        if day is None or terms.get("bill_type") != "trade":
            raise BusinessFault("INVAILID_ARGUMENTS", "入参不合法")
        bill = bills.alipay_trade_bill(self._store, merchant, day) if bills.is_ready(day, merchant) else None
        if bill is None:
            raise BusinessFault("isp.BILL_NOT_EXIST", "账单不存在")
        token = bills.new_token(merchant, bill)
        return {"bill_download_url": f"http://{parameters['_host']}{BILL_PATH}?token={token}"}


async def download_bill(request: web.Request) -> web.Response:
    """A plain GET: the address is the secret."""
    content = bills.content_of(request.query.get("token", ""))
    if content is None:
        return web.Response(status=404, text="bill download url expired")
    return web.Response(body=content, content_type="application/zip")


async def read_parameters(request: web.Request) -> Parameters:
    """Query and form together, decoded; a parameter that stands in both counts as the form says it."""
    parameters = dict(parse_qsl(request.rel_url.raw_query_string, keep_blank_values=True))
    if request.method == "POST":
        body = (await request.read()).decode("utf-8", "replace")
        parameters.update(parse_qsl(body, keep_blank_values=True))
    return parameters


def read_order_string(text: str) -> Parameters:
    """What the app's SDK, or a browser, was handed: a query string, or an address that ends in one."""
    query = urlsplit(text).query if text.startswith(("http://", "https://")) else text
    return dict(parse_qsl(query, keep_blank_values=True))


def _nothing_there(merchant: Merchant, terms: Document, parameters: Parameters) -> Document:
    raise GatewayFault("40006", "isv.insufficient-isv-permissions", "ISV权限不足")


def _read_terms(parameters: Parameters) -> Document:
    try:
        terms = json.loads(parameters.get("biz_content", ""))
    except (ValueError, RecursionError):
        terms = None
    if not isinstance(terms, dict):
        raise GatewayFault("40002", "isv.invalid-parameter", "参数无效")
    return terms


def _check_terms(number: object, amount: int | None, subject: object, parameters: Parameters) -> None:
    notify_url = parameters.get("notify_url", "")
    is_sound = (
        isinstance(number, str)
        and _OUT_TRADE_NO.fullmatch(number)
        and amount is not None
        and 0 < amount <= _MOST_FEN
        and isinstance(subject, str)
        and 0 < len(subject) <= 256
        and urlsplit(notify_url).hostname
        and len(notify_url) <= 256
    )
    if not is_sound:
        raise BusinessFault("ACQ.INVALID_PARAMETER", "参数无效")


def _expiry(terms: Document) -> float:
    """Until when it can be paid; the absolute time wins."""
    now = time.time()
    if "time_expire" in terms:
        at = formats.read_plain_time(str(terms["time_expire"]))
        if at is None:
            raise BusinessFault("ACQ.INVALID_PARAMETER", "time_expire参数无效")
        return at
    timeout = terms.get("timeout_express", "15d")
    if timeout == "1c":
        midnight = datetime.now(formats.CHINA).replace(hour=0, minute=0, second=0, microsecond=0)
        return (midnight + timedelta(days=1)).timestamp()
    found = _TIMEOUT.fullmatch(timeout) if isinstance(timeout, str) else None
    if found is None:
        raise BusinessFault("ACQ.INVALID_PARAMETER", "timeout_express参数无效")
    return now + min(int(found[1]) * _UNITS_S[found[2]], _LONGEST_S)


def _weather_node(weather: Weather | None) -> Document | None:
    if weather and weather.mode == "error500":
        return _no("20000", "Service Currently Unavailable", "isp.unknow-error", "系统繁忙")
    if weather and weather.mode == "error429":
        return _no("40005", "Call Limited", "isv.app-call-limited", "应用调用次数超限")
    return None


def _no(code: str, message: str, sub_code: str, sub_message: str) -> Document:
    return {"code": code, "msg": message, "sub_code": sub_code, "sub_msg": sub_message}


def _text_answer(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/html", charset="utf-8")
