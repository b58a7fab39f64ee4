"""Reading orders: the status read of the hot path, and lists."""

from orders.authentication import Caller, GameServer
from orders.models import Order
from orders.problems import not_found
from orders.settling import ORDER_COLUMNS, order_from_record
from orders.sql import raw_connection

_BY_NUMBER = f"SELECT {', '.join(ORDER_COLUMNS)} FROM orders_order WHERE order_no = %s"  # noqa: S608


def visible_order(order_no: str, caller: Caller) -> Order:
    """The order, if it is the caller's to see. Raises Problem(404), also for somebody else's."""
    row = raw_connection().execute(_BY_NUMBER, (order_no,)).fetchone() if len(order_no) <= 32 else None
    if row is None:
        raise not_found("order")
    order = order_from_record(list(row))
    if isinstance(caller, GameServer):
        visible = (order.game_id, order.environment) == (caller.game_id, caller.environment)
    else:
        visible = order.order_no == caller.order_no
    if not visible:
        raise not_found("order")
    return order
