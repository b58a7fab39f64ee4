"""UnionPay, as the contract speaks to it: a notification makes us ask, and the answer counts."""

from tests.providers import unionpay_side as unionpay
from tests.providers.contract.side import News, Purchase, Sent, Side

# Codes of the payment itself: success, in progress, refused by the bank, none that was ever told.
_CODES = {News.PAID: "00", News.WAITING: "05", News.CLOSED: "61", News.NEW_WORD: "Q9"}


class _UnionPay(Side):
    code = "unionpay"
    method = "unionpay_gateway"
    inputs = {"return_url": "https://game.example/back"}
    content_type = "application/x-www-form-urlencoded;charset=UTF-8"
    done = (200, b"ok")
    refused = (401, b"fail")
    later = (503, b"fail")
    sandbox_only = {"base_url": "http://127.0.0.1:9", "mer_id": "777290058110048"}

    def start(self):
        self._server = unionpay.UnionPaySide()

    def stop(self):
        assert self._server.complaints == []
        self._server.close()

    def credentials(self):
        return unionpay.credentials(base_url=self._server.url)

    def transaction_id(self, number):
        return f"2026010211040{number:08d}"

    def told(self, purchase, news=News.PAID):
        if news is News.REFUNDED:
            changes = _about(purchase) | {"origQryId": purchase.transaction_id, "queryId": "202601031104057654321"}
            return _sent(unionpay.sealed(unionpay.refunded("R" + purchase.attempt_no[1:], **changes)))
        code = _CODES[news]
        self._server.will(
            unionpay.tells(
                code, txnAmt=str(purchase.amount_minor), currencyCode=_currency(purchase),
                queryId=purchase.transaction_id,
            )
        )  # fmt: skip
        return _sent(unionpay.sealed(_news(purchase, respCode=code)))

    def forgeries(self, purchase):
        fields, stranger = _news(purchase), unionpay.certificate("unionpay", issuer="stranger", cn=unionpay.CN)
        good = unionpay.sealed(fields)
        messages = {
            "another's key": unionpay.sealed(fields, by="stranger"),
            "our own key": unionpay.sealed(fields, by="unionpay merchant"),
            "a foreign authority": unionpay.sealed(fields, cert=unionpay.pem(stranger)),
            "another merchant's certificate": unionpay.sealed(
                fields, cert=unionpay.pem(unionpay.leaf("041@1@某某网络科技有限公司@1"))
            ),
            "no certificate": unionpay.sealed(fields, cert=...),
            "no signature": {name: value for name, value in good.items() if name != "signature"},
            "an empty signature": {**good, "signature": ""},
            "an older algorithm": unionpay.sealed(fields, how="sha1"),
            "a shared key": unionpay.sealed({**fields, "signMethod": "11"}),
            "a field left out": {name: value for name, value in good.items() if name != "txnAmt"},
        }
        return {name: _sent(fields) for name, fields in messages.items()} | {
            "a field twice": Sent(body=unionpay.form(good) + b"&txnAmt=1"),
        }

    def unreadable(self, purchase):
        spoilt = {
            "a time that is none": {"txnTime": "20261341256161"},
            "no time": {"txnTime": ...},
            "an endless number": {"orderId": "2" * 500},
            "no number": {"orderId": ...},
        }
        return {name: _sent(unionpay.sealed(_news(purchase, **changes))) for name, changes in spoilt.items()}


def _about(purchase: Purchase) -> dict[str, str]:
    return {
        "txnTime": unionpay.beijing(purchase.opened_at),
        "merId": unionpay.MER_ID if purchase.is_ours else "898340183980106",
        "txnAmt": str(purchase.amount_minor),
        "currencyCode": _currency(purchase),
        "queryId": purchase.transaction_id,
        **({"anotherFieldOfTomorrow": "是 &=+%"} if purchase.has_new_field else {}),
    }


def _news(purchase: Purchase, **changes) -> dict[str, str]:
    return unionpay.paid(purchase.attempt_no, **{**_about(purchase), **changes})


def _currency(purchase: Purchase) -> str:
    return {"CNY": "156", "USD": "840"}[purchase.currency]


def _sent(fields: dict[str, str]) -> Sent:
    return Sent(body=unionpay.form(fields))


SIDE = _UnionPay()
