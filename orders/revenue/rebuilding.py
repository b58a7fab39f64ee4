"""Adding a game's sums again from its timelines: after its clock was changed, or to be sure.

Only what is folded is added again, in one transaction and under the cursor's lock: readers see the old sums or the
new ones, and folding goes on where it stood.
"""

from django.db import connection, transaction

from orders.models import Game, Order, Payer, RevenueCursor, RevenueDay, RevenueDayByChannel, RevenueHour
from orders.revenue.folding import fold_statement

# As many orders are added again within a few seconds; for more nobody should wait before a page.
QUICK_ORDERS = 50_000
_WHICH = "o.game_id = %(game)s AND e.id <= %(upto)s"
_REBUILD = fold_statement(_WHICH)


def is_quick(game: Game) -> bool:
    """Whether the sums of a game can be made anew while somebody waits."""
    keys = Order.objects.filter(game=game).order_by().values("pk")
    return keys[: QUICK_ORDERS + 1].count() <= QUICK_ORDERS


def change_clock(game: Game, *, time_zone: str, day_turns_at_hour: int) -> int:
    """Give a game another clock, and its sums the days of that clock, in one transaction. Returns the facts added."""
    with transaction.atomic():
        game.time_zone, game.day_turns_at_hour = time_zone, day_turns_at_hour
        game.save(update_fields=["time_zone", "day_turns_at_hour"])
        return rebuild_revenue(game)


def rebuild_revenue(game: Game) -> int:
    """Make the sums of one game anew, by the clock it has now. Returns how many facts they are made of.

    Inside another transaction it stands or falls with it: a clock is changed together with its sums.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        # Millions of lines outlast the limits that our sessions set; a folder under way is waited for.
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute("SET LOCAL lock_timeout = '60s'")
        cursor.execute("SET LOCAL work_mem = '128MB'")
        upto = RevenueCursor.objects.select_for_update().values_list("folded_to", flat=True).first() or 0
        for table in (RevenueDay, RevenueDayByChannel, RevenueHour, Payer):
            table._default_manager.filter(game=game).delete()
        cursor.execute(_REBUILD, {"game": game.pk, "upto": upto})
        (facts,) = cursor.fetchone() or (0,)
    return int(facts)
