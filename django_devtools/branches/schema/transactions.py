"""Transactions in which tables are altered."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper


@contextmanager
def one_transaction(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """A transaction in which a schema editor can be used, on SQLite too."""
    # SQLite's schema editor requires that foreign keys are off, and they can't be switched off
    # inside a transaction: https://www.sqlite.org/pragma.html#pragma_foreign_keys
    with connection.constraint_checks_disabled(), transaction.atomic(connection.alias):
        yield
