"""
What PostgreSQL, MySQL (with MariaDB) and SQLite do differently, in a class for each.

A dialect answers questions about the database behind one connection, and writes the SQL that only
this database understands. Nothing outside this package asks for ``connection.vendor``. Where one
of Django's feature flags (``connection.features``) gives the answer, use that instead.
"""

from django.db.backends.base.base import BaseDatabaseWrapper

from .base import Dialect, ForeignKey
from .mysql import MySQLDialect
from .postgresql import PostgreSQLDialect
from .sqlite import SQLiteDialect

__all__ = ["Dialect", "ForeignKey", "database_id", "dialect_of"]

_DIALECTS = {
    "mysql": MySQLDialect,  # MariaDB's vendor, too
    "postgresql": PostgreSQLDialect,
    "sqlite": SQLiteDialect,
}


def dialect_of(connection: BaseDatabaseWrapper) -> Dialect:
    """
    The dialect of a connection, which need not be open.

    Backends of third parties (PostGIS, SpatiaLite, django-prometheus, TimescaleDB) have the vendor
    of the backend they extend.
    """
    return _DIALECTS.get(connection.vendor, Dialect)(connection)


def database_id(connection: BaseDatabaseWrapper) -> str:
    """Which database this is, whatever its alias: vendor, host, port and name."""
    return dialect_of(connection).database_identity()
