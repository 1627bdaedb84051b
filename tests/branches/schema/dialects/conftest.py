from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.db.backends.base.base import BaseDatabaseWrapper

from tests.databases import Configuration, connected

Connect = Callable[[str], BaseDatabaseWrapper]


@pytest.fixture
def connection(database: Configuration, django_db_blocker: Any) -> Iterator[BaseDatabaseWrapper]:
    """A connection to a fresh database, on each vendor in turn."""
    with django_db_blocker.unblock(), connected(database) as connection:
        yield connection


@pytest.fixture
def connect(
    make_database: Callable[[str], Configuration], django_db_blocker: Any
) -> Iterator[Connect]:
    """A function that connects to a fresh database of one vendor."""
    with ExitStack() as stack:
        stack.enter_context(django_db_blocker.unblock())
        yield lambda vendor: stack.enter_context(connected(make_database(vendor)))
