"""Xiaomi, as the contract speaks to it: by GET, signed with a shared secret, without a time stamp."""

from tests.providers import xiaomi_side as xiaomi
from tests.providers.contract.side import News, Purchase, Sent, Side

_STATES = {News.PAID: "TRADE_SUCCESS", News.WAITING: "WAIT_BUYER_PAY", News.NEW_WORD: "TRADE_ENCHANTED"}


class _Xiaomi(Side):
    code = "xiaomi"
    method = "xiaomi_pay"
    inputs = {"channel_uid": xiaomi.UID}
    done = (200, b'{"errcode": 200}')
    refused = (401, b"1525")
    later = (503, b"3515")
    tells_payer = True
    tells_currency = False
    sandbox_only = {"base_url": "http://127.0.0.1:9"}

    def credentials(self):
        return xiaomi.credentials()

    def transaction_id(self, number):
        return f"21{number:024d}"

    def told(self, purchase, news=News.PAID):
        if news not in _STATES:
            return None
        return _sent(xiaomi.signed(_order(purchase, orderStatus=_STATES[news])))

    def forgeries(self, purchase):
        said = _order(purchase)
        good = xiaomi.signed(said)
        messages = {
            "another's key": xiaomi.signed(said, "another secret of somebody"),
            "an empty key": xiaomi.signed(said, ""),
            "the number of the game as key": xiaomi.signed(said, xiaomi.APP_ID),
            "no signature": said,
            "an empty signature": {**said, "signature": ""},
            "a signature in full-width digits": {**said, "signature": "１" * 40},
            "a field left out": {name: value for name, value in good.items() if name != "productName"},
        }
        return {name: _sent(said) for name, said in messages.items()} | {
            "a field twice": Sent(body=f"{xiaomi.query(good)}&payFee=1".encode()),
        }

    def unreadable(self, purchase):
        spoilt = {
            "an amount in yuan": {"payFee": "6.00"},
            "a negative amount": {"payFee": "-600"},
            "an amount in full-width digits": {"payFee": "６００"},
            "an amount beyond all money": {"payFee": "9" * 30},
            "no number of the payment": {"orderId": ""},
            "an endless number": {"orderId": "2" * 500},
            "a time that is none": {"payTime": "2026-13-41 25:61:61"},
        }
        return {name: _sent(xiaomi.signed(_order(purchase, **changes))) for name, changes in spoilt.items()}


def _order(purchase: Purchase, **changes) -> dict[str, str]:
    about = {
        "appId": xiaomi.APP_ID if purchase.is_ours else "2882303761517239139",
        "orderId": purchase.transaction_id,
        "payFee": str(purchase.amount_minor),
        "uid": purchase.payer,
        **({"aFieldOfTomorrow": "是 &=+%"} if purchase.has_new_field else {}),
    }
    return xiaomi.order(purchase.attempt_no, **{**about, **changes})


def _sent(said: dict[str, str]) -> Sent:
    return Sent(body=xiaomi.query(said).encode())


SIDE = _Xiaomi()
