"""What SQLite does in its own way."""

import sqlite3
from pathlib import Path

import pytest
from django.db import IntegrityError, OperationalError

from .errors import Coded, is_transient
from .test_base import Connect, dialect_with, identity


def test_a_file_is_one_database_by_all_its_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link.sqlite3").symlink_to("db.sqlite3")
    monkeypatch.chdir(tmp_path)
    expected = f"sqlite:{tmp_path}/db.sqlite3"

    assert identity("sqlite", NAME=tmp_path / "db.sqlite3") == expected
    assert identity("sqlite", NAME="db.sqlite3") == expected
    assert identity("sqlite", NAME="link.sqlite3") == expected
    assert identity("sqlite", NAME=f"file:{tmp_path}/db.sqlite3?mode=rwc") == expected
    assert identity("sqlite", NAME=f"file://{tmp_path}/d%62.sqlite3") == expected
    assert identity("sqlite", NAME=tmp_path / "other.sqlite3") != expected


@pytest.mark.parametrize("name", [":memory:", "file::memory:?cache=shared", "file:a?mode=memory"])
def test_a_database_in_memory_keeps_its_name(name: str) -> None:
    assert identity("sqlite", NAME=name) == f"sqlite:{name}"


def test_a_column_without_case_is_compared_with_it(connect: Connect) -> None:
    dialect = dialect_with(
        connect("sqlite"),
        "CREATE TABLE t (one text COLLATE NOCASE, other text COLLATE NOCASE)",
        "INSERT INTO t VALUES ('a', 'A')",
    )
    same = dialect.same_values("one", "other")
    assert dialect.fetch(f"SELECT one = other, {same} FROM t") == [(1, 0)]


def test_what_does_not_fit(connect: Connect) -> None:
    dialect = dialect_with(
        connect("sqlite"),
        "CREATE TABLE t (a)",
        "INSERT INTO t VALUES (1), (1.5), ('2'), ('x'), (x'ff'), (NULL)",
    )
    condition = dialect.unfit("t", "a", "integer", "IntegerField")
    assert dialect.fetch(f"SELECT a FROM t WHERE {condition}") == [("x",), (b"\xff",)]
    dialect.coerce_values("t", "a", "integer", "IntegerField", lambda: 7)
    assert dialect.fetch("SELECT a FROM t") == [(1,), (1.5,), ("2",), (7,), (7,), (None,)]


def test_virtual_columns_are_generated_too(connect: Connect) -> None:
    dialect = dialect_with(connect("sqlite"), "CREATE TABLE t (a integer, b AS (a + 1) VIRTUAL)")
    assert [one.is_generated for one in dialect.describe_columns("t")] == [False, True]


def test_a_copy_has_affinities_in_place_of_types(connect: Connect) -> None:
    dialect = dialect_with(connect("sqlite"), "CREATE TABLE t (a varchar(9))")
    dialect.create_copy("copy", "SELECT * FROM t", [])
    (column,) = dialect.describe_columns("copy")
    assert not dialect.copies_have_types
    assert column.type == "TEXT"


def test_a_locked_database_is_a_transient_error(connect: Connect) -> None:
    connection = connect("sqlite")
    dialect = dialect_with(connection, "CREATE TABLE t (a integer)")
    dialect.execute("PRAGMA busy_timeout = 1")
    other = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(OperationalError) as caught:
            dialect.execute("INSERT INTO t VALUES (1)")
    finally:
        other.close()
    assert dialect.error_is_transient(caught.value)


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (Coded("sqlite_errorname", "SQLITE_BUSY_SNAPSHOT"), True),
        (Coded("sqlite_errorname", "SQLITE_CONSTRAINT_UNIQUE"), False),
        (sqlite3.OperationalError("full_name"), False),
    ],
)
def test_the_code_of_an_error_says_whether_it_passes(cause: Exception, expected: bool) -> None:
    """A disk is not full because a column is named full_name."""
    assert is_transient("sqlite", cause) is expected


def test_triggers_are_dropped_and_made_again_word_for_word(connect: Connect) -> None:
    dialect = dialect_with(
        connect("sqlite"),
        "CREATE TABLE t (a text)",
        "CREATE TABLE other (a text)",
        """CREATE TRIGGER "a%%b" BEFORE INSERT ON T BEGIN SELECT RAISE(ABORT, '100%%?'); END""",
        "CREATE TRIGGER second AFTER UPDATE ON t BEGIN DELETE FROM t; END",
        "CREATE TRIGGER untouched AFTER UPDATE ON other BEGIN DELETE FROM other; END",
    )
    read = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY rowid"
    before = set(dialect.fetch(read))
    with dialect.without_triggers(["t"]) as firing:
        assert firing == []
        assert [name for name, _ in dialect.fetch(read)] == ["untouched"]
        dialect.execute("INSERT INTO t VALUES (1)")
    assert set(dialect.fetch(read)) == before
    with pytest.raises(IntegrityError, match="100%"):
        dialect.execute("INSERT INTO t VALUES (1)")


def test_triggers_are_still_there_after_an_error(connect: Connect) -> None:
    dialect = dialect_with(
        connect("sqlite"),
        "CREATE TABLE t (a text)",
        "CREATE TRIGGER no BEFORE INSERT ON t BEGIN SELECT RAISE(ABORT, 'no'); END",
    )
    with pytest.raises(ZeroDivisionError), dialect.without_triggers(["t"]):
        raise ZeroDivisionError
    with pytest.raises(IntegrityError):
        dialect.execute("INSERT INTO t VALUES (1)")
