"""Which state an order is in for somebody who has to answer for it: exactly one, whatever its rows."""

from collections.abc import Mapping
from enum import StrEnum

from orders.casefile.facts import Facts, Server
from orders.models import CancelReason, Case, CaseKind, DeliveryState, OrderState


class Kind(StrEnum):
    """Every state an order can be in for somebody who has to answer for it."""

    # A person must decide about money.
    SECOND_PAYMENT = "second_payment"
    LATE_PAYMENT = "late_payment"
    AMOUNT_DIFFERS = "amount_differs"
    GIVEN_BACK = "given_back"
    PURCHASE_DIFFERS = "purchase_differs"
    TEST_MONEY = "test_money"
    REVIEW = "review"
    DISPUTE = "dispute"
    REFUND_ASKED = "refund_asked"
    UNDECIDED = "undecided"
    PROVIDER_REFUND = "provider_refund"
    # Paid, and the goods are not there.
    ON_ITS_WAY = "on_its_way"
    RETRYING = "retrying"
    NOT_TOLD = "not_told"
    PARKED = "parked"
    NO_GOODS = "no_goods"
    # Paid and delivered.
    UNCONFIRMED = "unconfirmed"
    DELIVERED = "delivered"
    DELIVERED_UNTOLD = "delivered_untold"
    TAKEN_BACK = "taken_back"
    PARTLY_REFUNDED = "partly_refunded"
    REFUNDED = "refunded"
    # Not paid; or money came that a person has dealt with.
    DEALT_WITH = "dealt_with"
    WAITING = "waiting"
    UNPAID = "unpaid"
    CANCELLED_BY_GAME = "cancelled_by_game"
    CANCELLED_BY_PLAYER = "cancelled_by_player"


# The kinds of open cases that decide what an order's verdict is, the most urgent first.
TO_DECIDE: Mapping[CaseKind, Kind] = {
    CaseKind.SECOND_PAYMENT: Kind.SECOND_PAYMENT,
    CaseKind.LATE_PAYMENT: Kind.LATE_PAYMENT,
    CaseKind.AMOUNT_DIFFERS: Kind.AMOUNT_DIFFERS,
    CaseKind.GIVEN_BACK: Kind.GIVEN_BACK,
    CaseKind.REVIEW: Kind.REVIEW,
    CaseKind.PURCHASE_DIFFERS: Kind.PURCHASE_DIFFERS,
    CaseKind.TEST_MONEY: Kind.TEST_MONEY,
    CaseKind.DISPUTE: Kind.DISPUTE,
    CaseKind.PROVIDER_REFUND: Kind.PROVIDER_REFUND,
    CaseKind.REFUND_ASKED: Kind.REFUND_ASKED,
    CaseKind.UNDECIDED: Kind.UNDECIDED,
}
CASE_OF: Mapping[Kind, CaseKind] = {kind: case_kind for case_kind, kind in TO_DECIDE.items()} | {
    Kind.PARKED: CaseKind.DELIVERY_PARKED,
    Kind.UNCONFIRMED: CaseKind.UNCONFIRMED,
    Kind.DELIVERED_UNTOLD: CaseKind.WEBHOOK_PARKED,
}


def kind_of(facts: Facts) -> Kind:
    """Which of the states it is."""
    order, waiting = facts.order, facts.open_cases
    for case_kind, kind in TO_DECIDE.items():
        # Whether an attempt was paid is no question any more once money is here.
        if case_kind in waiting and not (kind is Kind.UNDECIDED and facts.money_arrived):
            return kind
    if order.state != OrderState.PAID:
        return _unpaid_kind(facts)
    if order.refunded_minor >= order.amount_minor:
        return Kind.REFUNDED
    return _paid_kind(facts)


def _unpaid_kind(facts: Facts) -> Kind:
    if facts.money_arrived:
        return Kind.DEALT_WITH
    if facts.order.state == OrderState.PENDING:
        return Kind.WAITING
    return {
        CancelReason.GAME: Kind.CANCELLED_BY_GAME,
        CancelReason.PLAYER: Kind.CANCELLED_BY_PLAYER,
        CancelReason.EXPIRED: Kind.UNPAID,
    }[CancelReason(facts.order.cancel_reason)]


def _paid_kind(facts: Facts) -> Kind:
    match DeliveryState(facts.order.delivery_state):
        case DeliveryState.NONE:
            return Kind.NO_GOODS
        case DeliveryState.PARKED:
            return Kind.PARKED
        case DeliveryState.REVOKED:
            return Kind.TAKEN_BACK
        case DeliveryState.PENDING if facts.delivery.server is not Server.TOLD:
            return Kind.NOT_TOLD
        case DeliveryState.PENDING:
            return Kind.RETRYING if facts.delivery.refused else Kind.ON_ITS_WAY
        case DeliveryState.DELIVERED if CaseKind.UNCONFIRMED in facts.open_cases:
            return Kind.UNCONFIRMED
        case DeliveryState.DELIVERED if facts.order.refunded_minor:
            return Kind.PARTLY_REFUNDED
        case DeliveryState.DELIVERED if CaseKind.WEBHOOK_PARKED in facts.open_cases or facts.delivery.untold:
            return Kind.DELIVERED_UNTOLD
        case DeliveryState.DELIVERED:
            return Kind.DELIVERED


def case_of(facts: Facts, kind: Kind) -> Case | None:
    """The open case behind a verdict."""
    case_kind = CASE_OF.get(kind)
    return facts.open_cases.get(case_kind) if case_kind else None
