"""What MySQL and MariaDB do in their own way."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.db import DataError, OperationalError

from django_devtools.branches.schema.dialects import dialect_of

from .errors import is_transient
from .test_base import Connect, dialect_with


def test_only_without_strict_mode_are_values_cut(connect: Connect) -> None:
    dialect = dialect_with(
        connect("mariadb"), "CREATE TABLE t (a varchar(9))", "INSERT INTO t VALUES ('longer')"
    )
    mode = dialect.fetch("SELECT @@SESSION.sql_mode")
    with pytest.raises(DataError):
        dialect.execute("ALTER TABLE t MODIFY a varchar(4)")
    with dialect.lenient_mode():
        dialect.execute("ALTER TABLE t MODIFY a varchar(4)")
    assert dialect.fetch("SELECT a FROM t") == [("long",)]
    assert dialect.fetch("SELECT @@SESSION.sql_mode") == mode


def test_a_connection_is_seen_by_its_number(connect: Connect) -> None:
    dialect = dialect_with(connect("mariadb"))
    assert dialect.session_id() is None
    ((number,),) = dialect.fetch("SELECT CONNECTION_ID()")
    assert dialect.session_id() == number
    dialect.be_brief()
    assert dialect.look(number) == (None, None, None, "")


def test_what_only_others_may_see_is_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    connection: Any = SimpleNamespace(vendor="mysql")
    dialect = dialect_of(connection)

    def fetch(sql: str, params: Any = ()) -> Any:
        if "innodb_trx" in sql:
            raise OperationalError(1227, "Access denied; you need the PROCESS privilege")
        return [("Waiting for table metadata lock",)]

    monkeypatch.setattr(dialect, "fetch", fetch)
    assert dialect.look(5).note == "the server says: Waiting for table metadata lock"
    assert dialect.look(5).rows is None


@pytest.mark.parametrize(
    ("kind", "field_type", "unfit"),
    [
        ("int(11)", "IntegerField", {"7000000000", "2026-01-02 03:00:00", "é"}),
        (
            "int(11) unsigned",
            "PositiveIntegerField",
            {"-1", "7000000000", "2026-01-02 03:00:00", "é"},
        ),
        ("varchar(10)", "CharField", {"2026-01-02 03:00:00"}),
        ("longtext", "TextField", set()),
        ("date", "DateField", {"-1", "7000000000", "é"}),
        ("time(6)", "TimeField", {"-1", "7000000000", "é"}),
        ("int(11)", "", set()),
    ],
)
def test_what_does_not_fit(connect: Connect, kind: str, field_type: str, unfit: set[str]) -> None:
    texts = ("-1", "7000000000", "2026-01-02 03:00:00", "é")
    rows = ", ".join(f"('{text}')" for text in texts)
    dialect = dialect_with(
        connect("mariadb"),
        "CREATE TABLE t (a varchar(50))",
        f"INSERT INTO t VALUES {rows}, (NULL)",
    )
    condition = dialect.unfit("t", "a", kind, field_type)
    found = {text for (text,) in dialect.fetch(f"SELECT a FROM t WHERE {condition}")}
    assert found == unfit


def test_the_mode_is_what_it_was_after_an_error(connect: Connect) -> None:
    dialect = dialect_of(connect("mariadb"))
    mode = dialect.fetch("SELECT @@SESSION.sql_mode")
    with pytest.raises(ZeroDivisionError), dialect.lenient_mode():
        raise ZeroDivisionError
    assert dialect.fetch("SELECT @@SESSION.sql_mode") == mode


def test_a_key_of_0_stays_0(connect: Connect) -> None:
    dialect = dialect_with(
        connect("mariadb"), "CREATE TABLE t (id integer AUTO_INCREMENT PRIMARY KEY)"
    )
    with dialect.explicit_keys():
        dialect.execute("INSERT INTO t VALUES (0)")
    dialect.execute("INSERT INTO t VALUES (0)")
    assert dialect.fetch("SELECT id FROM t ORDER BY id") == [(0,), (1,)]


def test_triggers_fire_all_the_same_and_are_named(connect: Connect) -> None:
    dialect = dialect_with(
        connect("mariadb"),
        "CREATE TABLE t (a integer)",
        "CREATE TABLE other (a integer)",
        "CREATE TRIGGER `one%%` BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 7",
        "CREATE TRIGGER another BEFORE INSERT ON other FOR EACH ROW SET NEW.a = 7",
    )
    with dialect.without_triggers(["t"]) as firing:
        assert firing == ["one%"]


def test_a_foreign_key_that_is_there_is_done(connect: Connect) -> None:
    add = "ALTER TABLE child ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES parent (id)"
    dialect = dialect_with(
        connect("mariadb"),
        "CREATE TABLE parent (id integer PRIMARY KEY)",
        "CREATE TABLE child (a integer)",
        add,
    )
    with pytest.raises(OperationalError) as caught:
        dialect.execute(add)
    assert dialect.error_is_done(caught.value)


@pytest.mark.parametrize(
    ("code", "text", "is_done"),
    [
        (1054, "Unknown column 'j' in 't'", True),
        (1054, "Unknown column 'j' in 'CHECK'", False),
        (1005, 'Can\'t create table `t` (errno: 121 "Duplicate key on write or update")', True),
        (1005, 'Can\'t create table `t` (errno: 150 "Foreign key constraint")', False),
    ],
)
def test_some_codes_mean_two_things(code: int, text: str, is_done: bool) -> None:
    connection: Any = SimpleNamespace(vendor="mysql")
    assert dialect_of(connection).error_is_done(OperationalError(code, text)) is is_done


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (Exception(1213, "Deadlock found"), True),
        (Exception(1292, "Incorrect date value for column full_name"), False),
        (Exception(), False),
    ],
)
def test_the_code_of_an_error_says_whether_it_passes(cause: Exception, expected: bool) -> None:
    assert is_transient("mysql", cause) is expected
