"""Fifty identical notifications at once on each of forty orders, per provider: fifty thanks, one delivery each."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

ORDERS = 40
AT_ONCE = 50


class TestStorms:
    """However a provider repeats itself, every message is acknowledged and the goods leave once."""

    @pytest.mark.parametrize("method", ["wechatpay_app", "alipay_app"])
    @pytest.mark.parametrize("new_ids", [False, True])
    def test_of_one_payment_deliver_once(self, stack, method, new_ids):
        def purchase(_: int) -> tuple[str, Counter]:
            opened = stack.opened(method)
            stack.trade(opened, "pay", notify="lost")
            told = stack.trade(opened, "notify", times=AT_ONCE, at_once=True, new_ids=new_ids, wait=True)
            return opened["order_no"], Counter(
                each["status"] for notice in told["notifications"] for each in notice["attempts"][-AT_ONCE:]
            )

        with ThreadPoolExecutor(2) as pool:
            storms = list(pool.map(purchase, range(ORDERS if not new_ids else ORDERS // 4)))
        thanks = 204 if method.startswith("wechatpay") else 200
        assert {tuple(answers.items()) for _, answers in storms} == {((thanks, AT_ONCE),)}
        for order_no, _ in storms:
            order = stack.state(order_no)
            assert (order["state"], order["delivery_state"]) == ("paid", "delivered")
            entries = stack.api("GET", f"players/{order['uid']}/ledger").json()["results"]
            assert [entry["quantity"] for entry in entries] == [66]

    def test_of_notification_query_and_client_result_deliver_once(self, stack):
        for method in ("wechatpay_native", "alipay_qr") * 4:
            opened = stack.opened(method)
            stack.trade(opened, "pay", notify="lost")
            with ThreadPoolExecutor(9) as pool:
                said = [
                    pool.submit(
                        stack.api,
                        "POST",
                        f"orders/{opened['order_no']}/client-result",
                        {"result": "success"},
                        token=opened["client_token"],
                    )
                    for _ in range(4)
                ]
                said += [pool.submit(stack.trade, opened, "notify", times=4, at_once=True, wait=True)]
                for each in said:
                    each.result()
            order = stack.state(opened["order_no"])
            assert (order["state"], order["delivery_state"]) == ("paid", "delivered")
            entries = stack.api("GET", f"players/{order['uid']}/ledger").json()["results"]
            assert [entry["quantity"] for entry in entries] == [66]
