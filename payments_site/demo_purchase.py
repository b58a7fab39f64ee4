"""A purchase as everybody lives it, over real HTTP: game server, player's client, provider (the simulator).

Nothing here reads the database: it asks what a game server and a client may ask.
"""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import requests

_INPUTS: Mapping[str, Mapping[str, str]] = {
    "wechatpay_jsapi": {"openid": "oDemo00000000000000000000001"},
    "wechatpay_h5": {"client_ip": "203.0.113.7"},
}
_DELIVERED_WITHIN_S = 60.0
_TIMEOUT_S = 35.0

Say = Callable[[str, str], None]


class DemoFailed(Exception):
    """A step did not go as it must; the sentence says which."""


@dataclass(slots=True)
class Purchase:
    """What became of one purchase."""

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

    def methods(self, *, channel: str) -> list[str]:
        """The methods the channel offers."""
        channels = self._call("GET", f"{self._api}/channels", token=self._key)["results"]
        return [offer["method"] for each in channels if each["channel_id"] == channel for offer in each["methods"]]

    def buy(self, *, method: str, product: str, channel: str) -> Purchase:
        """One purchase from order to goods. Never raises; `error` says what went wrong."""
        purchase = Purchase(method)
        try:
            self._buy(purchase, product, channel)
        except (DemoFailed, requests.RequestException) as error:
            purchase.error = str(error)[:300]
            self._say("demo", f"FAILED: {purchase.error}")
        return purchase

    def _buy(self, purchase: Purchase, product: str, channel: str) -> None:
        uid = f"demo-{secrets.token_hex(4)}"
        wanted = {
            "client_ref": f"demo-{secrets.token_hex(8)}",
            "uid": uid,
            "product_id": product,
            "channel_id": channel,
        }
        order = self._call("POST", f"{self._api}/orders", token=self._key, body=wanted)
        purchase.order_no = order["order_no"]
        self._say(
            "game server",
            f"order {order['order_no']}: {order['amount'] / 100:.2f} {order['currency']} for player {uid}",
        )
        token = order["client_token"]
        opened = self._call(
            "POST", f"{self._api}/orders/{purchase.order_no}/pay", token=token,
            body={"method": purchase.method, **_INPUTS.get(purchase.method, {})},
        )  # fmt: skip
        self._say("client", f"opened {opened['method']} ({opened['kind']}): {', '.join(sorted(opened['params']))}")
        began = time.monotonic()
        self._pay(opened)
        self._call(
            "POST",
            f"{self._api}/orders/{purchase.order_no}/client-result",
            token=token,
            body={"result": "success"},
        )
        self._say("client", "reported success (a hint, not proof)")
        self._await_goods(purchase, token)
        purchase.delivered_after_ms = round((time.monotonic() - began) * 1000)
        self._read_ledger(purchase, uid)

    def _pay(self, opened: Mapping[str, Any]) -> None:
        """What the player does in the provider's app."""
        provider = opened["method"].partition("_")[0]
        presented = opened["params"].get("order_string") or opened["params"].get("url")
        if provider == "alipay" and presented:
            self._call(
                "POST",
                f"{self._simulator}/control/present",
                body={"provider": provider, "order_string": presented},
            )
        self._call("POST", f"{self._simulator}/control/trades/{provider}/{opened['attempt_no']}/pay", body={})
        self._say("player", f"paid in the {provider} app")

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
