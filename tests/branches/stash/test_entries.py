"""What is recorded of an entry, and what earlier versions recorded."""

from datetime import UTC, datetime
from typing import Any

from django.apps.registry import Apps
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from django_devtools.branches.schema.introspection import ColumnInfo, Tables
from django_devtools.branches.stash.entries import (
    ENTRIES_TABLE,
    Entry,
    Return,
    StashedColumn,
    Status,
    Step,
    steps_to_json,
    to_json,
)
from django_devtools.branches.stash.stash import Stash

OLD_COLUMNS = '{"size": ["integer", true, "shop.0002_size", null, null, "", true]}'


def former_model() -> Any:
    """The table with the entries as versions made it that did not record all steps."""

    class Former(models.Model):
        id = models.BigAutoField(primary_key=True)
        status = models.CharField(max_length=10)
        branch = models.TextField()
        table = models.CharField(max_length=255)
        is_table = models.BooleanField()
        columns = models.TextField()
        key = models.TextField()
        rows = models.BigIntegerField()
        at = models.DateTimeField()
        reason = models.TextField(default="")
        first = models.TextField()
        last = models.TextField()
        fills = models.BooleanField(default=False)

        class Meta:
            apps = Apps()
            app_label = "django_devtools"
            db_table = ENTRIES_TABLE

    return Former


def test_an_entry_of_an_earlier_version_waits_for_the_migration_that_dropped_it(
    connection: BaseDatabaseWrapper,
) -> None:
    model = former_model()
    with connection.schema_editor() as editor:
        editor.create_model(model)
    model._default_manager.using(connection.alias).create(
        status="kept",
        branch="feature",
        table="shop_product",
        is_table=False,
        columns=OLD_COLUMNS,
        key='["id"]',
        rows=2,
        at=timezone.now(),
        first="-shop.0003_more",
        last="-shop.0002_size",
    )

    (entry,) = Stash(connection).entries()

    assert entry.steps == (Step(("shop", "0002_size"), backwards=True),)
    assert entry.columns["size"].returns is Return.REPLACE
    assert Stash(connection).entries() == [entry]
    there = Tables(connection).columns(ENTRIES_TABLE)
    assert "steps" in there
    assert not {"first", "last"} & there.keys()


def test_steps_are_recorded_with_their_texts() -> None:
    steps = [Step(("shop", "0002"), True, "b2"), Step(("crm", "0001"), False)]
    assert steps_to_json(steps) == '[["shop", "0002", true, "b2"], ["crm", "0001", false, ""]]'
    assert [str(step) for step in steps] == ["-shop.0002", "+crm.0001"]


def test_columns_are_recorded_with_the_step_that_dropped_them() -> None:
    column = StashedColumn(ColumnInfo("integer", True), "shop.0002", dropped_backwards=True)
    assert to_json({"size": column}) == (
        '{"size": ["integer", true, "shop.0002", null, null, "replace", true, "", null]}'
    )
    assert column.step == Step(("shop", "0002"), True)


def test_an_entry_says_what_is_in_it() -> None:
    column = StashedColumn(ColumnInfo("integer", True), "shop.0002")
    at = datetime(2026, 1, 2, tzinfo=UTC)
    entry = Entry(
        7, Status.KEPT, None, "shop_product", False, {"a": column, "b": column}, ["id"], 1, at
    )
    assert entry.summary == "columns shop_product.a, shop_product.b (1 row)"
    assert (entry.copy, entry.residue) == (
        "django_devtools_stash_7",
        "django_devtools_stash_7_made",
    )
    assert entry.migrations == ["shop.0002"]
