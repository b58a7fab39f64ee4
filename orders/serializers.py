"""The shapes of requests and answers, for the OpenAPI document. The hot path reads and writes plain dicts.

A test compares the real answers with these shapes, so they cannot drift.
"""

from rest_framework import serializers

from channels_app.providers.base import PayKind
from orders.models import CancelReason, DeliveryState, OrderState
from orders.ordering import MOST_MINOR
from orders.proving import PROVING_METHODS, Proved

PAYMENT_KINDS = [kind.value for kind in PayKind]


class ItemLineSerializer(serializers.Serializer[None]):
    """One line of what an order contains."""

    item_id = serializers.CharField()
    name = serializers.CharField()
    quantity = serializers.IntegerField(help_text="paid for")
    bonus = serializers.IntegerField(help_text="added for free")


class ClientOrderSerializer(serializers.Serializer[None]):
    """An order as a game client may see it. Amounts in minor units (fen, cents)."""

    order_no = serializers.CharField()
    product_id = serializers.CharField()
    quantity = serializers.IntegerField()
    amount = serializers.IntegerField(max_value=MOST_MINOR)
    currency = serializers.CharField()
    method = serializers.CharField(allow_null=True)
    state = serializers.ChoiceField(OrderState.choices)
    delivery_state = serializers.ChoiceField(DeliveryState.choices)
    refunded_amount = serializers.IntegerField()
    environment = serializers.CharField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    paid_at = serializers.DateTimeField(allow_null=True)
    delivered_at = serializers.DateTimeField(allow_null=True)
    cancelled_at = serializers.DateTimeField(allow_null=True)
    cancel_reason = serializers.ChoiceField(CancelReason.choices, allow_null=True)
    items = ItemLineSerializer(many=True)


class OrderSerializer(ClientOrderSerializer):
    """An order as the game server sees it."""

    client_ref = serializers.CharField()
    game = serializers.CharField()
    uid = serializers.CharField()
    zone_id = serializers.CharField(allow_null=True)
    role_id = serializers.CharField(allow_null=True)
    channel_id = serializers.CharField()
    transaction_id = serializers.CharField(allow_null=True)
    attach = serializers.CharField(allow_null=True)


class OfferedMethodSerializer(serializers.Serializer[None]):
    """A way to pay an order."""

    method = serializers.CharField()
    kind = serializers.ChoiceField(PAYMENT_KINDS)
    needs = serializers.ListField(child=serializers.CharField(), help_text="inputs the pay call must carry")


class CreatedOrderSerializer(OrderSerializer):
    """A new order, with what the client needs to pay it."""

    client_token = serializers.CharField()
    checkout_url = serializers.URLField()
    stream_url = serializers.URLField()
    methods = OfferedMethodSerializer(many=True)


class CreateOrderSerializer(serializers.Serializer[None]):
    """What an order is made from. Price and contents come from the catalogue."""

    client_ref = serializers.CharField(max_length=64, help_text="the game's own reference, unique for ever")
    uid = serializers.CharField(max_length=64)
    zone_id = serializers.CharField(max_length=64, required=False)
    role_id = serializers.CharField(max_length=64, required=False)
    product_id = serializers.CharField(max_length=64)
    quantity = serializers.IntegerField(min_value=1, max_value=9999, required=False, default=1)
    channel_id = serializers.CharField(max_length=32)
    currency = serializers.CharField(min_length=3, max_length=3, required=False)
    client_ip = serializers.IPAddressField(required=False)
    attach = serializers.CharField(max_length=128, required=False, help_text="128 bytes at most, returned untouched")
    expires_in_s = serializers.IntegerField(min_value=60, max_value=7 * 86400, required=False)


class PaySerializer(serializers.Serializer[None]):
    """How the player wants to pay."""

    method = serializers.CharField()
    openid = serializers.CharField(max_length=128, required=False, help_text="wechatpay_jsapi")
    return_url = serializers.URLField(
        max_length=255, required=False, help_text="h5, wap, page, gateway; with it stripe_card opens a page"
    )
    client_ip = serializers.IPAddressField(required=False, help_text="wechatpay_h5; default: the order's")
    channel_uid = serializers.CharField(
        max_length=128, required=False, help_text="the player's id at the store: xiaomi_pay, taptap_pay"
    )


class OpenedPaymentSerializer(serializers.Serializer[None]):
    """An opened payment; `params` is exactly what the provider's client SDK, browser or QR code wants."""

    order_no = serializers.CharField()
    attempt_no = serializers.CharField(help_text="the provider's merchant order number")
    method = serializers.CharField()
    kind = serializers.ChoiceField(PAYMENT_KINDS)
    params = serializers.DictField()
    expires_at = serializers.DateTimeField()


class ClientResultSerializer(serializers.Serializer[None]):
    """What the provider's SDK told the client: a hint, never proof."""

    result = serializers.ChoiceField(["success", "failed", "cancelled"])
    detail = serializers.CharField(max_length=200, required=False)


class ProofSerializer(serializers.Serializer[None]):
    """What the store's SDK gave the client; which fields, the method says."""

    method = serializers.ChoiceField(PROVING_METHODS)
    signed_transaction = serializers.CharField(max_length=20_000, required=False, help_text="apple_iap")
    purchase_token = serializers.CharField(max_length=20_000, required=False, help_text="google_play, huawei_iap")
    store_product_id = serializers.CharField(max_length=20_000, required=False, help_text="google_play, huawei_iap")


class ProvedSerializer(serializers.Serializer[None]):
    """What a receipt came to."""

    result = serializers.ChoiceField([each.value for each in Proved])
    said = serializers.CharField(allow_blank=True, help_text="why it is held, or what the store says")
    finish = serializers.BooleanField(help_text="the goods are delivered: finish (consume) the purchase now")
    order = serializers.DictField(help_text="the order, as GET orders/{order_no} answers it to this caller")


class PriceSerializer(serializers.Serializer[None]):
    """A price in minor units."""

    currency = serializers.CharField()
    amount = serializers.IntegerField()


class GrantSerializer(serializers.Serializer[None]):
    """What one piece of a product gives."""

    item_id = serializers.CharField()
    name = serializers.CharField()
    quantity = serializers.IntegerField()
    bonus = serializers.IntegerField()


class ProductSerializer(serializers.Serializer[None]):
    """A product on sale."""

    product_id = serializers.CharField()
    name = serializers.CharField()
    prices = PriceSerializer(many=True)
    grants = GrantSerializer(many=True)
    store_ids = serializers.DictField(child=serializers.CharField())


class ChannelSerializer(serializers.Serializer[None]):
    """A sales channel and the methods it offers."""

    channel_id = serializers.CharField()
    name = serializers.CharField()
    methods = OfferedMethodSerializer(many=True)


class FieldErrorSerializer(serializers.Serializer[None]):
    """One faulty field."""

    field = serializers.CharField()
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer[None]):
    """An RFC 9457 problem document; `code` is stable."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField()
    request_id = serializers.CharField()
    errors = FieldErrorSerializer(many=True, required=False)  # type: ignore[assignment]  # RFC 9457's customary name
