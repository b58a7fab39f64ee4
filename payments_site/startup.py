"""What a production process checks before it serves: better not to start than to lose what was acknowledged."""

import time

from django.conf import settings
from django.core.management.base import CommandError
from django.db import DatabaseError, connection

from channels_app.models import AccountState, MerchantAccount
from channels_app.vault import VaultClosed

_SKEW_S = 30.0


def refuse_unsafe_start() -> None:
    """Raises CommandError naming everything that must not be so in production. A developer's machine may differ."""
    if settings.DEBUG:
        return
    try:
        faults = [*_people_faults(), *_database_faults(), *_role_faults(), *_vault_faults()]
    except DatabaseError as error:
        raise CommandError(f"the database does not answer: {error}") from error
    if faults:
        raise CommandError("this is not a safe production start:\n" + "\n".join(f"- {fault}" for fault in faults))


def _people_faults() -> list[str]:
    if settings.CONSOLE_SECOND_FACTOR != "required":
        return ["CONSOLE_SECOND_FACTOR is not `required`: a stolen password would open the console"]
    return []


def _database_faults() -> list[str]:
    faults = []
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('synchronous_commit'), current_setting('fsync')")
        synchronous, fsync = cursor.fetchone() or ("", "")
    # Measured: with `off`, a killed server forgot 23 and 46 payments that providers had been told were safe.
    if synchronous not in ("on", "remote_write", "remote_apply"):
        faults.append(f"PostgreSQL's synchronous_commit is {synchronous}: acknowledged payments could be lost")
    if fsync != "on":
        faults.append("PostgreSQL's fsync is off: acknowledged payments could be lost")
    return faults


def _role_faults() -> list[str]:
    """Who we are at the database, by which way, and whether its clock agrees with ours."""
    faults = []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolsuper,"
            " EXISTS (SELECT 1 FROM pg_tables t WHERE t.schemaname = 'public' AND t.tableowner = current_user),"
            " coalesce(inet_server_addr() <<= '127.0.0.0/8' OR inet_server_addr() = '::1', true),"
            " (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), extract(epoch FROM clock_timestamp())"
            " FROM pg_roles WHERE rolname = current_user"
        )
        superuser, owner, near, tls, clock = cursor.fetchone() or (True, True, False, False, 0)
    if superuser:
        faults.append("the application's database role is a superuser: it could rewrite the audit trail")
    if owner:
        faults.append("the application's database role owns its tables: it could drop the triggers that keep history")
    if not near and not tls:
        faults.append("the database is reached over a network without TLS (add sslmode=require to DATABASE_URL)")
    skew = abs(time.time() - float(clock))
    if skew > _SKEW_S:
        faults.append(f"this machine's clock and the database's are {skew:.0f} seconds apart")
    return faults


def _vault_faults() -> list[str]:
    faults = []
    for account in MerchantAccount.objects.exclude(state=AccountState.CLOSED).order_by("code"):
        try:
            account.credentials()
        except VaultClosed as error:
            faults.append(f"the credentials of account {account.code} cannot be opened: {error}")
    return faults
