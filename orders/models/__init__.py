"""Orders: what a player owes, whether it is paid, and the history that proves it.

Speaks to payment providers only through `channels_app.providers`; knows nothing of goods or delivery beyond
the frozen lines a buyer was promised and a delivery state that the floor above reports.
Amounts are integers in minor units (fen, cents). Times are aware and UTC.
"""

from orders.models.case import Case, CaseKind, Note
from orders.models.catalogue import ApiKey, Game, GameStaff, Product, ProductPrice, Reviewer, Scope, all_scopes
from orders.models.machinery import IdempotencyRecord, RateCounter
from orders.models.office import ExportFile, Job, JobKind, JobRow, JobState
from orders.models.order import (
    ATTEMPT_ALIVE,
    ORDER_TRANSITIONS,
    AttemptState,
    CancelReason,
    DeliveryState,
    EventKind,
    Order,
    OrderEvent,
    OrderState,
    PaymentAttempt,
)
from orders.models.payment import HoldReason, Payment, ProofSource
from orders.models.revenue import Payer, RevenueCursor, RevenueDay, RevenueDayByChannel, RevenueHour

__all__ = [
    "ATTEMPT_ALIVE",
    "ORDER_TRANSITIONS",
    "ApiKey",
    "AttemptState",
    "CancelReason",
    "Case",
    "CaseKind",
    "DeliveryState",
    "EventKind",
    "ExportFile",
    "Game",
    "GameStaff",
    "HoldReason",
    "IdempotencyRecord",
    "Job",
    "JobKind",
    "JobRow",
    "JobState",
    "Note",
    "Order",
    "OrderEvent",
    "OrderState",
    "Payer",
    "Payment",
    "PaymentAttempt",
    "Product",
    "ProductPrice",
    "ProofSource",
    "RateCounter",
    "RevenueCursor",
    "RevenueDay",
    "RevenueDayByChannel",
    "RevenueHour",
    "Reviewer",
    "Scope",
    "all_scopes",
]
