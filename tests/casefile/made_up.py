"""Facts about an order, made up in memory: every combination of states that the database would allow."""

from datetime import UTC, datetime, timedelta

from channels_app.models import MerchantAccount
from orders.casefile.facts import DeliveryFacts, Facts, Server
from orders.models import (
    Case,
    CaseKind,
    DeliveryState,
    HoldReason,
    Order,
    OrderState,
    Payment,
    PaymentAttempt,
)

NOW = datetime(2026, 3, 27, 6, 36, tzinfo=UTC)  # 14:36 in Beijing
# Money of no order, and messages, are no order's cases.
OF_NO_ORDER = (CaseKind.UNKNOWN_ORDER, CaseKind.UNMATCHED, CaseKind.UNREADABLE_NOTIFICATION)
ABOUT_MONEY = tuple(CaseKind(reason) for reason in HoldReason.values if reason not in OF_NO_ORDER)


def order(state=OrderState.PAID, delivery=DeliveryState.DELIVERED, *, refunded=0, cancel_reason="expired", **more):
    """An order over 30 yuan, made half an hour ago."""
    made = NOW - timedelta(minutes=30)
    about = {
        "pk": 1, "order_no": "20260327K3WT9X2FVBNA", "game_code": "jianxia", "environment": "production",
        "client_ref": "tap-40417", "uid": "20917735", "zone_id": "12", "role_id": "120457", "product_name": "月卡",
        "quantity": 1, "amount_minor": 3000, "currency": "CNY", "state": state, "delivery_state": DeliveryState.NONE,
        "contents": [{"item_id": "gold", "name": "元宝", "quantity": 300, "bonus": 60}], "created_at": made,
        "expires_at": made + timedelta(hours=2), "refunded_minor": refunded, "fulfilment_mode": "game_server",
    }  # fmt: skip
    if state == OrderState.PAID:
        paid = made + timedelta(seconds=23)
        about |= {"method": "alipay_app", "transaction_id": "T1", "paid_at": paid, "settled_at": paid}
        about["delivery_state"] = delivery
        if delivery in (DeliveryState.DELIVERED, DeliveryState.REVOKED):
            about["delivered_at"] = paid + timedelta(seconds=1)
    if state == OrderState.CANCELLED:
        about |= {"cancelled_at": made + timedelta(minutes=5), "cancel_reason": cancel_reason}
    return Order(**{**about, **more})


def account(provider="alipay"):
    return MerchantAccount(provider=provider, code=f"{provider}-main", environment="production")


def payment(*, applied=True, reason="", amount=3000, transaction_id="T1", provider="alipay"):
    """Money that arrived a minute after the order was made."""
    at = NOW - timedelta(minutes=29)
    return Payment(
        pk=hash(transaction_id) % 1000, account=account(provider), environment="production",
        transaction_id=transaction_id, amount_minor=amount, currency="CNY", applied=applied, hold_reason=reason,
        source="notification", paid_at=at, received_at=at,
    )  # fmt: skip


def case(kind, *, opened=NOW - timedelta(minutes=10), about=None, decision="", note=""):
    """An open case, or a closed one with its decision."""
    closed = {"closed_at": NOW - timedelta(minutes=1), "closed_by": "chenlan", "decision": decision, "note": note}
    return Case(
        pk=1000 + list(CaseKind).index(kind), kind=kind, subject=f"x:{kind}", environment="production",
        amount_minor=3000, currency="CNY", opened_at=opened, payment=about, detail="noted", assignee="",
        **(closed if decision else {}),
    )  # fmt: skip


def attempt(**more):
    about = {
        "account": account(), "method": "alipay_app", "attempt_no": "20260327K3WT9X2FVBNA", "state": "open",
        "created_at": NOW - timedelta(minutes=29), "expires_at": NOW + timedelta(minutes=1),
    }  # fmt: skip
    return PaymentAttempt(**{**about, **more})


def facts(the_order, *, kinds=(), cases=None, payments=None, **more):
    """Facts as they belong together: a case about held money has its payment."""
    held = {
        kind: payment(
            applied=False, reason=str(kind), transaction_id=f"H-{kind}", amount=2900 if "amount" in kind else 3000
        )
        for kind in kinds
        if kind in ABOUT_MONEY
    }
    own = [payment()] if the_order.state == OrderState.PAID else []
    return Facts(
        now=NOW,
        order=the_order,
        attempts=more.pop("attempts", [attempt()]),
        payments=[*own, *held.values()] if payments is None else payments,
        cases=[case(kind, about=held.get(kind)) for kind in kinds] if cases is None else cases,
        delivery=more.pop("delivery", DeliveryFacts()),
        **more,
    )


DELIVERIES = {
    "first try": DeliveryFacts(next_try_at=NOW),
    "refused": DeliveryFacts(
        tries=6, last_status=503, last_words="maintenance", last_try_at=NOW - timedelta(minutes=15),
        next_try_at=NOW + timedelta(minutes=5, seconds=12), stops_at=NOW + timedelta(days=3),
    ),
    "no answer": DeliveryFacts(tries=1, last_words="no whole answer in time", next_try_at=NOW + timedelta(seconds=20)),
    "paused": DeliveryFacts(server=Server.PAUSED),
    "switched off": DeliveryFacts(server=Server.SWITCHED_OFF, tries=2, last_status=410),
    "no address": DeliveryFacts(server=Server.NO_ADDRESS),
    "untold": DeliveryFacts(kept_by_us=True, untold=True),
    "ledger": DeliveryFacts(kept_by_us=True),
}  # fmt: skip


def every_combination():
    """Every order state × delivery state × refund × cases × what is known of the delivery."""
    orders = [
        order(OrderState.PENDING),
        order(OrderState.PENDING, expires_at=NOW - timedelta(minutes=1)),
        *(order(OrderState.CANCELLED, cancel_reason=reason) for reason in ("game", "player", "expired")),
        *(order(OrderState.PAID, state, refunded=money) for state in DeliveryState for money in (0, 1000, 3000)),
    ]
    attached = [kind for kind in CaseKind if kind not in OF_NO_ORDER]
    alone = [(), *((kind,) for kind in attached)]
    pairs = [(one, other) for one in attached for other in attached if one < other]
    for the_order in orders:
        paid = the_order.state == OrderState.PAID
        for kinds in [*alone, *pairs]:
            for delivery in DELIVERIES.values() if paid else [DeliveryFacts()]:
                yield facts(the_order, kinds=kinds, delivery=delivery)
