"""Is this process alive, can it serve, and how is the business doing: /healthz, /readyz, /metrics.

The figures of /metrics are read from the rows when they are asked for: they are right across all processes
and nothing has to be kept in step. Labels are bounded (state, kind, account), never an order or a player.
"""

from collections.abc import Iterator
from functools import cache

from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from orders.problems import Problem, busy, plain_response

# (metric, help, labels, query): each row is the labels and then the value.
_FIGURES = (
    (
        "payments_orders_last_hour", "orders made in the last hour, by payment state", ("environment", "state"),
        "SELECT environment, state, count(*) FROM orders_order"
        " WHERE created_at > now() - interval '1 hour' GROUP BY 1, 2",
    ),
    (
        "payments_undelivered_orders", "paid orders whose goods have not arrived", ("environment", "state"),
        "SELECT o.environment, d.state, count(*) FROM fulfillment_delivery d JOIN orders_order o ON o.id = d.order_id"
        " WHERE d.state IN ('pending', 'parked') GROUP BY 1, 2",
    ),
    (
        "payments_undelivered_amount_minor", "their money, in minor units", ("environment", "currency"),
        "SELECT o.environment, o.currency, sum(o.amount_minor) FROM fulfillment_delivery d"
        " JOIN orders_order o ON o.id = d.order_id WHERE d.state IN ('pending', 'parked')"
        # What a reviewer paid with play money is no money.
        " AND NOT EXISTS (SELECT FROM orders_payment p"
        " WHERE p.order_id = o.id AND p.applied AND p.environment <> o.environment) GROUP BY 1, 2",
    ),
    (
        "payments_undelivered_oldest_seconds", "age of the oldest paid, undelivered order", (),
        "SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0) FROM fulfillment_delivery"
        " WHERE state IN ('pending', 'parked')",
    ),
    (
        "payments_cases_open", "cases that need a person", ("kind",),
        "SELECT kind, count(*) FROM orders_case WHERE closed_at IS NULL GROUP BY 1",
    ),
    (
        "payments_webhooks_waiting", "messages to game servers not yet told", ("game",),
        "SELECT g.code, count(*) FROM fulfillment_webhookmessage m"
        " JOIN fulfillment_webhookendpoint e ON e.id = m.endpoint_id JOIN orders_game g ON g.id = e.game_id"
        " WHERE m.state = 'waiting' GROUP BY 1",
    ),
    (
        "payments_endpoint_failures_in_a_row", "failures of a game server since its last success", ("game",),
        "SELECT g.code, e.failures_in_a_row FROM fulfillment_webhookendpoint e JOIN orders_game g ON g.id = e.game_id",
    ),
    (
        "payments_notifications_last_hour", "provider messages by verdict", ("account", "verdict"),
        "SELECT a.code, n.verdict, count(*) FROM channels_app_notification n"
        " JOIN channels_app_merchantaccount a ON a.id = n.account_id"
        " WHERE n.received_at > now() - interval '1 hour' GROUP BY 1, 2",
    ),
    (
        "payments_revenue_events_waiting", "lines of timelines not yet folded into the sums of revenue", (),
        "SELECT greatest(coalesce((SELECT max(id) FROM orders_orderevent), 0)"
        " - coalesce((SELECT max(folded_to) FROM orders_revenuecursor), 0), 0)",
    ),
    (
        "payments_attempts_to_ask", "silent payments whose turn to be asked about has come", (),
        "SELECT count(*) FROM orders_paymentattempt WHERE next_query_at <= now()",
    ),
    (
        "payments_hints_waiting", "provider messages that only say whom to ask, not answered yet", ("account",),
        "SELECT a.code, count(*) FROM channels_app_notification n"
        " JOIN channels_app_merchantaccount a ON a.id = n.account_id WHERE n.ask_at IS NOT NULL GROUP BY 1",
    ),
    (
        "payments_hints_oldest_seconds", "age of the oldest of them", (),
        "SELECT coalesce(extract(epoch FROM now() - min(received_at)), 0) FROM channels_app_notification"
        " WHERE ask_at IS NOT NULL",
    ),
    (
        "payments_unconfirmed_purchases", "paid purchases whose store is still to be told", ("account",),
        "SELECT a.code, count(*) FROM orders_paymentattempt t"
        " JOIN channels_app_merchantaccount a ON a.id = t.account_id"
        " WHERE t.next_query_at IS NOT NULL AND t.state = 'paid' AND t.confirmed_at IS NULL GROUP BY 1",
    ),
    (
        "payments_unconfirmed_oldest_seconds", "time since the oldest of them was paid", (),
        "SELECT coalesce(extract(epoch FROM now() - min(o.settled_at)), 0) FROM orders_paymentattempt t"
        " JOIN orders_order o ON o.id = t.order_id"
        " WHERE t.next_query_at IS NOT NULL AND t.state = 'paid' AND t.confirmed_at IS NULL",
    ),
    (
        "payments_list_read_seconds_ago", "time since a provider's own list was read", ("account",),
        "SELECT code, extract(epoch FROM now() - listed_until) FROM channels_app_merchantaccount"
        " WHERE listed_until IS NOT NULL AND state <> 'closed'",
    ),
)  # fmt: skip


def alive(request: HttpRequest) -> HttpResponse:
    """200 while the process answers at all."""
    return HttpResponse("alive\n", content_type="text/plain")


def ready(request: HttpRequest) -> HttpResponse:
    """200 when the database answers and has every migration, else 503."""
    try:
        missing = _migrations() - MigrationRecorder(connection).applied_migrations().keys()
    except (DatabaseError, InterfaceError):
        return plain_response(busy())
    if missing:
        return plain_response(Problem(503, "migrations_missing", f"{len(missing)} migrations have not been applied."))
    return HttpResponse("ready\n", content_type="text/plain")


@cache
def _migrations() -> frozenset[tuple[str, str]]:
    """Every migration this code comes with: (app, name)."""
    return frozenset(MigrationLoader(None).disk_migrations)


class _Figures(Collector):
    def collect(self) -> Iterator[GaugeMetricFamily]:
        with connection.cursor() as cursor:
            for name, text, labels, query in _FIGURES:
                family = GaugeMetricFamily(name, text, labels=labels)
                cursor.execute(query)
                for *values, figure in cursor.fetchall():
                    family.add_metric([str(value) for value in values], float(figure))
                yield family


def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus text."""
    registry = CollectorRegistry(auto_describe=False)
    try:
        registry.register(_Figures())
        text = generate_latest(registry)
    except (DatabaseError, InterfaceError):
        return plain_response(busy())
    return HttpResponse(text, content_type=CONTENT_TYPE_LATEST)
