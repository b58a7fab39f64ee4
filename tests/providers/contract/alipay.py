"""Alipay, as the contract speaks to it."""

from cryptography.hazmat.primitives import hashes

from tests import keys
from tests.providers.alipay_side import form, full_refund, sealed, signature, signed_text, trade, unpaid_closing
from tests.providers.contract.side import News, Purchase, Sent, Side


class _Alipay(Side):
    code = "alipay"
    method = "alipay_app"
    content_type = "application/x-www-form-urlencoded; charset=utf-8"
    done = (200, b"success")
    refused = (401, b"fail")
    later = (503, b"fail")
    proves_with = ("alipay_public_key",)

    def credentials(self):
        return keys.alipay_credentials()

    def told(self, purchase, news=News.PAID):
        return Sent(body=sealed(_fields(purchase, news)))

    def forgeries(self, purchase):
        fields = _fields(purchase, News.PAID)
        whole = {**fields, "sign": signature(signed_text(fields).encode())}
        bodies = {
            "another's key": sealed(fields, by="stranger"),
            "our own key": sealed(fields, by="alipay merchant"),
            "an older algorithm": sealed(fields, algorithm=hashes.SHA1()),  # noqa: S303  # what is tried
            "no signature": form(fields),
            "an empty signature": form({**fields, "sign": ""}),
            "a field twice": form(whole) + b"&total_amount=0.01",
            "a field left out": form({name: value for name, value in whole.items() if name != "gmt_payment"}),
            "the text in JSON": b'{"trade_status": "TRADE_SUCCESS"}',
        }
        return {name: Sent(body=body) for name, body in bodies.items()}

    def unreadable(self, purchase):
        fields = _fields(purchase, News.PAID)
        spoilt = {
            "an amount with a comma": {"total_amount": "6,00"},
            "an amount in full-width digits": {"total_amount": "６.00"},
            "a number with NUL": {"trade_no": "2026\x00"},
            "an endless number": {"trade_no": "2" * 500},
            "a time that is none": {"gmt_payment": "2026-13-41 25:61:61"},
        }
        return {name: Sent(body=sealed({**fields, **changes})) for name, changes in spoilt.items()}


def _fields(purchase: Purchase, news: News) -> dict[str, str]:
    yuan = f"{purchase.amount_minor // 100}.{purchase.amount_minor % 100:02d}"
    about = {
        "trade_no": purchase.transaction_id,
        "total_amount": yuan,
        "app_id": keys.alipay_credentials()["app_id"] if purchase.is_ours else "2021000000000002",
        **({} if purchase.currency == "CNY" else {"trans_currency": purchase.currency}),
        **({"another_field_of_tomorrow": "是 &=+%"} if purchase.has_new_field else {}),
    }
    if news is News.REFUNDED:
        return full_refund(purchase.attempt_no, **about, refund_fee=yuan)
    if news is News.CLOSED:
        return unpaid_closing(purchase.attempt_no, **about)
    states = {News.PAID: "TRADE_SUCCESS", News.WAITING: "WAIT_BUYER_PAY", News.NEW_WORD: "TRADE_ENCHANTED"}
    return trade(purchase.attempt_no, **about, trade_status=states[news])


SIDE = _Alipay()
