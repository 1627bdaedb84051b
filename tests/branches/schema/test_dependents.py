"""What PostgreSQL drops along with a table or a column."""

from collections.abc import Iterator

import pytest
from django.db.backends.base.base import BaseDatabaseWrapper

from django_devtools.branches.schema.dialects import dialect_of
from tests.databases import Configuration, connected

pytestmark = pytest.mark.once


@pytest.fixture
def postgresql(make_database, django_db_blocker) -> Iterator[BaseDatabaseWrapper]:  # type: ignore[no-untyped-def]
    database: Configuration = make_database("postgresql")
    with django_db_blocker.unblock(), connected(database) as connection:
        yield connection


def test_views_and_foreign_keys_of_others(postgresql: BaseDatabaseWrapper) -> None:
    with postgresql.cursor() as cursor:
        cursor.execute("CREATE TABLE product (id int PRIMARY KEY, name text, parent int)")
        cursor.execute("ALTER TABLE product ADD FOREIGN KEY (parent) REFERENCES product")
        cursor.execute("CREATE TABLE item (product int REFERENCES product)")
        cursor.execute("CREATE VIEW report AS SELECT name FROM product")
        cursor.execute("CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM product")
    dialect = dialect_of(postgresql)
    key, *views = dialect.dependents("product", None)
    assert key == ("ALTER TABLE item DROP CONSTRAINT item_product_fkey", "item", ["product"])
    assert [view.drop for view in views] == ["DROP MATERIALIZED VIEW counted", "DROP VIEW report"]
    assert [one.drop for one in dialect.dependents("product", "name")] == ["DROP VIEW report"]
    assert dialect.dependents("product", "parent") == []
    assert dialect.dependents("nothing", None) == []
