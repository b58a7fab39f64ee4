"""The goods prove themselves: invariants of deliveries, ledger and what game servers were told."""

from orders.auditing import Invariant

_LIVE = "d.order_id = o.id AND d.state <> 'revoked'"

INVARIANTS = (
    Invariant(
        "I-01", "a paid order has exactly one live delivery, an unpaid one has none",
        "orders_order",
        f"SELECT o.order_no FROM orders_order o LEFT JOIN fulfillment_delivery d ON {_LIVE}"  # noqa: S608
        " WHERE o.delivery_state <> 'revoked' GROUP BY o.id HAVING count(d.id) <> (o.state = 'paid')::int",
    ),
    Invariant(
        "I-01", "the order says of its delivery what the delivery says",
        "fulfillment_delivery",
        "SELECT o.order_no FROM fulfillment_delivery d JOIN orders_order o ON o.id = d.order_id"
        " WHERE d.state <> 'revoked' AND (d.state, d.delivered_at) IS DISTINCT FROM (o.delivery_state, o.delivered_at)",
    ),
    Invariant(
        "I-02", "what is delivered is what the order promised, line by line",
        "fulfillment_deliveryline",
        """SELECT o.order_no FROM fulfillment_delivery d JOIN orders_order o ON o.id = d.order_id
           WHERE (SELECT jsonb_agg(jsonb_build_array(i.item_id, l.quantity, l.bonus) ORDER BY i.item_id)
                  FROM fulfillment_deliveryline l JOIN fulfillment_item i ON i.id = l.item_id
                  WHERE l.delivery_id = d.id)
           IS DISTINCT FROM
                 (SELECT jsonb_agg(jsonb_build_array(c->>'item_id', (c->>'quantity')::bigint, (c->>'bonus')::bigint)
                                   ORDER BY c->>'item_id')
                  FROM jsonb_array_elements(o.contents) c)""",
    ),
    Invariant(
        "I-03", "the receiver is the player, zone and role of the order, in the order's game and environment",
        "fulfillment_delivery",
        "SELECT o.order_no FROM fulfillment_delivery d JOIN orders_order o ON o.id = d.order_id"
        " JOIN fulfillment_player p ON p.id = d.player_id"
        " WHERE (p.uid, p.game_id, p.environment, d.zone_id, d.role_id)"
        " IS DISTINCT FROM (o.uid, o.game_id, o.environment, o.zone_id, o.role_id)",
    ),
    Invariant(
        "I-11", "a balance is the sum of its entries",
        "fulfillment_balance",
        """SELECT coalesce(b.player_id, e.player_id) || '/' || coalesce(b.item_id, e.item_id)
           FROM fulfillment_balance b FULL JOIN (
               SELECT player_id, item_id, sum(paid) AS paid, sum(free) AS free FROM fulfillment_ledgerentry
               WHERE account = 'player' GROUP BY player_id, item_id
           ) e ON e.player_id = b.player_id AND e.item_id = b.item_id
           WHERE (b.paid, b.free) IS DISTINCT FROM (e.paid, e.free)""",
    ),
    Invariant(
        "I-12", "every ledger transfer sums to zero",
        "fulfillment_ledgerentry",
        "SELECT transfer FROM fulfillment_ledgerentry GROUP BY transfer, item_id"
        " HAVING sum(paid) <> 0 OR sum(free) <> 0",
    ),
    Invariant(
        "I-13", "no balance is negative",
        "fulfillment_balance",
        "SELECT player_id || '/' || item_id FROM fulfillment_balance WHERE paid < 0 OR free < 0",
    ),
    Invariant(
        "I-15", "in mode ledger a delivery moved exactly its lines, once; in mode game_server it moved nothing",
        "fulfillment_delivery",
        """SELECT d.order_no FROM fulfillment_delivery d
           LEFT JOIN (SELECT delivery_id, item_id, sum(paid) AS paid, sum(free) AS free FROM fulfillment_ledgerentry
                      WHERE account = 'player' AND reason = 'purchase' GROUP BY 1, 2) e ON e.delivery_id = d.id
           FULL JOIN fulfillment_deliveryline l ON l.delivery_id = e.delivery_id AND l.item_id = e.item_id
           LEFT JOIN fulfillment_delivery owner ON owner.id = coalesce(d.id, l.delivery_id)
           WHERE owner.mode = 'ledger' AND (e.paid, e.free) IS DISTINCT FROM (l.quantity, l.bonus)
              OR owner.mode = 'game_server' AND e.delivery_id IS NOT NULL""",
    ),
    Invariant(
        "I-25", "of a paid order the game was told once that it is paid, and once what arrived",
        "orders_order WHERE state = 'paid'",
        """SELECT o.order_no FROM orders_order o
           LEFT JOIN fulfillment_gameevent e ON e.order_no = o.order_no
           WHERE o.state = 'paid' AND o.settled_at > now() - interval '25 days' GROUP BY o.id
           HAVING count(*) FILTER (WHERE e.type = 'order.paid') <> 1
               OR count(*) FILTER (WHERE e.type = 'order.delivered') <> (o.delivered_at IS NOT NULL)::int
               OR count(*) FILTER (WHERE e.type = 'delivery.requested')
                  <> (o.fulfilment_mode = 'game_server')::int""",
    ),
    Invariant(
        "I-26", "a message carries the id it was made with",
        "fulfillment_gameevent",
        "SELECT event_id FROM fulfillment_gameevent WHERE body::jsonb->>'id' <> event_id",
    ),
    Invariant(
        "I-27", "a message that was stopped is before a person",
        "fulfillment_webhookmessage WHERE state = 'parked'",
        "SELECT m.id FROM fulfillment_webhookmessage m JOIN fulfillment_gameevent e ON e.seq = m.event_id"
        " LEFT JOIN orders_order o ON o.order_no = e.order_no WHERE m.state = 'parked' AND NOT EXISTS ("
        " SELECT 1 FROM orders_case c WHERE c.kind = 'webhook_parked' AND c.subject = 'message:' || m.id"
        " OR c.kind = 'delivery_parked' AND c.order_id = o.id)",
    ),
)  # fmt: skip
