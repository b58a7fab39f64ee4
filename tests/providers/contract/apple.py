"""Apple, as the contract speaks to it."""

from tests.providers import apple_side as apple
from tests.providers.contract.side import News, Purchase, Sent, Side

_KINDS = {
    News.PAID: "ONE_TIME_CHARGE",
    News.REFUNDED: "REFUND",
    News.NEW_WORD: "ENCHANTMENT",
}


class _Apple(Side):
    code = "apple"
    method = "apple_iap"
    done = (200, b"")
    product = apple.PRODUCT
    sells_several = True
    sets_price = True
    tells_environment = True
    refund_brings_payment = True
    sandbox_only = {"base_url": "http://127.0.0.1:9", "root_certificates": apple.credentials()["root_certificates"]}

    def credentials(self):
        return apple.credentials()

    def live_credentials(self):
        return apple.live_credentials()

    def transaction_id(self, number):
        return str(2_000_000_000_000_000 + number)

    def told(self, purchase, news=News.PAID):
        if news not in _KINDS:
            return None
        revoked = {"revocationDate": apple.now_ms(), "revocationReason": 0} if news is News.REFUNDED else {}
        inner = apple.jws({**_transaction(purchase), **revoked})
        about = {"bundleId": _bundle(purchase)}
        if purchase.is_elsewhere:
            about |= {"environment": "Production", "appAppleId": apple.APP}
        outside = {"aFieldOfTomorrow": [1]} if purchase.has_new_field else {}
        return Sent(body=apple.posted(apple.jws(apple.notification(_KINDS[news], inner, outside, about))))

    def forgeries(self, purchase):
        charge = _transaction(purchase)
        inner = apple.jws(charge)
        outer = apple.notification("ONE_TIME_CHARGE", inner)
        payloads = {
            "another root": apple.jws(outer, by=apple.chain("stranger")),
            "another's key": apple.jws(outer, private=apple.key("stranger")),
            "a leaf as issuer": apple.jws(outer, by=apple.issued_by_leaf()),
            "no signature": apple.jws(outer, signature=b""),
            "no algorithm": apple.jws(outer, header={"alg": "none"}, signature=b""),
            "a shared key": apple.jws(outer, header={"alg": "HS256"}),
            "no certificates": apple.jws(outer, header={"x5c": ...}),
            "a stranger's purchase inside": apple.jws(
                apple.notification("ONE_TIME_CHARGE", apple.jws(charge, by=apple.chain("stranger")))
            ),
            "no text": 5,
        }
        return {name: Sent(body=apple.posted(payload)) for name, payload in payloads.items()}

    def unreadable(self, purchase):
        charge = _transaction(purchase)
        shapes = {
            "words for a number": {"transactionId": "the first"},
            "no transaction number": {"transactionId": ...},
            "a text for a time": {"purchaseDate": "yesterday"},
            "a quantity of none": {"quantity": 0},
        }
        return {
            name: Sent(body=apple.told("ONE_TIME_CHARGE", apple.changed(charge, changes)))
            for name, changes in shapes.items()
        }

    def evidence(self, purchase):
        return {"signed_transaction": apple.jws(_transaction(purchase))}

    def forged_evidence(self, purchase):
        charge = _transaction(purchase)
        signed = apple.jws(charge)
        head, payload, signature = signed.split(".")
        tokens = {
            "another root": apple.jws(charge, by=apple.chain("stranger")),
            "another's key": apple.jws(charge, private=apple.key("stranger")),
            "no signature": f"{head}.{payload}.",
            "a changed payload": f"{head}.{payload[:-8]}{'A' * 8}.{signature}",
            "cut short": signed[:-20],
            "no token": "paid",
        }
        return {name: {"signed_transaction": token} for name, token in tokens.items()}


def _bundle(purchase: Purchase) -> str:
    return apple.BUNDLE if purchase.is_ours else "com.example.another"


def _transaction(purchase: Purchase) -> dict:
    return apple.transaction(
        purchase.attempt_no,
        {
            "transactionId": purchase.transaction_id,
            "originalTransactionId": purchase.transaction_id,
            "bundleId": _bundle(purchase),
            "productId": purchase.product,
            "quantity": purchase.quantity,
            "price": purchase.amount_minor * 10,
            "currency": purchase.currency,
            **({"environment": "Production"} if purchase.is_elsewhere else {}),
            **({"aFieldOfTomorrow": {"deep": True}} if purchase.has_new_field else {}),
        },
    )


SIDE = _Apple()
