"""The contract runs for every adapter of the registry: its side, its adapter, and a shop that sells through it."""

import importlib
import itertools

import pytest

from channels_app.accounts import adapter_of, enable_method, save_account
from channels_app.models import Notification
from channels_app.providers import ADAPTERS, build_adapter
from orders.hints import follow
from orders.models import Order, PaymentAttempt, Product
from tests.buying import make_order, post
from tests.providers.contract.side import ACCOUNT, Purchase, Sent, Side


@pytest.fixture(scope="module", params=ADAPTERS)
def side(request) -> Side:
    """The other side of the wire. A provider without one fails here."""
    side = importlib.import_module(f"tests.providers.contract.{request.param}").SIDE
    assert side.code == request.param
    side.start()
    yield side
    side.stop()


@pytest.fixture(scope="module")
def adapter(side):
    """The adapter of a sandbox account."""
    adapter = build_adapter(side.code, side.credentials(), live=False)
    side.ready(adapter)
    return adapter


class Shop:
    """A game that sells through one account of the provider."""

    def __init__(self, client, api_key: str, side: Side):
        self.side = side
        self._client, self._api_key = client, api_key
        self._numbers = itertools.count(1)

    def purchase(self) -> Purchase:
        """An order, opened by the player: what the provider will know of its purchase."""
        order = make_order(self._client, self._api_key)
        number = self.side.transaction_id(next(self._numbers))
        asked = {"method": self.side.method, **self.side.inputs}
        self.side.prepare()
        answer = post(self._client, f"orders/{order.order_no}/pay", asked, bearer=self._api_key)
        assert answer.status_code == 200, answer.content
        attempt = PaymentAttempt.objects.get(order=order)
        return Purchase(
            attempt_no=attempt.attempt_no,
            opened_at=attempt.created_at,
            transaction_id=number,
            product=self.side.product,
            payer=attempt.payer,
        )

    def another_transaction(self) -> str:
        """A number that the provider has not used yet."""
        return self.side.transaction_id(next(self._numbers))

    def order_of(self, purchase: Purchase) -> Order:
        """The order as it stands."""
        return Order.objects.get(attempts__attempt_no=purchase.attempt_no)

    def arrive(self, sent: Sent, *, content_type: str | None = None) -> str:
        """Deliver a message, and let the worker ask where it is a hint. Returns which of our answers was given."""
        answer = self.send(sent, content_type=content_type)
        for kept in Notification.objects.filter(ask_at__isnull=False):
            follow(kept.pk)
        exact, (words, status) = self.side.done, (answer.content, answer.status_code)
        if (status, words) == exact:
            return "done"
        told = {
            name for name in ("refused", "later")
            if status == getattr(self.side, name)[0] and getattr(self.side, name)[1] in words
        }  # fmt: skip
        assert len(told) == 1, f"answered {status} {words!r}, which is no answer of {self.side.code}"
        return told.pop()

    def send(self, sent: Sent, *, content_type: str | None = None):
        """Deliver a message and nothing more."""
        verb, path = ADAPTERS[self.side.code].notifies_by, f"/notify/{self.side.code}/{ACCOUNT}"
        if verb == "GET":
            return self._client.generic(verb, path, QUERY_STRING=sent.body.decode("latin-1"), headers=sent.headers)
        # Not `post`, which would write the body in the charset that the type names.
        content_type = content_type or self.side.content_type
        return self._client.generic(verb, path, sent.body, content_type=content_type, headers=sent.headers)

    def hand_in(self, purchase: Purchase, evidence: dict[str, str]):
        """What the game's client shows for its order."""
        order_no = self.order_of(purchase).order_no
        asked = {"method": self.side.method, **evidence}
        return post(self._client, f"orders/{order_no}/proofs", asked, bearer=self._api_key)


@pytest.fixture
def shop(client, channel, api_key, game, side, settings) -> Shop:
    """A shop whose ceilings nobody reaches: what they do is promised elsewhere."""
    settings.REFUSED_KEPT_PER_MINUTE = 1000
    Product.objects.filter(game=game).update(store_ids={side.method: side.product} if side.product else {})
    account = save_account(provider=side.code, code=ACCOUNT, environment="sandbox", credentials=side.credentials())
    enable_method(channel=channel, method=side.method, account=account)
    side.ready(adapter_of(account))
    return Shop(client, api_key, side)
