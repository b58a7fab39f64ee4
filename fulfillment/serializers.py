"""The shapes of answers about players, goods and events, for the OpenAPI document; see orders.serializers."""

from rest_framework import serializers

from channels_app.models import Environment
from fulfillment.models import DeliveryMode, DeliveryStatus, ItemKind, LedgerReason
from orders.serializers import ItemLineSerializer, OrderSerializer


class BalanceSerializer(serializers.Serializer[None]):
    """What a player owns of one item."""

    item_id = serializers.CharField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(ItemKind.choices)
    paid = serializers.IntegerField(help_text="bought")
    free = serializers.IntegerField(help_text="added as a bonus")
    quantity = serializers.IntegerField(help_text="paid and free together")


class LedgerEntrySerializer(serializers.Serializer[None]):
    """One movement of one item on a player's account; never changes."""

    id = serializers.IntegerField()
    at = serializers.DateTimeField()
    item_id = serializers.CharField()
    quantity = serializers.IntegerField(help_text="paid and free together, signed")
    paid = serializers.IntegerField()
    free = serializers.IntegerField()
    quantity_after = serializers.IntegerField(help_text="what the player owns after this entry")
    reason = serializers.ChoiceField(LedgerReason.choices)
    order_no = serializers.CharField(allow_null=True)
    delivery_id = serializers.UUIDField(allow_null=True)


class DeliverySerializer(serializers.Serializer[None]):
    """The goods of one paid order on their way to one player."""

    id = serializers.UUIDField()
    order_no = serializers.CharField()
    uid = serializers.CharField()
    state = serializers.ChoiceField(DeliveryStatus.choices)
    mode = serializers.ChoiceField(DeliveryMode.choices)
    zone_id = serializers.CharField(allow_null=True)
    role_id = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()
    delivered_at = serializers.DateTimeField(allow_null=True)
    receipt = serializers.CharField(allow_null=True, help_text="the game's own number for the grant")
    items = ItemLineSerializer(many=True)


class AcknowledgeSerializer(serializers.Serializer[None]):
    """What a game server may say when it has granted a delivery."""

    receipt = serializers.CharField(max_length=200, required=False, help_text="the game's own number for it")


class EventDataSerializer(OrderSerializer):
    """The order as it was when the event was told."""

    delivery_id = serializers.UUIDField(required=False)


class EventSerializer(serializers.Serializer[None]):
    """An event in the very words of its webhook."""

    id = serializers.CharField()
    type = serializers.CharField()
    created_at = serializers.DateTimeField()
    environment = serializers.ChoiceField(Environment.choices)
    game = serializers.CharField()
    data = EventDataSerializer()  # type: ignore[assignment]  # a field of that name, as events have
