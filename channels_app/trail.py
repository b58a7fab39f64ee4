"""The trail of every privileged change: who, from where, why, and every column as it was and as it became.

The database writes it down itself, in the transaction of the change, whoever makes it: the console, a command, or a
person with an SQL prompt. `trail` makes the triggers of a table of ours; the migration of `payments_site` puts the
same on Django's tables of people. Columns with secrets are said to have changed and never shown; columns that move
by themselves (health, last use) are quiet. No table that a purchase writes has such a trigger.

Who it was is told to the database for one transaction at a time (`acting`, `because`), so that it can never be taken
for the next person served through the same connection. Without it an entry names the command, or the database role.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import pgtrigger
from django.db import connection
from django.db.backends.signals import connection_created

# The function that every trigger calls. `hidden` columns are only said to have changed, `quiet` ones are left out.
# `thing` names what a row is when it is kept under the row it belongs to: the price of a product.
WRITE_DOWN = """
CREATE OR REPLACE FUNCTION channels_app_write_down(
    subject text, subject_id text, thing text, label text, was jsonb, becomes jsonb, hidden text[], quiet text[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    changes jsonb;
    verb text := CASE WHEN was IS NULL THEN 'added' WHEN becomes IS NULL THEN 'removed' ELSE 'changed' END;
BEGIN
    SELECT coalesce(jsonb_object_agg(
        name, CASE WHEN name = ANY (hidden) THEN to_jsonb('changed'::text) ELSE jsonb_build_array(before, after) END
    ), '{}') INTO changes
    FROM (
        SELECT name, coalesce(was -> name, 'null') AS before, coalesce(becomes -> name, 'null') AS after
        FROM jsonb_object_keys(coalesce(becomes, was)) AS name
    ) AS both_sides
    WHERE before <> after AND NOT name = ANY (quiet);
    IF verb = 'changed' AND changes = '{}' THEN
        RETURN;
    END IF;
    INSERT INTO channels_app_auditentry (actor, address, action, subject, subject_id, label, reason, detail)
    VALUES (
        left(coalesce(nullif(current_setting('payments.actor', true), ''), 'database ' || session_user), 150),
        left(coalesce(current_setting('payments.address', true), ''), 45),
        left(trim(verb || ' ' || thing), 40),
        subject, left(coalesce(subject_id, ''), 64), left(coalesce(label, ''), 200),
        left(coalesce(current_setting('payments.reason', true), ''), 500),
        changes
    );
END
$$
"""
DROP_WRITE_DOWN = "DROP FUNCTION channels_app_write_down(text, text, text, text, jsonb, jsonb, text[], text[])"

_BODY = """
    PERFORM channels_app_write_down(
        '{subject}', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> '{key}', '{thing}',
        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> '{label}',
        to_jsonb(OLD), to_jsonb(NEW), '{{{hidden}}}', '{{{quiet}}}'
    );
    RETURN NULL;
"""


def trail(
    name: str,
    *,
    subject: str,
    label: str,
    key: str = "id",
    thing: str = "",
    hidden: Sequence[str] = (),
    quiet: Sequence[str] = (),
) -> list[pgtrigger.Trigger]:
    """The triggers that write down every change of a table.

    `subject` and `key`: the row an entry is about, which for the parts of something (the prices of a product) is the
    whole; `thing` then says which part. `label`: the column it is called by. `hidden` and `quiet`: see the module.
    """
    body = _BODY.format(
        subject=subject, key=key, thing=thing, label=label, hidden=",".join(hidden), quiet=",".join(quiet)
    )
    after = pgtrigger.After
    return [
        pgtrigger.Trigger(
            name=f"{name}_made_or_gone", when=after, operation=pgtrigger.Insert | pgtrigger.Delete, func=body
        ),
        # What only moves a quiet column does not even call the function.
        pgtrigger.Trigger(
            name=f"{name}_changed",
            when=after,
            operation=pgtrigger.Update,
            condition=pgtrigger.AnyChange(exclude=list(quiet)) if quiet else pgtrigger.AnyChange(),
            func=body,
        ),
    ]


def is_trailed(model: Any) -> bool:
    """Whether the database itself writes down the changes of this table."""
    return any(trigger.name.endswith("_made_or_gone") for trigger in getattr(model._meta, "triggers", ()))


# --- who it is --------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Acting:
    """On whose behalf the code under way works."""

    actor: str
    address: str = ""


NOBODY = Acting("")
_acting: ContextVar[Acting] = ContextVar("payments_acting", default=NOBODY)
_TELL = "SELECT set_config('payments.actor', %s, true), set_config('payments.address', %s, true)"


@contextmanager
def acting(*, actor: str, address: str = "") -> Iterator[None]:
    """Whatever is changed in here, in however many transactions, was changed by this person."""
    before = _acting.get()
    token = _acting.set(Acting(actor, address))
    within = connection.in_atomic_block
    if within:
        tell(connection)
    try:
        yield
    finally:
        _acting.reset(token)
        if within and not connection.needs_rollback:
            _tell(connection, before)


def address() -> str:
    """Where the person at work sits, as far as is known."""
    return _acting.get().address


def tell(database: Any) -> None:
    """Tell the transaction that has just begun who acts. The database backend calls this; nothing when nobody does."""
    known = _acting.get()
    if known is not NOBODY:
        _tell(database, known)


def because(reason: str) -> None:
    """Why the rest of this transaction changes what it changes."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('payments.reason', %s, true)", [reason[:500]])


def _tell(database: Any, who: Acting) -> None:
    with database.cursor() as cursor:
        cursor.execute(_TELL, [who.actor[:150], who.address[:45]])


def command(name: str) -> None:
    """This process runs one command, and says so on every connection it opens: its own, nobody else's."""

    def on_connection(*, connection: Any, **_more: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('payments.actor', %s, false)", [f"command {name}"[:150]])

    connection_created.connect(on_connection, weak=False, dispatch_uid="payments.trail")
