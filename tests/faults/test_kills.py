"""kill -9 of any process at any point: nothing acknowledged is lost, nothing comes twice, all completes by itself."""

import threading
import time

import pytest
import requests

from tests.faults.stack import until


class Shoppers:
    """Players who buy without pause while the system is being killed. Remembers what was acknowledged to whom."""

    def __init__(self, stack):
        self.stack = stack
        self.paid: list[str] = []  # the provider has the money: these must all be delivered
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._shop, args=(method,)) for method in ("wechatpay_app", "alipay_app")
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _shop(self, method: str) -> None:
        while not self._stop.is_set():
            try:
                opened = self.stack.opened(method)
                self.stack.trade(opened, "pay")
                self.paid.append(opened["order_no"])
            except (requests.RequestException, AssertionError):
                time.sleep(0.1)  # it is down just now; a player tries again


class TestKills:
    """Kill, bring back, wait: every order whose money the provider has is delivered exactly once."""

    @pytest.mark.parametrize("kind", ["web", "worker", "dispatcher", "postgres", "simulator"])
    def test_of_every_process_of_a_kind(self, stack, kind):
        with Shoppers(stack) as shoppers:
            until(lambda: len(shoppers.paid) >= 5, seconds=30, what="five purchases")
            assert stack.kill(kind) >= 1
            before = len(shoppers.paid)
            stack.restart_if_down()
            until(
                lambda: len(shoppers.paid) >= before + 5,
                seconds=60,
                what=f"selling again; log:\n{stack.tail()}",
            )
        for order_no in shoppers.paid:
            order = until(
                lambda order_no=order_no: (o := stack.state(order_no))["delivery_state"] == "delivered" and o,
                seconds=90, what=f"{order_no} delivered: {stack.state(order_no)}",
            )  # fmt: skip
            entries = stack.api("GET", f"players/{order['uid']}/ledger").json()["results"]
            assert [entry["quantity"] for entry in entries] == [66]
