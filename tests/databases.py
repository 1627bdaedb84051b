"""Fresh databases on SQLite, PostgreSQL and MariaDB."""

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pymysql

from tests.processes import TIMEOUT

Configuration = dict[str, Any]


def sqlite(directory: Path) -> tuple[Configuration, Callable[[], None]]:
    """An SQLite database in ``directory``."""
    file = directory / f"{uuid.uuid4().hex}.sqlite3"
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(file)}, lambda: None


def postgresql(directory: Path) -> tuple[Configuration, Callable[[], None]]:
    """A database on the local PostgreSQL server. Raises OSError when there is none."""
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
    return configuration, lambda: _postgresql(
        configuration, 'DROP DATABASE IF EXISTS "{}" WITH (FORCE)'
    )


def mariadb(directory: Path) -> tuple[Configuration, Callable[[], None]]:
    """A database on the local MariaDB server. Raises OSError when there is none."""
    configuration = {
        "ENGINE": "django.db.backends.mysql",
        "NAME": f"devtools_{uuid.uuid4().hex}",
        "HOST": os.environ.get("MYSQL_HOST", "127.0.0.1"),
        "PORT": os.environ.get("MYSQL_TCP_PORT", "3306"),
        "USER": os.environ.get("MYSQL_USER", "root"),
        "PASSWORD": os.environ.get("MYSQL_PWD", ""),
        "OPTIONS": {"init_command": f"SET lock_wait_timeout = {TIMEOUT // 2}"},
    }
    _mariadb(configuration, "CREATE DATABASE `{}` CHARACTER SET utf8mb4")
    return configuration, lambda: _mariadb(configuration, "DROP DATABASE IF EXISTS `{}`")


MAKERS = {"sqlite": sqlite, "postgresql": postgresql, "mariadb": mariadb}


def _postgresql(configuration: Configuration, statement: str) -> None:
    try:
        with psycopg.connect(
            host=configuration["HOST"],
            port=configuration["PORT"],
            user=configuration["USER"],
            password=configuration["PASSWORD"],
            dbname="postgres",
            autocommit=True,
            connect_timeout=TIMEOUT,
            options=f"-c statement_timeout={TIMEOUT}s",
        ) as connection:
            connection.execute(statement.format(configuration["NAME"]))
    except psycopg.OperationalError as error:
        raise OSError(str(error)) from error


def _mariadb(configuration: Configuration, statement: str) -> None:
    try:
        with pymysql.connect(
            host=configuration["HOST"],
            port=int(configuration["PORT"]),
            user=configuration["USER"],
            password=configuration["PASSWORD"],
            read_timeout=TIMEOUT,
        ) as connection:
            connection.cursor().execute(statement.format(configuration["NAME"]))
    except pymysql.OperationalError as error:
        raise OSError(str(error)) from error
