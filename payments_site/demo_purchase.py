"""A purchase as everybody lives it, over real HTTP: game server, player's client, provider (the simulator).

Nothing here reads the database: it asks what a game server and a client may ask.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import requests

from channels_app.providers import METHODS, PROVIDER_OF_METHOD
from payments_site.demo_browser import Browser
from payments_site.demo_data import account_code

# What a client knows when a method needs it.
_INPUTS: Mapping[str, str] = {
    "openid": "oDemo00000000000000000000001",
    "client_ip": "203.0.113.7",
    "channel_uid": "100010086",
    "return_url": "https://game.example/back",
}
_DELIVERED_WITHIN_S = 60.0
_TIMEOUT_S = 35.0

Say = Callable[[str, str], None]


class DemoFailed(Exception):
    """A step did not go as it must; the sentence says which."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A way to pay on a channel, as `GET /channels` tells it."""

    channel: str
    method: str
    needs: tuple[str, ...]


@dataclass(slots=True)
class Purchase:
    """What became of one purchase."""

    channel: str
    method: str
    order_no: str = ""
    transaction_id: str = ""
    state: str = ""
    delivery_state: str = ""
    items: list[dict[str, Any]] = field(default_factory=list)
    delivered_after_ms: int | None = None
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether the goods are the player's."""
        return not self.error and self.delivery_state == "delivered"

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "ok": self.ok}


class Buyer:
    """A game server with its key, and a player whose phone talks to the simulated providers."""

    def __init__(self, *, base_url: str, api_key: str, simulator_url: str, say: Say) -> None:
        """`say(who, what)` is told every step as it happens."""
        self._api = f"{base_url}/api/v1"
        self._key = api_key
        self._simulator = simulator_url
        self._say = say
        self._http = requests.Session()
        self._http.trust_env = False

    def offers(self) -> list[Offer]:
        """Every way to pay on every channel."""
        channels = self._call("GET", f"{self._api}/channels", token=self._key)["results"]
        return [
            Offer(each["channel_id"], offered["method"], tuple(offered["needs"]))
            for each in channels
            for offered in each["methods"]
        ]

    def buy(self, *, offer: Offer, product: str) -> Purchase:
        """One purchase from order to goods. Never raises; `error` says what went wrong."""
        purchase = Purchase(offer.channel, offer.method)
        try:
            self._buy(purchase, offer, product)
        except (DemoFailed, requests.RequestException) as error:
            purchase.error = str(error)[:300]
            self._say("demo", f"FAILED: {purchase.error}")
        return purchase

    def _buy(self, purchase: Purchase, offer: Offer, product: str) -> None:
        uid = f"demo-{secrets.token_hex(4)}"
        order = self._order(offer, uid, product)
        purchase.order_no = order["order_no"]
        said = f"{order['amount'] / 100:.2f} {order['currency']}"
        self._say("game server", f"order {purchase.order_no}: {said} for player {uid} on {offer.channel}")
        token = order["client_token"]
        opened = self._call(
            "POST", f"{self._api}/orders/{purchase.order_no}/pay", token=token,
            body={"method": offer.method, **{name: _INPUTS[name] for name in offer.needs}},
        )  # fmt: skip
        self._say("client", f"opened {opened['method']} ({opened['kind']}): {', '.join(sorted(opened['params']))}")
        began = time.monotonic()
        evidence = self._pay(opened)
        if METHODS[offer.method].evidence:
            self._finish(purchase, token, evidence)
        else:
            self._report(purchase, token)
            self._await_goods(purchase, token)
        purchase.delivered_after_ms = round((time.monotonic() - began) * 1000)
        self._read_ledger(purchase, uid)

    def _order(self, offer: Offer, uid: str, product: str) -> Any:
        """An order in a currency that the method takes: the channel's own, else another that the product is sold in."""
        for currency in self._currencies(offer.channel, product):
            wanted = {
                "client_ref": f"demo-{secrets.token_hex(8)}",
                "uid": uid,
                "product_id": product,
                "channel_id": offer.channel,
                **currency,
            }
            order = self._call("POST", f"{self._api}/orders", token=self._key, body=wanted)
            if offer.method in [each["method"] for each in order["methods"]]:
                return order
        raise DemoFailed(f"{offer.method} sells {product} in no currency that {offer.channel} has a price in")

    def _currencies(self, channel: str, product: str) -> Iterator[dict[str, str]]:
        yield {}
        listed = self._call("GET", f"{self._api}/products?channel_id={channel}", token=self._key)["results"]
        for each in listed:
            if each["product_id"] == product:
                yield from ({"currency": price["currency"]} for price in each["prices"])

    # --- what the player does ---------------------------------------------------------------------------------
    def _pay(self, opened: Mapping[str, Any]) -> Mapping[str, str]:
        """In the provider's app, page or dialogue. Returns what the client's SDK got there."""
        provider, params = PROVIDER_OF_METHOD[opened["method"]], opened["params"]
        if opened["kind"] in ("redirect", "form"):
            self._pay_in_browser(opened["kind"], params)
            return {}
        if provider in ("wechatpay", "alipay"):
            self._pay_in_app(provider, opened["attempt_no"], params)
            return {}
        asked = {"provider": provider, "merchant": account_code(provider), "params": params}
        bought = self._call("POST", f"{self._simulator}/control/buy", body=asked)
        evidence: Mapping[str, str] = bought["evidence"]
        got = f", which gave the client {', '.join(sorted(evidence))}" if evidence else ""
        self._say("player", f"bought in the dialogue of {provider}{got}")
        return evidence

    def _pay_in_app(self, provider: str, attempt_no: str, params: Mapping[str, Any]) -> None:
        if presented := params.get("order_string"):
            asked = {"provider": provider, "order_string": presented}
            self._call("POST", f"{self._simulator}/control/present", body=asked)
        self._call("POST", f"{self._simulator}/control/trades/{provider}/{attempt_no}/pay", body={})
        self._say("player", f"paid in the {provider} app")

    def _pay_in_browser(self, kind: str, params: Mapping[str, Any]) -> None:
        browser = Browser()
        if kind == "form":
            browser.open(params["action"], form=params["fields"])
        else:
            browser.open(params.get("h5_url") or params["url"])
        if not browser.press("/pay"):
            raise DemoFailed("the provider's page has no button to pay with")
        self._say("player", "paid on the provider's page")

    # --- what the client does ---------------------------------------------------------------------------------
    def _report(self, purchase: Purchase, token: str) -> None:
        address = f"{self._api}/orders/{purchase.order_no}/client-result"
        self._call("POST", address, token=token, body={"result": "success"})
        self._say("client", "reported success (a hint, not proof)")

    def _finish(self, purchase: Purchase, token: str, evidence: Mapping[str, str]) -> None:
        """Hand in the receipt until we say that the purchase may be finished at the store."""
        proved = self._hand_in(purchase, token, evidence)
        self._await_goods(purchase, token)
        if not proved["finish"]:
            proved = self._hand_in(purchase, token, evidence)
        if not proved["finish"]:
            raise DemoFailed(f"delivered, and the purchase may not be finished: {proved['result']} {proved['said']}")
        self._say("client", "was told to, and finished the purchase at the store")

    def _hand_in(self, purchase: Purchase, token: str, evidence: Mapping[str, str]) -> Any:
        address = f"{self._api}/orders/{purchase.order_no}/proofs"
        proved = self._call("POST", address, token=token, body={"method": purchase.method, **evidence})
        self._say("client", f"handed in the receipt: {proved['result']}")
        return proved

    def _await_goods(self, purchase: Purchase, token: str) -> None:
        until = time.monotonic() + _DELIVERED_WITHIN_S
        seen = ("pending", "none")
        while time.monotonic() < until:
            order = self._call("GET", f"{self._api}/orders/{purchase.order_no}?wait=25", token=token)
            purchase.state, purchase.delivery_state = order["state"], order["delivery_state"]
            if (purchase.state, purchase.delivery_state) != seen:
                seen = (purchase.state, purchase.delivery_state)
                self._say("payments", f"order is {purchase.state}, delivery is {purchase.delivery_state}")
            if purchase.delivery_state == "delivered":
                purchase.items = order["items"]
                return
            time.sleep(0.05)
        raise DemoFailed(f"not delivered within {_DELIVERED_WITHIN_S:.0f} s: {seen}")

    def _read_ledger(self, purchase: Purchase, uid: str) -> None:
        order = self._call("GET", f"{self._api}/orders/{purchase.order_no}", token=self._key)
        purchase.transaction_id = order["transaction_id"]
        entries = self._call("GET", f"{self._api}/players/{uid}/ledger", token=self._key)["results"]
        promised = {(line["item_id"], line["quantity"] + line["bonus"]) for line in order["items"]}
        booked = {(entry["item_id"], entry["quantity"]) for entry in entries}
        if booked != promised:
            raise DemoFailed(f"the ledger says {sorted(booked)}, the order promised {sorted(promised)}")
        for entry in entries:
            goods = f"{entry['quantity']} {entry['item_id']}"
            self._say("ledger", f"at {entry['at']} player {uid} got {goods} for order {purchase.order_no}")

    def _call(self, verb: str, url: str, *, token: str = "", body: Mapping[str, Any] | None = None) -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = self._http.request(verb, url, json=body, headers=headers, timeout=_TIMEOUT_S)
        if not answer.ok:
            raise DemoFailed(f"{verb} {url.partition('?')[0]} answered {answer.status_code}: {answer.text[:200]}")
        return answer.json()
