"""What goes along with a table or a column that is dropped, or keeps it from being dropped."""

from collections.abc import Callable, Iterator

import pytest
from django.db.backends.base.base import BaseDatabaseWrapper
from pytest_django import DjangoDbBlocker

from django_devtools.branches.schema.dialects import dialect_of
from tests.databases import Configuration, connected

pytestmark = pytest.mark.once


@pytest.fixture
def postgresql(
    make_database: Callable[[str], Configuration], django_db_blocker: DjangoDbBlocker
) -> Iterator[BaseDatabaseWrapper]:
    with django_db_blocker.unblock(), connected(make_database("postgresql")) as connection:
        yield connection


@pytest.fixture
def mariadb(
    make_database: Callable[[str], Configuration], django_db_blocker: DjangoDbBlocker
) -> Iterator[BaseDatabaseWrapper]:
    with django_db_blocker.unblock(), connected(make_database("mariadb")) as connection:
        yield connection


def test_foreign_keys_for_which_a_drop_would_fail(mariadb: BaseDatabaseWrapper) -> None:
    with mariadb.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE product (a int, b int, parent int, PRIMARY KEY (a, b), KEY (parent), "
            "FOREIGN KEY (parent) REFERENCES product (a))"
        )
        cursor.execute(
            "CREATE TABLE item (x int, y int, "
            "CONSTRAINT item_product FOREIGN KEY (x, y) REFERENCES product (a, b))"
        )
    dialect = dialect_of(mariadb)
    assert dialect.dependents("product", None) == [
        ("ALTER TABLE item DROP FOREIGN KEY item_product", "item", ["x", "y"])
    ]
    assert dialect.dependents("product", "a") == []
    assert dialect.dependents("nothing", None) == []


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
