"""What every database has to answer, each in its own way."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import (
    DatabaseError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
    models,
    transaction,
)
from django.db.backends.base.base import BaseDatabaseWrapper

from django_devtools.branches.schema.dialects import Dialect, database_id, dialect_of

Connect = Callable[[str], BaseDatabaseWrapper]


def dialect_with(connection: BaseDatabaseWrapper, *statements: str) -> Dialect:
    """The dialect of a database in which these statements were executed."""
    dialect = dialect_of(connection)
    for statement in statements:
        dialect.execute(statement)
    return dialect


@pytest.mark.no_cover
def test_columns_are_described_in_their_order(connection: BaseDatabaseWrapper) -> None:
    quoted = dialect_of(connection).quote("a%b")
    dialect = dialect_with(
        connection,
        f"CREATE TABLE {quoted} (id integer NOT NULL PRIMARY KEY, text varchar(9), "
        "more integer GENERATED ALWAYS AS (id + 1) STORED, needed varchar(9) NOT NULL)",
    )
    found = dialect.describe_columns("a%b")
    assert [(one.name, one.is_required, one.is_generated) for one in found] == [
        ("id", True, False),
        ("text", False, False),
        ("more", False, True),
        ("needed", True, False),
    ]
    assert found[1].type in ("varchar(9)", "character varying(9)")
    assert found[1].type == found[3].type


def test_columns_that_each_row_has_to_fill(connection: BaseDatabaseWrapper) -> None:
    key = "SERIAL" if connection.vendor == "postgresql" else "INTEGER"
    auto = " AUTO_INCREMENT" if connection.vendor == "mysql" else ""
    dialect = dialect_with(
        connection,
        f"CREATE TABLE t (id {key} NOT NULL PRIMARY KEY{auto}, may_be_null integer, "
        "has_default integer DEFAULT 1 NOT NULL, has_null integer DEFAULT NULL, "
        "computed integer GENERATED ALWAYS AS (has_default + 1) STORED, needed integer NOT NULL)",
    )
    assert dialect.required_columns() == [("t", "needed")]


def test_only_a_table_that_exists_has_a_size(connection: BaseDatabaseWrapper) -> None:
    dialect = dialect_with(connection, "CREATE TABLE t (id integer)", "INSERT INTO t VALUES (1)")
    size = dialect.table_size("t")
    assert size is None or size > 0  # not each SQLite has dbstat
    assert dialect.table_size("missing") is None


def test_rows_are_estimated_without_counting_many(connection: BaseDatabaseWrapper) -> None:
    dialect = dialect_with(
        connection,
        "CREATE TABLE t (id integer)",
        "INSERT INTO t VALUES (1), (2), (3)",
    )
    assert dialect.estimated_rows("t", 9) == 3
    if connection.vendor != "mysql":  # It never counts.
        assert dialect.estimated_rows("t", 2) == 2


def test_values_are_the_same_only_to_the_last_byte(connection: BaseDatabaseWrapper) -> None:
    dialect = dialect_with(
        connection,
        "CREATE TABLE pair (id integer, one varchar(9), other varchar(9))",
        "INSERT INTO pair VALUES (1, 'a', 'a'), (2, 'a', 'A'), (3, 'a', 'a '), (4, 'a', NULL), "
        "(5, NULL, NULL), (6, NULL, 'a')",
    )
    same = dialect.same_values("one", "other")
    assert dialect.fetch(f"SELECT id FROM pair WHERE {same} ORDER BY id") == [(1,), (5,)]
    assert dialect.fetch(f"SELECT id FROM pair WHERE NOT {same} ORDER BY id") == [
        (2,),
        (3,),
        (4,),
        (6,),
    ]


def test_texts_that_are_too_long_are_found_where_there_is_a_limit(
    connection: BaseDatabaseWrapper,
) -> None:
    dialect = dialect_with(
        connection, "CREATE TABLE t (a varchar(9))", "INSERT INTO t VALUES ('äöü'), ('äöüß')"
    )
    found = dialect.fetch(f"SELECT a FROM t WHERE {dialect.longer_than('a', 3)}")
    assert found == ([] if connection.vendor == "sqlite" else [("äöüß",)])


def test_a_copy_has_the_rows_and_is_looked_up_by_its_key(connection: BaseDatabaseWrapper) -> None:
    dialect = dialect_with(
        connection,
        "CREATE TABLE t (a integer, b integer, c varchar(9))",
        "INSERT INTO t VALUES (1, 1, 'x'), (1, 2, 'y')",
    )
    count = dialect.create_copy("a%copy", "SELECT * FROM t", ["a", "b"])
    without_key = dialect.create_copy("other", "SELECT * FROM t", [])
    copy = dialect.quote("a%copy")
    assert {count, without_key} <= {2, -1}
    assert dialect.fetch(f"SELECT * FROM {copy} ORDER BY b") == [(1, 1, "x"), (1, 2, "y")]
    if connection.vendor != "postgresql":  # which needs no index before it numbers rows
        with pytest.raises(IntegrityError):
            dialect.execute(f"INSERT INTO {copy} VALUES (1, 1, 'z')")


def test_columns_are_set_from_another_table(connection: BaseDatabaseWrapper) -> None:
    dialect = dialect_with(
        connection,
        "CREATE TABLE t (id integer, a varchar(9), b integer)",
        "CREATE TABLE copy (id integer, a varchar(9), b integer)",
        "INSERT INTO t VALUES (1, 'old', 1), (2, 'old', 2), (3, 'old', 3)",
        "INSERT INTO copy VALUES (1, 'new', 10), (2, 'new', 20)",
    )
    values = {"a": "copy.a", "b": "copy.b + 1"}
    sql = dialect.update_from("t", values, "copy", "t.id = copy.id", "copy.b > 10")
    assert dialect.execute(sql) == 1
    assert dialect.fetch("SELECT * FROM t ORDER BY id") == [
        (1, "old", 1),
        (2, "new", 21),
        (3, "old", 3),
    ]


def test_new_keys_continue_after_those_that_are_skipped(connection: BaseDatabaseWrapper) -> None:
    key = models.AutoField(primary_key=True)
    kind, suffix = key.db_type(connection), key.db_type_suffix(connection) or ""
    dialect = dialect_with(
        connection,
        f"CREATE TABLE t (id {kind} NOT NULL PRIMARY KEY {suffix}, name varchar(9))",
        "INSERT INTO t (name) VALUES ('a')",
    )
    for highest in (5, 3):  # It never goes back.
        dialect.skip_keys("t", highest)
        dialect.execute("INSERT INTO t (name) VALUES ('b')")
    assert dialect.fetch("SELECT id FROM t ORDER BY id") == [(1,), (6,), (7,)]


def test_rows_are_numbered_by_their_keys_inside_a_transaction(
    connection: BaseDatabaseWrapper,
) -> None:
    dialect = dialect_with(
        connection,
        "CREATE TABLE one (a integer, b integer)",
        "CREATE TABLE other (a integer, b integer)",
        "INSERT INTO one VALUES (2, 1), (1, 2), (1, 1)",
    )
    with transaction.atomic(connection.alias):
        dialect.execute("INSERT INTO one VALUES (3, 3)")
        dialect.number_rows("numbers", "one", ["a", "b"], ["other"])
        found = dialect.fetch("SELECT a, b, number_ FROM numbers ORDER BY number_")
        dialect.drop_temporary("numbers")
        transaction.set_rollback(True, connection.alias)
    assert found == [(1, 1, 1), (1, 2, 2), (2, 1, 3), (3, 3, 4)]
    assert dialect.fetch("SELECT COUNT(*) FROM one") == [(3,)]
    with pytest.raises(DatabaseError):
        dialect.fetch("SELECT 1 FROM numbers")


def test_rows_are_deleted_for_what_the_same_table_has(connection: BaseDatabaseWrapper) -> None:
    dialect = dialect_with(
        connection,
        "CREATE TABLE t (id integer, parent integer)",
        "INSERT INTO t VALUES (1, NULL), (2, 1), (3, 9)",
    )
    readable = dialect.readable_in_delete("t", "id")
    dialect.execute(
        "DELETE FROM t WHERE parent IS NOT NULL "
        f"AND NOT EXISTS (SELECT 1 FROM {readable} AS p WHERE p.id = t.parent)"
    )
    assert dialect.fetch("SELECT id FROM t ORDER BY id") == [(1,), (2,)]


@pytest.mark.parametrize(
    ("statement", "is_done"),
    [
        ("CREATE TABLE t (a integer)", True),
        ("DROP TABLE missing", True),
        ("ALTER TABLE t ADD COLUMN a integer", True),
        ("ALTER TABLE t DROP COLUMN missing", True),
        ("CREATE INDEX i ON t (a)", True),
        ("CREATE UNIQUE INDEX u ON t (b)", False),
        ("CREATE NONSENSE", False),
    ],
)
def test_an_error_says_whether_the_work_was_done(
    connection: BaseDatabaseWrapper, statement: str, is_done: bool
) -> None:
    dialect = dialect_with(
        connection,
        "CREATE TABLE t (a integer, b integer)",
        "CREATE INDEX i ON t (a)",
        "INSERT INTO t VALUES (1, 1), (2, 1)",
    )
    with pytest.raises(DatabaseError) as caught:
        dialect.execute(statement)
    assert dialect.error_is_done(caught.value) is is_done
    assert not dialect.error_is_transient(caught.value)


def test_what_another_connection_writes_is_noticed(connection: BaseDatabaseWrapper) -> None:
    """Also if the table has as many rows as before."""
    statements = ("CREATE TABLE t (a integer)", "INSERT INTO t VALUES (1), (2)")
    dialect = dialect_with(connection, *statements)
    other = connection.copy()

    def is_noticed(statement: str) -> bool:
        mark = dialect.write_mark("t")
        dialect_of(other).execute(statement)
        with transaction.atomic(connection.alias):
            dialect.lock(["t"])
            return dialect.was_written("t", mark, "1 = 1", 2)

    try:
        # A server may say so in any case: one knows whole seconds only, the other transactions
        # that overlap.
        assert connection.vendor != "sqlite" or not is_noticed("SELECT 1")
        assert is_noticed("UPDATE t SET a = 3")
        assert is_noticed("DELETE FROM t WHERE a = 3")
    finally:
        other.close()


def test_what_one_database_needs_costs_the_others_nothing(connection: BaseDatabaseWrapper) -> None:
    """Each of these can be called on any database."""
    dialect = dialect_with(connection, "CREATE TABLE t (a integer NOT NULL PRIMARY KEY)")
    with transaction.atomic(connection.alias), dialect.lenient_mode(), dialect.explicit_keys():
        dialect.check_unique_now("t")
        dialect.check_foreign_keys_now()
        dialect.set_sequences("t")
        dialect.execute("INSERT INTO t VALUES (0)")
        with dialect.without_triggers(["t"]) as firing:
            assert firing == []
    assert dialect.materialized_views(["t"]) == []
    assert dialect.custom_types("t") == {}
    assert dialect.foreign_keys_to_drop("t") == []
    cast = dialect.cast(dialect.with_type("a", "integer"), "integer")
    assert dialect.fetch(f"SELECT {cast} FROM t") == [(0,)]


# Which database is which


def identity(vendor: str, **configured: Any) -> str:
    connection: Any = SimpleNamespace(vendor=vendor, settings_dict=configured)
    return database_id(connection)


@pytest.mark.parametrize("host", ["", "localhost", "127.0.0.1", "::1"])
def test_this_machine_has_several_names(host: str) -> None:
    mysql = {"NAME": "shop", "HOST": host, "PORT": ""}
    postgresql = {"NAME": "shop", "HOST": host, "PORT": 5432}
    assert identity("mysql", **mysql) == "mysql://localhost:3306/shop"
    assert identity("postgresql", **postgresql) == "postgresql://localhost:5432/shop"


@pytest.mark.parametrize(
    "other",
    [
        {"NAME": "other"},
        {"HOST": "db.example.com"},
        {"PORT": "5433"},
        {"OPTIONS": {"service": "other"}},
        {"OPTIONS": {"options": "-c search_path=tenant,public"}},
        {"OPTIONS": {"read_default_file": "/etc/other.cnf"}},
    ],
)
def test_databases_are_told_apart(other: dict[str, Any]) -> None:
    one = {"NAME": "shop"}
    assert identity("postgresql", **one) != identity("postgresql", **one | other)
    assert identity("mysql", **one) != identity("mysql", **one | other)


def test_what_a_service_file_says() -> None:
    service = {"service": "shop", "options": "-c search_path=tenant"}
    assert identity("postgresql", NAME="", OPTIONS=service) == "postgresql://shop:5432/?tenant"


def test_other_vendors() -> None:
    assert identity("oracle", NAME="xe", HOST="db") == "oracle://db:/xe"


def test_another_vendor_has_the_common_answers_only() -> None:
    connection: Any = SimpleNamespace(vendor="oracle", display_name="Oracle")
    dialect = dialect_of(connection)
    assert type(dialect) is Dialect
    assert dialect.required_columns() == []
    assert dialect.table_size("t") is None
    assert dialect.same_values("a", "b") == "a IS NOT DISTINCT FROM b"
    assert dialect.unfit("t", "a", "integer", "IntegerField") == "1 = 0"
    assert not dialect.error_is_done(ProgrammingError())
    assert not dialect.error_is_transient(ProgrammingError())
    with pytest.raises(NotSupportedError, match="Oracle"):
        dialect.describe_columns("t")


def test_a_database_that_is_not_known_better_can_do_least(connect: Connect) -> None:
    dialect = Dialect(dialect_with(connect("sqlite")).connection)
    assert dialect.write_mark("t") is None
    assert dialect.was_written("t", None, "1 = 1", 0)
    assert dialect.materialized_views(["t"]) == []
    with dialect.without_triggers(["t"]) as firing:
        assert firing == []
    assert dialect.longer_than("one", 3) == "CHAR_LENGTH(one) > 3"
