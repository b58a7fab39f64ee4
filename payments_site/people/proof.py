"""The trail proves itself: its chain of seals, the triggers that write it, and that two people are two people."""

from channels_app.auditing import verify_chain
from orders.auditing import Finding, Invariant

# The tables whose every change is written down by their own triggers.
_WATCHED = (
    "channels_app_channel", "channels_app_channelmethod", "channels_app_merchantaccount", "orders_game",
    "orders_gamestaff", "orders_apikey", "orders_product", "orders_productprice", "fulfillment_item",
    "fulfillment_productgrant", "fulfillment_deliverypolicy", "fulfillment_webhookendpoint", "auth_user", "auth_group",
    "auth_user_groups", "auth_user_user_permissions", "auth_group_permissions", "payments_site_authenticator",
    "payments_site_recoverycode",
)  # fmt: skip
_EVENTS = {"insert": 4, "delete": 8, "update": 16}  # bits of pg_trigger.tgtype
_TABLES = ", ".join(f"('{table}')" for table in _WATCHED)
_OPERATIONS = ", ".join(f"('{name}', {bit})" for name, bit in _EVENTS.items())

_UNWATCHED = (
    f"SELECT watched.name || ' ' || operation.name FROM (VALUES {_TABLES}) AS watched (name)"  # noqa: S608  # our own names above
    f" CROSS JOIN (VALUES {_OPERATIONS}) AS operation (name, bit)"
    " WHERE NOT EXISTS (SELECT 1 FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid"
    " WHERE t.tgrelid = watched.name::regclass AND t.tgenabled <> 'D' AND (t.tgtype & operation.bit) <> 0"
    " AND p.prosrc LIKE '%channels_app_write_down(%')"
)
INVARIANTS = (
    Invariant(
        "I-14", "the triggers that keep history as it was are switched on",
        "pg_trigger WHERE NOT tgisinternal",
        "SELECT tgrelid::regclass || ' ' || tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled = 'D'",
    ),
    Invariant(
        "I-40", "every change of settings, accounts, keys and rights is written down by the database itself",
        f"(VALUES {_TABLES}) AS watched (name)",
        _UNWATCHED,
    ),
    Invariant(
        "I-36", "what takes two people was decided by two people",
        "channels_app_proposal WHERE decided_by_id IS NOT NULL",
        "SELECT id FROM channels_app_proposal WHERE decided_by_id = requested_by_id",
    ),
)  # fmt: skip
_CHAIN = Invariant("I-40", "the audit trail is what was sealed, entry by entry", "", "")


def chain_finding(*, logged: str = "") -> Finding:
    """The chain of seals over the audit trail. `logged`: a seal from the log, which must be part of it."""
    chain = verify_chain(logged=logged)
    return Finding(_CHAIN, chain.entries, chain.broken)
