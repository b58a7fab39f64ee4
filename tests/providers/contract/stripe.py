"""Stripe, as the contract speaks to it: a shared secret signs stamp and bytes."""

import time

from tests.providers import stripe_side as stripe
from tests.providers.contract.side import News, Purchase, Sent, Side

_EVENTS = {
    News.PAID: ("payment_intent.succeeded", "succeeded"),
    News.WAITING: ("payment_intent.processing", "processing"),
    News.CLOSED: ("payment_intent.canceled", "canceled"),
    News.NEW_WORD: ("payment_intent.enchanted", "enchanted"),
}


class _Stripe(Side):
    code = "stripe"
    method = "stripe_card"
    content_type = "application/json; charset=utf-8"
    done = (200, b"")
    signed_headers = ("stripe-signature",)
    tells_environment = True
    refund_brings_payment = True
    sandbox_only = {
        "base_url": "http://127.0.0.1:9",
        "secret_key": stripe.SECRET_KEY,
        "publishable_key": stripe.PUBLISHABLE_KEY,
    }

    def start(self):
        self._server = stripe.StripeSide()
        self._server.will(self._opened)

    def stop(self):
        assert self._server.complaints == []
        self._server.close()

    def credentials(self):
        return stripe.credentials(base_url=self._server.url)

    def live_credentials(self):
        return stripe.credentials(
            base_url=..., secret_key="sk_live_4eC39HqLyjWDarjtT1", publishable_key="pk_live_TYooMQauvdEDq54NiT"
        )

    def transaction_id(self, number):
        return f"pi_3MtwBwLkdIwHu7ix{number:08d}"

    def told(self, purchase, news=News.PAID):
        return _sent(_event(purchase, news))

    def forgeries(self, purchase):
        body = stripe.body_of(_event(purchase, News.PAID))
        now = int(time.time())
        good = stripe.header(body)
        headers = {
            "another's key": stripe.header(body, secret="whsec_somebodyElsesSecret"),
            "an empty key": stripe.header(body, secret=""),
            "our public key": stripe.header(body, secret=stripe.PUBLISHABLE_KEY),
            "301 s old": stripe.header(body, stamp=now - 301),
            "301 s early": stripe.header(body, stamp=now + 303),
            "another time than was signed": good.replace(f"t={good[2:12]}", f"t={now - 7}"),
            "two times": f"t={now},{good}",
            "no time": good.partition(",")[2],
            "the scheme for tests only": good.replace("v1=", "v2="),
            "an empty signature": f"t={now},v1=",
            "an empty header": "",
        }
        messages = {name: Sent(body=body, headers={"Stripe-Signature": header}) for name, header in headers.items()}
        return messages | {"no header": Sent(body=body)}

    def unreadable(self, purchase):
        paid = _event(purchase, News.PAID)
        thing = paid["data"]["object"]
        spoilt = {
            "a float": {"amount_received": 600.0, "amount": 600.0},
            "an amount in words": {"amount_received": "600"},
            "a negative amount": {"amount_received": -600},
            "a currency that is none": {"currency": "yuan"},
            "an endless number": {"id": "pi_" + "1" * 500},
            "no number": {"id": ...},
        }
        bodies = {
            name: stripe.body_of({**paid, "data": {"object": _changed(thing, changes)}})
            for name, changes in spoilt.items()
        }
        bodies |= {
            "nothing": b"",
            "not UTF-8": b"\xff\xfe{}",
            "a byte order mark": b"\xef\xbb\xbf" + stripe.body_of(paid),
            "no object": b"[1]",
            "too deep": b"[" * 100_000,
            "no event": stripe.body_of(thing),
            "a thin event": stripe.body_of({"object": "v2.core.event", "id": "evt_1", "type": "x"}),
        }
        return {name: _signed(body) for name, body in bodies.items()}

    @staticmethod
    def _opened(call):
        """The answer to an opening: what was asked for, which nobody has paid."""
        asked = call.form
        return stripe.Answer(
            stripe.waiting(asked["metadata[order_no]"], amount=int(asked["amount"]), currency=asked["currency"])
        )


def _event(purchase: Purchase, news: News) -> dict:
    number = purchase.attempt_no if purchase.is_ours else ""
    mode = {"livemode": purchase.is_elsewhere}
    money = {"amount": purchase.amount_minor, "currency": purchase.currency.lower()}
    more = {"another_field_of_tomorrow": [None]} if purchase.has_new_field else {}
    if news is News.REFUNDED:
        thing = stripe.charge(
            number, **money, **mode, payment_intent=purchase.transaction_id, amount_captured=purchase.amount_minor,
            amount_refunded=purchase.amount_minor, refunded=True,
        )  # fmt: skip
        return stripe.event("charge.refunded", thing, **mode)
    kind, status = _EVENTS[news]
    received = purchase.amount_minor if news is News.PAID else 0
    thing = stripe.intent(
        number, **money, **mode, **more, id=purchase.transaction_id, amount_received=received, status=status
    )  # fmt: skip
    return stripe.event(kind, thing, **mode, **more)


def _changed(document: dict, changes: dict) -> dict:
    return {name: value for name, value in {**document, **changes}.items() if value is not ...}


def _signed(body: bytes) -> Sent:
    return Sent(body=body, headers={"Stripe-Signature": stripe.header(body)})


def _sent(event: dict) -> Sent:
    return _signed(stripe.body_of(event))


SIDE = _Stripe()
