"""TapTap, as the contract speaks to it: a shared secret signs verb, address, headers and body."""

import time

from tests.providers import taptap_side as taptap
from tests.providers.contract.side import ACCOUNT, News, Purchase, Sent, Side

_TARGET = f"/notify/taptap/{ACCOUNT}"
_STATES = {
    News.PAID: "charge.succeeded",
    News.WAITING: "charge.pending",
    News.CLOSED: "charge.overdue",
    News.REFUNDED: "refund.succeeded",
    News.NEW_WORD: "charge.enchanted",
}


class _TapTap(Side):
    code = "taptap"
    method = "taptap_pay"
    inputs = {"channel_uid": taptap.OPEN_ID}
    done = (200, b'{"code": "SUCCESS", "msg": ""}')
    refused = (401, b'"FAIL"')
    later = (503, b'"FAIL"')
    signed_headers = ("x-tap-ts", "x-tap-nonce", "x-tap-sign", ":method", ":path")
    product = taptap.PRODUCT
    tells_payer = True
    refund_brings_payment = True
    sandbox_only = {"base_url": "http://127.0.0.1:9"}

    def credentials(self):
        return taptap.credentials()

    def transaction_id(self, number):
        return str(1_790_288_650_000_000_000 + number)

    def told(self, purchase, news=News.PAID):
        state = _STATES[news]
        return _sent(taptap.webhook(_order(purchase, status=state), state))

    def forgeries(self, purchase):
        body = taptap.webhook(_order(purchase))
        good = taptap.stamped(body, _TARGET)
        headers = {
            "another's key": taptap.stamped(body, _TARGET, secret="another secret of somebody"),
            "an empty key": taptap.stamped(body, _TARGET, secret=""),
            "the game's own name as key": taptap.stamped(body, _TARGET, secret=taptap.CLIENT_ID),
            "another verb": taptap.stamped(body, _TARGET, method="PUT"),
            "another account's address": taptap.stamped(body, "/notify/taptap/another"),
            "a longer address": taptap.stamped(body, f"{_TARGET}?a=1"),
            "301 s old": taptap.stamped(body, _TARGET, at=time.time() - 301),
            "301 s early": taptap.stamped(body, _TARGET, at=time.time() + 303),
            "one more header": {**good, "X-Tap-Extra": "1"},
            "an empty signature": {**good, "X-Tap-Sign": ""},
            "no header at all": {},
            **{f"no {name}": {key: good[key] for key in good if key != name} for name in good},
        }
        return {name: Sent(body=body, headers=these) for name, these in headers.items()}

    def unreadable(self, purchase):
        spoilt = {
            "an amount in yuan": {"amount": "6.00"},
            "a part of a fen": {"amount": "6000001"},
            "a negative amount": {"amount": "-6000000"},
            "a currency that is none": {"currency": "yuan"},
            "an endless number": {"order_id": "1" * 500},
            "a number with NUL": {"order_id": "1\x00"},
            "a time that is none": {"pay_time": "yesterday"},
        }
        bodies = {name: taptap.webhook(_order(purchase, **changes)) for name, changes in spoilt.items()}
        bodies |= {
            "nothing": b"",
            "not UTF-8": b"\xff\xfe{}",
            "a byte order mark": b"\xef\xbb\xbf" + taptap.webhook(_order(purchase)),
            "no object": b"[1]",
            "too deep": b"[" * 100_000,
            "no order": b'{"event_type": "charge.succeeded"}',
        }
        return {name: _sent(body) for name, body in bodies.items()}


def _order(purchase: Purchase, **changes) -> dict:
    about = {
        "order_id": purchase.transaction_id,
        "client_id": taptap.CLIENT_ID if purchase.is_ours else "another-game",
        "open_id": purchase.payer,
        "goods_open_id": purchase.product,
        "amount": str(purchase.amount_minor * 10_000),
        "currency": purchase.currency,
        **({"a_field_of_tomorrow": {"deep": "是"}} if purchase.has_new_field else {}),
    }
    return taptap.order(purchase.attempt_no, **{**about, **changes})


def _sent(body: bytes) -> Sent:
    return Sent(body=body, headers=taptap.stamped(body, _TARGET))


SIDE = _TapTap()
