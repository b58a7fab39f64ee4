"""Google Play, as the contract speaks to it: a push is a hint, the Play Developer API has the truth."""

import time

from tests.providers import google_side as google
from tests.providers.contract.side import News, Purchase, Sent, Side

_STATES = {News.PAID: "PURCHASED", News.WAITING: "PENDING", News.CLOSED: "CANCELLED", News.NEW_WORD: "ENCHANTED"}


class _Google(Side):
    code = "google"
    method = "google_play"
    done = (204, b"")
    signed_headers = ("authorization",)
    signs_body = False
    product = google.PRODUCT
    sells_several = True
    sets_price = True
    tells_payer = True
    tells_environment = True
    refund_brings_payment = True
    sandbox_only = {"base_url": "http://127.0.0.1:9"}

    def start(self):
        self._server = google.GoogleSide()
        self._purchases: dict[str, dict] = {}
        self._orders: dict[str, dict] = {}
        self._server.will("/purchases/productsv2/tokens/", self._answer_from(self._purchases))
        self._server.will("/orders/", self._answer_from(self._orders))

    def stop(self):
        assert self._server.complaints == []
        self._server.close()

    def ready(self, adapter):
        adapter.probe("0" * 30)  # which fetches Google's keys

    def credentials(self):
        return google.credentials(base_url=self._server.url)

    def transaction_id(self, number):
        return f"GPA.3345-1234-5678-{number:05d}"

    def told(self, purchase, news=News.PAID):
        self._happened(purchase, news)
        if news is News.REFUNDED:
            entry = google.entry(
                _token(purchase), orderId=purchase.transaction_id, voidedTimeMillis=str(google.now_ms())
            )  # fmt: skip
            self._server.will("/purchases/voidedpurchases", google.says({"voidedPurchases": [entry]}))
            return _sent(google.voided(_token(purchase), orderId=purchase.transaction_id))
        about = {"packageName": google.PACKAGE if purchase.is_ours else "com.example.another"}
        if purchase.has_new_field:
            about |= {"aFieldOfTomorrow": [1]}
        return _sent(google.changed(google.bought(_token(purchase)), about))

    def forgeries(self, purchase):
        now = int(time.time())
        tokens = {
            "another's key": google.oidc(by="stranger"),
            "our own key": google.oidc(by="google caller"),
            "no signature": google.oidc(signature=b""),
            "no algorithm": google.oidc(header={"alg": "none"}, signature=b""),
            "a shared key": google.oidc(header={"alg": "HS256"}),
            "another issuer": google.oidc({"iss": "https://accounts.example.com"}),
            "another audience": google.oidc({"aud": "https://pay.example/notify/google/another"}),
            "another sender": google.oidc({"email": "push@another.iam.gserviceaccount.com"}),
            "a sender whom nobody has checked": google.oidc({"email_verified": False}),
            "yesterday's": google.oidc({"iat": now - 90_000, "exp": now - 86_400}),
            "tomorrow's": google.oidc({"iat": now + 86_400, "exp": now + 90_000}),
            "no token": "",
        }
        body = google.envelope(google.bought(_token(purchase)))
        return {name: Sent(body=body, headers=_bearer(token)) for name, token in tokens.items()} | {
            "no header": Sent(body=body),
            "another subscription": Sent(
                body=google.envelope(google.bought(), subscription="projects/x/subscriptions/y"), headers=_bearer()
            ),
        }

    def unreadable(self, purchase):
        bodies = {
            "nothing": b"",
            "not UTF-8": b"\xff\xfe{}",
            "no object": b"[1]",
            "too deep": b"[" * 100_000,
            "no message": b"{}",
            "data that is no base64": google.envelope("?"),
            "data that is no JSON": google.envelope("YWJj"),
            "no application": google.envelope(google.told("oneTimeProductNotification", {}, packageName=...)),
            "a token that is none": google.envelope(google.bought("\x00")),
        }
        return {name: Sent(body=body, headers=_bearer()) for name, body in bodies.items()}

    def evidence(self, purchase):
        self._happened(purchase, News.PAID)
        return {"purchase_token": _token(purchase), "store_product_id": purchase.product}

    def forged_evidence(self, purchase):
        return {
            "a token of nobody's": {"purchase_token": "n" * 60, "store_product_id": purchase.product},
            "a token that is none": {"purchase_token": "../orders", "store_product_id": purchase.product},
            "a product that is none": {"purchase_token": "n" * 60, "store_product_id": "../../x"},
        }

    def _happened(self, purchase: Purchase, news: News) -> None:
        if not purchase.is_ours:  # Google does not know the purchases of another application
            self._purchases.pop(_token(purchase), None)
            return
        state = google.standing(_STATES.get(news, "PURCHASED"))
        never_paid = google.NEVER_PAID if news in (News.WAITING, News.CLOSED) else {}
        about = {
            "orderId": purchase.transaction_id,
            "obfuscatedExternalAccountId": purchase.payer,
            **({"aFieldOfTomorrow": {}} if purchase.has_new_field else {}),
            **(google.REAL if purchase.is_elsewhere else {}),
        }
        number = purchase.attempt_no or None
        self._purchases[_token(purchase)] = google.purchase(
            number, {**about, **state, **never_paid}, quantity=purchase.quantity,
            refundableQuantity=purchase.quantity, product_id=purchase.product,
        )  # fmt: skip
        units, fen = divmod(purchase.amount_minor, 100)
        total = {"currencyCode": purchase.currency, "units": str(units), "nanos": fen * 10_000_000}
        self._orders[purchase.transaction_id] = google.order(
            orderId=purchase.transaction_id, purchaseToken=_token(purchase), total=total
        )

    @staticmethod
    def _answer_from(known: dict[str, dict]):
        def answer(call: google.Call) -> google.Answer:
            document = known.get(call.path.rpartition("/")[2])
            return google.NOT_FOUND if document is None else google.says(document)

        return answer


def _token(purchase: Purchase) -> str:
    """What the device gets: one for each purchase."""
    return f"opaque-token-that-a-device-gets.{purchase.transaction_id}.{purchase.attempt_no}"


def _bearer(token: str | None = None) -> dict[str, str]:
    return {"Authorization": f"Bearer {google.oidc() if token is None else token}"}


def _sent(said: dict) -> Sent:
    return Sent(body=google.envelope(said), headers=_bearer())


SIDE = _Google()
