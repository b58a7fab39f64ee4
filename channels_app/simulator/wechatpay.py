"""WeChat Pay APIv3 as a merchant meets it: signed requests in, signed answers out."""

import json
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from channels_app.simulator import bills, formats, keys
from channels_app.simulator.rows import CLOSED, FORGED, GENUINE, PAID, PROBE, Merchant, Payment, Trade
from channels_app.simulator.trading import Refused
from channels_app.simulator.voices import Subject
from channels_app.simulator.weather import World, instead_of_answer, spares_the_deed
from channels_app.simulator.wechatpay_terms import order_faults, refund_faults
from channels_app.simulator.wechatpay_voice import (
    SIGNATURE_TYPE,
    encrypted,
    refund_answer,
    transaction,
)

CODE_PREFIX = "weixin://wxpay/bizpayurl?pr="
CASHIER_PATH = "/cgi-bin/mmpayweb-bin/checkmweb"
_CLOCK_TOLERANCE_S = 300
_PREPAY_LIVES_S = 2 * 3600.0
_H5_LIVES_S = 300.0
_PAYABLE_S = 7 * 24 * 3600.0
_MOST_REFUNDS = 50
_BILL_TYPES = ("ALL", "SUCCESS", "REFUND")

Document = dict[str, Any]
Deed = Callable[[web.Request, Merchant, Document], tuple[int, Document | None]]


class Fault(Exception):
    """An answer that is not 2xx."""

    def __init__(self, status: int, code: str, message: str) -> None:
        """As the provider says it."""
        super().__init__(message)
        self.status = status
        self.code = code


class WechatPay:
    """The HTTP side."""

    def __init__(self, world: World) -> None:
        """`world`: what the simulator knows and can do."""
        self._world = world
        self._store = world.store
        self._voice = world.wechatpay

    def routes(self) -> list[web.RouteDef]:
        """Everything below /v3/."""
        by_number = "/v3/pay/transactions/out-trade-no/{out_trade_no}"
        refunds = "/v3/refund/domestic/refunds"
        return [
            web.post("/v3/pay/transactions/{product:app|jsapi|h5|native}", self._call("create", self._create)),
            web.get(by_number, self._call("query", self._query)),
            web.get("/v3/pay/transactions/id/{transaction_id}", self._call("query", self._query_by_id)),
            web.post(f"{by_number}/close", self._call("close", self._close)),
            web.post(refunds, self._call("refund", self._refund)),
            web.get(f"{refunds}/{{out_refund_no}}", self._call("query", self._query_refund)),
            web.get("/v3/certificates", self._call("bill", self._certificates)),
            web.get("/v3/bill/tradebill", self._call("bill", self._trade_bill)),
            web.get("/v3/billdownload/file", self._download),
            web.route("*", "/v3/{unknown:.*}", self._call("query", _nothing_there)),
        ]

    # --- the frame of every call ----------------------------------------------------------------------------
    def _call(self, name: str, deed: Deed) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            body = await request.read()
            merchant: Merchant | None = None
            weather = None
            try:
                merchant = self._caller(request, body)
                self._check_transport(request, merchant)
                weather = self._store.take_weather("wechatpay", name)
                if spares_the_deed(weather):
                    raise _weather_fault(weather.mode if weather else "")
                status, document = deed(request, merchant, _read_json(request, body))
                if weather and weather.mode in ("error500", "error429"):
                    raise _weather_fault(weather.mode)
            except Fault as fault:
                status, document = fault.status, {"code": fault.code, "message": str(fault)}
            other = await instead_of_answer(weather, request, self._world)
            return other or self._answer(request, merchant, status, document, weather.mode if weather else "ok")

        return answer

    def _answer(
        self, request: web.Request, merchant: Merchant | None, status: int, document: Document | None, mode: str
    ) -> web.Response:
        body = b"" if document is None else formats.compact_json(document).encode()
        headers = self._voice.signed(
            body,
            with_certificate=self._wants_certificate(request, merchant),
            how={"wrong_signature": FORGED, "probe": PROBE}.get(mode, GENUINE),
        )
        if mode == "unsigned":
            headers = {name: value for name, value in headers.items() if not name.startswith("Wechatpay-")}
        return web.Response(status=status, body=body, headers=headers)

    def _wants_certificate(self, request: web.Request, merchant: Merchant | None) -> bool:
        """Who names a key gets it; who names none is an old merchant, if it has certificates at all."""
        asked = request.headers.get("Wechatpay-Serial", "")
        if asked:
            return asked == self._voice.certificate_serial
        return merchant is not None and merchant.about["notify_keys"] != "public_key"

    def _caller(self, request: web.Request, body: bytes) -> Merchant:
        """Whose signature this request bears."""
        scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
        said = dict(re.findall(r'([a-z_]+)="([^"]*)"', rest))
        if scheme != SIGNATURE_TYPE or set(said) != {"mchid", "nonce_str", "signature", "timestamp", "serial_no"}:
            raise Fault(401, "SIGN_ERROR", "Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》")
        merchant = self._store.merchant_by_number("wechatpay", said["mchid"])
        if merchant is None:
            raise Fault(401, "SIGN_ERROR", "商户号不存在")
        if said["serial_no"].upper() != merchant.about["serial_no"]:
            raise Fault(401, "SIGN_ERROR", "商户证书序列号有误")
        if not said["timestamp"].isdigit() or abs(time.time() - int(said["timestamp"])) > _CLOCK_TOLERANCE_S:
            raise Fault(401, "SIGN_ERROR", "Http头Authorization中的timestamp与发起请求的时间不得超过5分钟")
        head = f"{request.method}\n{request.raw_path}\n{said['timestamp']}\n{said['nonce_str']}\n"
        if not 0 < len(said["nonce_str"]) <= 32 or not keys.verifies(
            merchant.about["private_key"], head.encode() + body + b"\n", said["signature"]
        ):
            raise Fault(401, "SIGN_ERROR", "签名错误，验签失败")
        return merchant

    def _check_transport(self, request: web.Request, merchant: Merchant) -> None:
        if not request.headers.get("User-Agent") or "Accept" not in request.headers:
            raise Fault(400, "PARAM_ERROR", "Http头缺少Accept或User-Agent")
        asked = request.headers.get("Wechatpay-Serial")
        known = {self._store.platform.wechat_public_key_id}
        if merchant.about["notify_keys"] != "public_key":
            known.add(self._voice.certificate_serial)
        if asked is not None and asked not in known:
            raise Fault(400, "PARAM_ERROR", "Http头Wechatpay-Serial的值不正确")

    # --- orders ---------------------------------------------------------------------------------------------
    def _create(self, request: web.Request, merchant: Merchant, order: Document) -> tuple[int, Document]:
        product = request.match_info["product"]
        if faults := order_faults(product, order):
            raise Fault(400, "PARAM_ERROR", f"参数错误：{'；'.join(faults)}")
        if order["mchid"] != merchant.number:
            raise Fault(400, "PARAM_ERROR", "商户号与签名商户号不一致")
        if order["appid"] != merchant.about["appid"]:
            raise Fault(400, "APPID_MCHID_NOT_MATCH", "appid和mch_id不匹配")
        trade = self._store.trade_by_number(merchant, order["out_trade_no"])
        if trade is None:
            trade = self._new_trade(merchant, product, order)
        else:
            _refuse_other_order(self._world.trading.current(trade), product, order)
        return 200, self._way_to_pay(request, trade)

    def _new_trade(self, merchant: Merchant, product: str, order: Document) -> Trade:
        expires_at = formats.read_rfc3339(order.get("time_expire", "")) or time.time() + _PAYABLE_S
        return self._store.add_trade(
            merchant,
            out_trade_no=order["out_trade_no"],
            product=product,
            amount=order["amount"]["total"],
            subject=order["description"],
            attach=order.get("attach", ""),
            notify_url=order["notify_url"],
            return_url="",
            opened=True,
            expires_at=expires_at,
            terms=order,
        )

    def _way_to_pay(self, request: web.Request, trade: Trade) -> Document:
        prepay_id = f"wx{time.strftime('%d%H%M%S')}{secrets.token_hex(14)}"
        if trade.product == "native":
            code_url = f"{CODE_PREFIX}{secrets.token_urlsafe(9)}"
            self._store.add_code(trade, code_url, lives_s=_PREPAY_LIVES_S)
            return {"code_url": code_url}
        if trade.product == "h5":
            self._store.add_code(trade, prepay_id, lives_s=_H5_LIVES_S)
            package = secrets.randbelow(10**9)
            return {"h5_url": f"http://{request.host}{CASHIER_PATH}?prepay_id={prepay_id}&package={package}"}
        self._store.add_code(trade, prepay_id, lives_s=_PREPAY_LIVES_S)
        return {"prepay_id": prepay_id}

    def _query(self, request: web.Request, merchant: Merchant, _: Document) -> tuple[int, Document]:
        _check_mchid(request.query.get("mchid"), merchant)
        trade = self._trade(request, merchant)
        return 200, self._transaction(merchant, trade, next(iter(self._store.payments(trade)), None))

    def _query_by_id(self, request: web.Request, merchant: Merchant, _: Document) -> tuple[int, Document]:
        _check_mchid(request.query.get("mchid"), merchant)
        payment = self._store.payment_by_transaction(request.match_info["transaction_id"])
        trade = self._store.trade(payment.trade_id) if payment else None
        if trade is None or trade.merchant_id != merchant.id:
            raise Fault(404, "ORDER_NOT_EXIST", "订单不存在")
        return 200, self._transaction(merchant, trade, payment)

    def _close(self, request: web.Request, merchant: Merchant, document: Document) -> tuple[int, None]:
        if set(document) != {"mchid"}:
            raise Fault(400, "PARAM_ERROR", "请求体应当只有mchid")
        _check_mchid(document["mchid"], merchant)
        try:
            self._world.trading.close(self._trade(request, merchant))
        except Refused:
            raise Fault(400, "ORDER_PAID", "订单已支付") from None
        return 204, None

    def _transaction(self, merchant: Merchant, trade: Trade, payment: Payment | None) -> Document:
        if payment is None:
            return transaction(Subject(merchant=merchant, trade=trade))
        state = "REFUND" if self._world.trading.refunded(payment) else "SUCCESS"
        return transaction(Subject(merchant=merchant, trade=trade, payment=payment), state=state)

    def _trade(self, request: web.Request, merchant: Merchant) -> Trade:
        trade = self._store.trade_by_number(merchant, request.match_info["out_trade_no"])
        if trade is None:
            raise Fault(404, "ORDER_NOT_EXIST", "订单不存在")
        return self._world.trading.current(trade)

    # --- refunds --------------------------------------------------------------------------------------------
    def _refund(self, request: web.Request, merchant: Merchant, asked: Document) -> tuple[int, Document]:
        if faults := refund_faults(asked):
            raise Fault(400, "PARAM_ERROR", f"参数错误：{'；'.join(faults)}")
        payment, trade = self._payment(merchant, asked)
        amount = asked["amount"]
        if amount["total"] != payment.amount:
            raise Fault(400, "INVALID_REQUEST", "订单金额或退款金额与之前请求不一致，请核实后再试")
        known = self._store.refund_by_number(merchant, asked["out_refund_no"])
        if known is not None:
            if (known.payment_id, known.amount) != (payment.id, amount["refund"]):
                raise Fault(400, "INVALID_REQUEST", "订单金额或退款金额与之前请求不一致，请核实后再试")
            return 200, refund_answer(self._world.trading.ripe(known), payment, trade.out_trade_no)
        if len(self._store.refunds(payment)) >= _MOST_REFUNDS:
            raise Fault(400, "INVALID_REQUEST", "一笔订单最多支持50次部分退款")
        try:
            refund, _ = self._world.trading.refund(
                payment,
                amount=amount["refund"],
                number=asked["out_refund_no"],
                state="PROCESSING",
                reason=asked.get("reason", ""),
                notify_url=asked.get("notify_url", ""),
            )
        except Refused:
            raise Fault(400, "INVALID_REQUEST", "申请退款金额大于可退金额") from None
        return 200, refund_answer(refund, payment, trade.out_trade_no)

    def _payment(self, merchant: Merchant, asked: Document) -> tuple[Payment, Trade]:
        """What a refund is to be taken from."""
        if transaction_id := asked.get("transaction_id"):
            payment = self._store.payment_by_transaction(transaction_id)
            trade = self._store.trade(payment.trade_id) if payment else None
        else:
            trade = self._store.trade_by_number(merchant, asked["out_trade_no"])
            payment = next(iter(self._store.payments(trade)), None) if trade else None
        if payment is None or trade is None or trade.merchant_id != merchant.id:
            raise Fault(404, "RESOURCE_NOT_EXISTS", "订单不存在或未支付")
        return payment, trade

    def _query_refund(self, request: web.Request, merchant: Merchant, _: Document) -> tuple[int, Document]:
        refund = self._store.refund_by_number(merchant, request.match_info["out_refund_no"])
        if refund is None:
            raise Fault(404, "RESOURCE_NOT_EXISTS", "退款单不存在")
        payment = self._store.payment(refund.payment_id)
        trade = self._store.trade(payment.trade_id)
        return 200, refund_answer(self._world.trading.ripe(refund), payment, trade.out_trade_no)

    # --- certificates and bills -----------------------------------------------------------------------------
    def _certificates(self, request: web.Request, merchant: Merchant, _: Document) -> tuple[int, Document]:
        if merchant.about["notify_keys"] == "public_key":
            raise Fault(404, "RESOURCE_NOT_EXISTS", "无可用的平台证书，请使用微信支付公钥验签")
        certificate = self._store.platform.wechat_certificate
        start, end = keys.certificate_validity(certificate)
        entry = {
            "serial_no": self._voice.certificate_serial,
            "effective_time": formats.rfc3339(start.timestamp()),
            "expire_time": formats.rfc3339(end.timestamp()),
            "encrypt_certificate": encrypted(certificate, merchant, associated="certificate"),
        }
        return 200, {"data": [entry]}

    def _trade_bill(self, request: web.Request, merchant: Merchant, _: Document) -> tuple[int, Document]:
        kind, packed = request.query.get("bill_type", "ALL"), request.query.get("tar_type")
        day = bills.read_day(request.query.get("bill_date", ""))
        if day is None or kind not in _BILL_TYPES or packed not in (None, "GZIP"):
            raise Fault(400, "PARAM_ERROR", "参数错误")
        if not bills.is_ready(day, merchant):
            raise Fault(400, "STATEMENT_CREATING", "账单文件正在生成中，请稍后重试")
        bill = bills.wechat_trade_bill(self._store, merchant, day, kind)
        if bill is None:
            raise Fault(400, "NO_STATEMENT_EXIST", "请求的账单文件不存在")
        token = bills.new_token(merchant, bill, packed=packed == "GZIP")
        return 200, {
            "hash_type": "SHA1",
            "hash_value": bills.sha1(bill),
            "download_url": f"http://{request.host}/v3/billdownload/file?token={token}",
        }

    async def _download(self, request: web.Request) -> web.Response:
        """The bill itself: the request is signed, the answer is not."""
        try:
            merchant = self._caller(request, await request.read())
        except Fault as fault:
            return web.json_response({"code": fault.code, "message": str(fault)}, status=fault.status)
        content = bills.content_of(request.query.get("token", ""), merchant)
        if content is None:
            return web.json_response({"code": "RESOURCE_NOT_EXISTS", "message": "账单文件不存在"}, status=404)
        return web.Response(body=content, content_type="application/octet-stream")


def _nothing_there(request: web.Request, merchant: Merchant, _: Document) -> tuple[int, Document]:
    raise Fault(404, "RESOURCE_NOT_EXISTS", "请求的资源不存在")


def _read_json(request: web.Request, body: bytes) -> Document:
    if request.method == "GET":
        return {}
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if request.content_type != "application/json" or not isinstance(document, dict):
        raise Fault(400, "PARAM_ERROR", "请求体不是合法的JSON")
    return document


def _check_mchid(said: object, merchant: Merchant) -> None:
    if said != merchant.number:
        raise Fault(400, "PARAM_ERROR", "商户号与签名商户号不一致")


def _refuse_other_order(trade: Trade, product: str, order: Document) -> None:
    """The same number again is welcome only with the very same order, unpaid and open."""
    if trade.state == PAID:
        raise Fault(400, "ORDER_PAID", "订单已支付")
    if trade.state == CLOSED:
        raise Fault(400, "ORDER_CLOSED", "订单已关闭")
    if (trade.product, trade.terms) != (product, order):
        raise Fault(403, "OUT_TRADE_NO_USED", "商户订单号重复")


def _weather_fault(mode: str) -> Fault:
    if mode == "error429":
        return Fault(429, "FREQUENCY_LIMITED", "频率超限")
    return Fault(500, "SYSTEM_ERROR", "系统异常，请稍后重试")
