"""Fresh databases on SQLite, PostgreSQL and MariaDB."""

import os
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pymysql
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from tests.processes import TIMEOUT

Configuration = dict[str, Any]

VENDORS = os.environ.get("DEVTOOLS_TEST_VENDORS", "sqlite,postgresql,mariadb").split(",")
"""The vendors to test on, where they answer."""

ALIAS = "connected"

NEEDS_NO_TLS = not os.environ.get("MYSQL_PWD")
"""
Whether PyMySQL may do without TLS, for which it reads all certificates of the system: 99 % of the
time that a connection takes. A password must not go without.
"""


def sqlite(directory: Path) -> tuple[Configuration, Callable[[], None]]:
    """An SQLite database in ``directory``."""
    configuration = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(directory / f"{uuid.uuid4().hex}.sqlite3"),
        # Processes get killed here, but the machine keeps its power.
        "OPTIONS": {"init_command": "PRAGMA synchronous = OFF"},
    }
    return configuration, lambda: None


def postgresql(directory: Path) -> tuple[Configuration, Callable[[], None]]:
    """
    A database on the local PostgreSQL server. Raises OSError when there is none.

    Emptying one takes a third of the time of making and dropping one, so they are used again.
    """
    if not _emptied:
        configuration = _made_on_postgresql()
        _made.append(configuration)
    else:
        configuration = _emptied.pop()

    def empty() -> None:
        _empty_postgresql(configuration)
        _emptied.append(configuration)

    return configuration, empty


_made: list[Configuration] = []
_emptied: list[Configuration] = []


def drop_all() -> None:
    """Drop the databases that are used again. Call it when the session ends."""
    while _made:
        _postgresql(_made.pop(), 'DROP DATABASE IF EXISTS "{}" WITH (FORCE)')
    _emptied.clear()


def _made_on_postgresql() -> Configuration:
    configuration = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": f"devtools_{uuid.uuid4().hex}",
        "HOST": os.environ.get("PGHOST", "127.0.0.1"),
        "PORT": os.environ.get("PGPORT", "5432"),
        "USER": os.environ.get("PGUSER", "postgres"),
        "PASSWORD": os.environ.get("PGPASSWORD", ""),
    }
    _postgresql(configuration, 'CREATE DATABASE "{}"')
    # By default, these two servers wait for a lock for ever, and for a day.
    _postgresql(configuration, f"ALTER DATABASE \"{{}}\" SET lock_timeout = '{TIMEOUT // 2}s'")
    _postgresql(configuration, 'ALTER DATABASE "{}" SET synchronous_commit = off')
    return configuration


def _empty_postgresql(configuration: Configuration) -> None:
    with _connected_to_postgresql(configuration, configuration["NAME"]) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 9000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        schemas = connection.execute(
            "SELECT quote_ident(nspname) FROM pg_namespace"
            " WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
        ).fetchall()
        for (schema,) in schemas:
            connection.execute(f"DROP SCHEMA {schema} CASCADE")
        connection.execute("CREATE SCHEMA public")


def mariadb(directory: Path) -> tuple[Configuration, Callable[[], None]]:
    """A database on the local MariaDB server. Raises OSError when there is none."""
    configuration = {
        "ENGINE": "django.db.backends.mysql",
        "NAME": f"devtools_{uuid.uuid4().hex}",
        "HOST": os.environ.get("MYSQL_HOST", "127.0.0.1"),
        "PORT": os.environ.get("MYSQL_TCP_PORT", "3306"),
        "USER": os.environ.get("MYSQL_USER", "root"),
        "PASSWORD": os.environ.get("MYSQL_PWD", ""),
        "OPTIONS": {
            "init_command": f"SET lock_wait_timeout = {TIMEOUT // 2}",
            "ssl_disabled": NEEDS_NO_TLS,
        },
    }
    _mariadb(configuration, "CREATE DATABASE `{}` CHARACTER SET utf8mb4")
    return configuration, lambda: _mariadb(configuration, "DROP DATABASE IF EXISTS `{}`")


MAKERS = {"sqlite": sqlite, "postgresql": postgresql, "mariadb": mariadb}

# By the last part of Django's engine.
TABLES = {
    "sqlite3": "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'sqlite_sequence'",
    "postgresql": "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p')"
    " AND pg_table_is_visible(oid) AND relnamespace <> 'pg_catalog'::regnamespace",
    "mysql": "SELECT table_name FROM information_schema.tables"
    " WHERE table_schema = database() AND table_type = 'BASE TABLE'",
}
COLUMNS = {
    "sqlite3": "SELECT name FROM pragma_table_xinfo(?)",
    "postgresql": "SELECT attname FROM pg_attribute WHERE attrelid = quote_ident(%s)::regclass"
    " AND attnum > 0 AND NOT attisdropped",
    "mysql": "SELECT column_name FROM information_schema.columns"
    " WHERE table_schema = database() AND table_name = %s",
}


def tables(configuration: Configuration) -> set[str]:
    """The tables of a database, without views."""
    return _names(configuration, TABLES)


def columns(configuration: Configuration, table: str) -> set[str]:
    """The columns of a table."""
    return _names(configuration, COLUMNS, table)


def _names(configuration: Configuration, statements: dict[str, str], *parameters: str) -> set[str]:
    engine = configuration["ENGINE"].rpartition(".")[2]
    with closing(_connected(configuration, engine)) as connection:
        cursor = connection.cursor()
        cursor.execute(statements[engine], parameters)
        return {name for (name,) in cursor.fetchall()}


def _connected(configuration: Configuration, engine: str) -> Any:
    name = configuration["NAME"]
    if engine == "sqlite3":
        return sqlite3.connect(name)
    if engine == "postgresql":
        return _connected_to_postgresql(configuration, name)
    return _connected_to_mariadb(configuration, name)


def _connected_to_postgresql(
    configuration: Configuration, name: str
) -> "psycopg.Connection[tuple[Any, ...]]":
    return psycopg.connect(
        host=configuration["HOST"],
        port=configuration["PORT"],
        user=configuration["USER"],
        password=configuration["PASSWORD"],
        dbname=name,
        autocommit=True,
        connect_timeout=TIMEOUT,
        options=f"-c statement_timeout={TIMEOUT}s",
    )


@contextmanager
def connected(configuration: Configuration) -> Iterator[BaseDatabaseWrapper]:
    """A connection to a database, as one of Django's own."""
    # Nothing is to outlive a crash here; waiting for the disk would take most of the time.
    if configuration["ENGINE"].endswith("sqlite3"):
        options = {"init_command": "PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY"}
        configuration = {**configuration, "OPTIONS": options}
    elif configuration["ENGINE"].endswith("postgresql"):
        options = {"options": "-c synchronous_commit=off"}
        configuration = {**configuration, "OPTIONS": options}
    else:
        pymysql.version_info = (2, 2, 7, "final", 0)
        pymysql.install_as_MySQLdb()
    known = connections.settings
    every = connections.configure_settings({"default": known["default"], ALIAS: configuration})
    known[ALIAS] = every[ALIAS]
    known[ALIAS]["TIME_ZONE"] = None
    connection = connections[ALIAS]
    try:
        yield connection
    finally:
        connection.close()
        del connections[ALIAS], known[ALIAS]


def _postgresql(configuration: Configuration, statement: str) -> None:
    try:
        with _connected_to_postgresql(configuration, "postgres") as connection:
            connection.execute(statement.format(configuration["NAME"]))
    except psycopg.OperationalError as error:
        raise OSError(str(error)) from error


def _connected_to_mariadb(configuration: Configuration, name: str | None) -> Any:
    return pymysql.connect(
        host=configuration["HOST"],
        port=int(configuration["PORT"]),
        user=configuration["USER"],
        password=configuration["PASSWORD"],
        database=name,
        read_timeout=TIMEOUT,
        ssl_disabled=NEEDS_NO_TLS,
    )


def _mariadb(configuration: Configuration, statement: str) -> None:
    try:
        with _connected_to_mariadb(configuration, None) as connection:
            connection.cursor().execute(statement.format(configuration["NAME"]))
    except pymysql.OperationalError as error:
        raise OSError(str(error)) from error
