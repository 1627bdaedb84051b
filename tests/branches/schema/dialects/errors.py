"""Errors of drivers."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError

from django_devtools.branches.schema.dialects import dialect_of


class Coded(Exception):
    """An error of a driver, with the code that it gives."""

    def __init__(self, name: str, code: str) -> None:
        super().__init__("duplicate full_name, no lock")
        setattr(self, name, code)


def is_transient(vendor: str, cause: Exception) -> bool:
    """Whether Django's error with this cause is transient to a vendor's dialect."""
    connection: Any = SimpleNamespace(vendor=vendor)
    with pytest.raises(DatabaseError) as caught:
        raise OperationalError(*cause.args) from cause
    return dialect_of(connection).error_is_transient(caught.value)
