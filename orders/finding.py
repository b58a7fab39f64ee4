"""Finding orders by any number a person may hold, exactly and through an index each.

Every place is a query of its own and their keys are united: one condition over several tables would make
PostgreSQL read all of them.
"""

import re

from django.db.models import QuerySet

from channels_app.models import MerchantAccount
from channels_app.providers.apple_wire import PLAY
from orders.models import Game, Order, Payment, PaymentAttempt

_UUID = re.compile(r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}", re.IGNORECASE)


def order_places(term: str) -> list[QuerySet[Order]]:
    """Where an order may be found: its number, game's reference, an attempt, a transaction, the player, the role."""
    orders = Order.objects
    return [
        orders.filter(order_no=term),
        orders.filter(game__in=games_few(), client_ref=term),
        orders.filter(game__in=games_few(), uid=term),
        orders.filter(role_id=term).exclude(role_id=""),
        # The exclusion repeats the condition of the partial index.
        orders.filter(transaction_id__in=transactions(term)).exclude(transaction_id=""),
        orders.filter(pk__in=attempts_numbered(term).values("order")),
        # Money that is held is not on the order; it is on its payment.
        orders.filter(
            pk__in=Payment.objects.filter(transaction_id__in=transactions(term), order__isnull=False).values("order")
        ),
    ]


def games_few() -> list[int]:
    """All games by key. Some indexes begin with the game; naming them all lets the index answer."""
    return list(Game.objects.order_by("pk").values_list("pk", flat=True))


def transactions(term: str) -> list[str]:
    """How a provider's number of a payment may be kept: chat programs lose capitals, play money carries a mark."""
    return list(dict.fromkeys((term, term.upper(), f"{PLAY}{term}")))


def attempts_numbered(term: str) -> QuerySet[PaymentAttempt]:
    """Attempts with this number, at whatever account."""
    accounts = list(MerchantAccount.objects.order_by("pk").values_list("pk", flat=True))
    return PaymentAttempt.objects.filter(account__in=accounts, attempt_no=attempt_number(term))


def attempt_number(term: str) -> str:
    """How an attempt's number is kept: Apple writes as a UUID with dashes what we keep as 32 digits."""
    return term.replace("-", "").lower() if _UUID.fullmatch(term) else term
