"""What is said of migrations that fail: of rows that don't fit, and of what was interrupted."""

import pytest
from django.db import DataError
from django.db.migrations import Migration, RunPython

from django_devtools.branches.errors import UnfitRows
from django_devtools.branches.running.executor import _naming
from django_devtools.branches.sources.loader import variant


def test_rows_that_dont_fit_are_named_with_their_migration() -> None:
    with (
        pytest.raises(UnfitRows, match=r"shop\.0002_sku can't be applied .*: too long"),
        _naming(Migration("0002_sku", "shop"), "applied"),
    ):
        raise DataError("too\nlong")


def test_an_error_of_a_migration_with_code_stays_what_it_is() -> None:
    migration = variant(Migration("0002_sku", "shop"), operations=[RunPython(RunPython.noop)])
    with pytest.raises(DataError, match="its own"), _naming(migration, "applied"):
        raise DataError("its own")
