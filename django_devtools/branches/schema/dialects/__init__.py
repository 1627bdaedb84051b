"""
What PostgreSQL, MySQL (with MariaDB) and SQLite do differently, in a class for each.

A dialect answers questions about the database behind one connection, and writes the SQL that only
this database understands. Nothing outside this package asks for ``connection.vendor``. Where one
of Django's feature flags (``connection.features``) gives the answer, use that instead.
"""

from functools import cache

from django.db.backends.base.base import BaseDatabaseWrapper

from .base import Dialect, ForeignKey

__all__ = ["Dialect", "ForeignKey", "database_id", "dialect_of"]


def dialect_of(connection: BaseDatabaseWrapper) -> Dialect:
    """
    The dialect of a connection, which need not be open.

    Backends of third parties (PostGIS, SpatiaLite, django-prometheus, TimescaleDB) have the vendor
    of the backend they extend.
    """
    return _dialect_class(connection.vendor)(connection)


def database_id(connection: BaseDatabaseWrapper) -> str:
    """Which database this is, whatever its alias: vendor, host, port and name."""
    return dialect_of(connection).database_identity()


@cache
def _dialect_class(vendor: str) -> type[Dialect]:
    # Imported here: a process needs only one of them, and a hook with nothing to do is fast.
    if vendor == "mysql":  # MariaDB's, too
        from .mysql import MySQLDialect

        return MySQLDialect
    if vendor == "postgresql":
        from .postgresql import PostgreSQLDialect

        return PostgreSQLDialect
    if vendor == "sqlite":
        from .sqlite import SQLiteDialect

        return SQLiteDialect
    return Dialect
