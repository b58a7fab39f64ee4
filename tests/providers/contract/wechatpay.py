"""WeChat Pay, as the contract speaks to it."""

import time

from tests import keys
from tests.providers.contract.side import News, Purchase, Sent, Side
from tests.providers.wechat_side import WechatSide, envelope, refund_notice, says, signed, transaction

_STATES = {News.PAID: "SUCCESS", News.WAITING: "USERPAYING", News.CLOSED: "CLOSED", News.NEW_WORD: "ENCHANTED"}


class _WechatPay(Side):
    code = "wechatpay"
    method = "wechatpay_app"
    content_type = "application/json; charset=utf-8"
    done = (204, b"")
    refused = (401, b'"FAIL"')
    later = (503, b'"FAIL"')
    proves_with = ("public_key_id", "public_key")
    signed_headers = ("wechatpay-timestamp", "wechatpay-nonce", "wechatpay-signature", "wechatpay-serial")

    def start(self):
        self._server = WechatSide()

    def stop(self):
        self._server.close()

    def prepare(self):
        self._server.will(says({"prepay_id": "wx201410272009395522657a690389285100"}))

    def credentials(self):
        return keys.wechat_credentials(base_url=self._server.url)

    def told(self, purchase, news=News.PAID):
        body = _body(purchase, news)
        return Sent(body=body, headers=signed(body))

    def forgeries(self, purchase):
        body = _body(purchase, News.PAID)
        good = signed(body)
        headers = {
            "another's key": signed(body, by="stranger"),
            "our own key": signed(body, by="wechat merchant"),
            "another serial": signed(body, serial="PUB_KEY_ID_0000000000000000000000000000000001"),
            "301 s old": signed(body, at=time.time() - 301),
            "301 s early": signed(body, at=time.time() + 303),
            "the provider's own probe": signed(body, probe=True),
            "an empty signature": signed(body, signature=""),
            "no header at all": {},
            **{f"no {name}": _without(good, name) for name in good if name.lower() in self.signed_headers},
        }
        return {name: Sent(body=body, headers=these) for name, these in headers.items()}

    def unreadable(self, purchase):
        number = purchase.attempt_no
        bodies = {
            "not UTF-8": b"\xff\xfe{}",
            "a byte order mark": b"\xef\xbb\xbf" + _body(purchase, News.PAID),
            "not JSON": b"a=1&b=2",
            "no object": b"[1]",
            "nothing": b"",
            "too deep": b"[" * 100_000,
            "cut short": _body(purchase, News.PAID)[:-9],
            "a key that is not ours": envelope(transaction(number), api_v3_key="z" * 32),
            "an amount in yuan": envelope(transaction(number, {"amount.total": "6.00"})),
            "a float": envelope(transaction(number, {"amount.total": 600.0})),
        }
        return {name: Sent(body=body, headers=signed(body)) for name, body in bodies.items()}


def _body(purchase: Purchase, news: News) -> bytes:
    changes = {
        "mchid": keys.wechat_credentials()["mchid"] if purchase.is_ours else "1900000110",
        "transaction_id": purchase.transaction_id,
        **({"a_field_of_tomorrow": {"deep": [1, None, "是"]}} if purchase.has_new_field else {}),
    }
    outside = {"a_field_of_tomorrow": True} if purchase.has_new_field else {}
    if news is News.REFUNDED:
        plain = refund_notice(purchase.attempt_no, {**changes, "amount.refund": purchase.amount_minor})
        return envelope(plain, event="REFUND.SUCCESS", associated_data="refund", outside=outside)
    amounts = {"amount.total": purchase.amount_minor, "amount.currency": purchase.currency}
    plain = transaction(purchase.attempt_no, {**changes, **amounts, "trade_state": _STATES[news]})
    return envelope(plain, outside=outside)


def _without(headers: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in headers.items() if key != name}


SIDE = _WechatPay()
