"""The house keeps its shape: floors, words and tables that every newcomer relies on."""

import pytest
from django.apps import apps
from django.core.management import call_command

from fulfillment.models import DeliveryStatus
from orders.models import ORDER_TRANSITIONS, CaseKind, DeliveryState, HoldReason, OrderState
from orders.settling import VERDICTS, Outcome

FLOORS = ["channels_app", "orders", "fulfillment"]


class TestTheFloors:
    """Every arrow points down, in imports (import-linter) and in the database."""

    def test_no_foreign_key_points_up(self):
        for model in apps.get_models():
            label = model._meta.app_label
            if label not in FLOORS:
                continue
            for field in model._meta.get_fields():
                other = getattr(getattr(field, "related_model", None), "_meta", None)
                if field.concrete and other is not None and other.app_label in FLOORS:
                    assert FLOORS.index(other.app_label) <= FLOORS.index(label), f"{model.__name__}.{field.name}"

    def test_every_money_table_refuses_deletion(self):
        guarded = {
            model._meta.label
            for model in apps.get_models()
            if any(
                trigger.name.endswith(("never_deleted", "append_only"))
                for trigger in getattr(model._meta, "triggers", [])
            )
        }
        assert {
            "orders.Order", "orders.Payment", "orders.OrderEvent", "fulfillment.Delivery", "fulfillment.DeliveryLine",
            "fulfillment.LedgerEntry",
        } <= guarded  # fmt: skip


class TestTheWords:
    """An enum and its tables name the same things."""

    def test_every_state_has_its_transitions(self):
        assert set(ORDER_TRANSITIONS) == set(OrderState)

    def test_every_outcome_has_its_verdict(self):
        assert set(VERDICTS) == set(Outcome)

    def test_every_reason_to_hold_money_is_a_kind_of_case(self):
        assert set(HoldReason.values) <= set(CaseKind.values)

    def test_delivery_speaks_the_orders_words(self):
        assert set(DeliveryStatus.values) | {"none"} == set(DeliveryState.values)


class TestTheSchema:
    """Models and migrations agree."""

    @pytest.mark.django_db
    def test_no_migration_is_missing(self):
        call_command("makemigrations", "--check", "--dry-run", verbosity=0)
