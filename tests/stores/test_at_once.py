"""Receipt, hint, question and list, all at the same moment: one purchase, one delivery."""

import threading

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from orders.asking import tend
from orders.hints import claim_hints, follow
from orders.models import Case
from tests.buying import post
from tests.effects import ONE_PURCHASE, effects
from tests.stores.conftest import METHOD, attempt_of


@pytest.mark.django_db(transaction=True)
class TestEveryRoadAtOnce:
    """However many ways a purchase is proved in the same instant, its goods arrive once."""

    def test_delivers_once(self, store):
        order, params = store.opened()
        evidence = store.buys(params)
        store.tells(evidence)
        (hint,) = claim_hints(account_id=store.account.pk, limit=1, now=timezone.now())
        type(attempt_of(order)).objects.update(handle=evidence["purchase_token"])
        roads = [*([lambda: self.hand_in(store, order, evidence)] * 4), lambda: follow(hint)]
        roads += [lambda: tend(attempt_of(order).pk)] * 3
        barrier = threading.Barrier(len(roads))

        def take(road):
            barrier.wait()
            try:
                road()
            finally:
                connection.close()

        threads = [threading.Thread(target=take, args=(road,)) for road in roads]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (effects(), Case.objects.count()) == (ONE_PURCHASE, 0)

    def hand_in(self, store, order, evidence):
        body = {"method": METHOD, **evidence}
        answer = post(Client(), f"orders/{order.order_no}/proofs", body, bearer=store.api_key)
        assert answer.status_code == 200, answer.content
