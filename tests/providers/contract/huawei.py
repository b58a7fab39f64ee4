"""Huawei, as the contract speaks to it: nobody signs its messages, and its Order service has the truth."""

import json

from tests.providers import huawei_side as huawei
from tests.providers.contract.side import News, Purchase, Sent, Side

_STATES = {News.PAID: 0, News.WAITING: 3, News.CLOSED: 1, News.REFUNDED: 2, News.NEW_WORD: 77}
_NOBODYS = "9"


class _Huawei(Side):
    code = "huawei"
    method = "huawei_iap"
    done = (200, b"")
    signs_body = False
    product = huawei.PRODUCT
    refund_brings_payment = True
    sandbox_only = {"base_url": "http://127.0.0.1:9"}

    def start(self):
        self._server = huawei.HuaweiSide()
        self._server.will(self._answer)
        self._known: dict[tuple[str, str], dict] = {}

    def stop(self):
        assert self._server.complaints == []
        self._server.close()

    def credentials(self):
        assert self._server.complaints == []
        self._server.forget()  # an account of its own asks for an access token of its own
        return huawei.credentials(base_url=self._server.url)

    def transaction_id(self, number):
        return f"20260102110405{number:012d}.{huawei.APP_ID}"

    def told(self, purchase, news=News.PAID):
        self._happened(purchase, news)
        more = {"aFieldOfTomorrow": {"deep": "是"}} if purchase.has_new_field else {}
        return Sent(body=huawei.notice(_token(purchase), purchase.product, **more))

    def forgeries(self, purchase):
        bodies = {
            "a purchase that nobody made": huawei.notice("0" * 100),
            "a purchase of another product": huawei.notice(_token(purchase), "com.example.game.gems6480"),
            "another application": huawei.notice(applicationId="999999999"),
            "another event": huawei.notice(eventType="PAID"),
            "no event": huawei.notice(eventType=...),
            "a token that is none": huawei.notice("../confirm?\n"),
            "a subscription signed by a stranger": huawei.subscription(by="stranger"),
            "an unsigned subscription": huawei.notice(eventType="SUBSCRIPTION"),
        }
        return {name: Sent(body=body) for name, body in bodies.items()}

    def unreadable(self, purchase):
        return {}  # what cannot be read is a stranger's as well as Huawei's

    def evidence(self, purchase):
        self._happened(purchase, News.PAID)
        return {"purchase_token": _token(purchase), "store_product_id": purchase.product}

    def forged_evidence(self, purchase):
        return {
            "a token of nobody's": {"purchase_token": "0" * 100, "store_product_id": purchase.product},
            "another product": {"purchase_token": _token(purchase), "store_product_id": "com.example.game.gems6480"},
            "a product that is none": {"purchase_token": _token(purchase), "store_product_id": "\n"},
        }

    def _happened(self, purchase: Purchase, news: News) -> None:
        about = {
            "orderId": purchase.transaction_id,
            "packageName": huawei.PACKAGE if purchase.is_ours else "com.example.another",
            "productId": purchase.product,
            "price": purchase.amount_minor,
            "currency": purchase.currency,
            "purchaseToken": _token(purchase),
            "purchaseState": _STATES[news],
            **({"aFieldOfTomorrow": [1]} if purchase.has_new_field else {}),
        }
        self._known[_token(purchase), purchase.product] = huawei.purchase(purchase.attempt_no, **about)

    def _answer(self, call):
        asked = json.loads(call.body)
        known = self._known.get((asked["purchaseToken"], asked["productId"]))
        return huawei.tells(known) if known else huawei.refuses(_NOBODYS)


def _token(purchase: Purchase) -> str:
    """What the device gets: one for each purchase."""
    return f"{purchase.transaction_id}-{purchase.attempt_no}"


SIDE = _Huawei()
