"""What PostgreSQL does in its own way."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, transaction

from django_devtools.branches.schema.dialects import dialect_of
from django_devtools.branches.schema.introspection import Tables

from .errors import Coded, is_transient
from .test_base import Connect, dialect_with


def test_types_and_collations_of_migrations_are_custom(connect: Connect) -> None:
    dialect = dialect_with(
        connect("postgresql"),
        "CREATE TYPE mood AS ENUM ('good', 'bad')",
        "CREATE COLLATION german (provider = icu, locale = 'de')",
        'CREATE TABLE "a%%b" (m mood, t text COLLATE german, plain text, number integer)',
    )
    assert dialect.custom_types("a%b") == {"m": "mood", "t": ""}


def test_a_table_of_a_later_schema_does_not_bar_one_of_the_first(connect: Connect) -> None:
    """As where tenants have a schema each, and share another one."""
    dialect = dialect_with(
        connect("postgresql"),
        "CREATE TABLE shared (id integer)",
        'CREATE SCHEMA "Tenant"',
        'CREATE TABLE "Tenant".own (id integer)',
        'SET search_path TO "Tenant", public',
    )
    tables = Tables(dialect.connection)
    assert {"own", "shared"} <= tables.names
    assert tables.bars("own", None)
    assert not tables.bars("shared", None)
    assert tables.bars("shared", "id")


def test_rows_are_estimated_from_the_present_size_of_an_analyzed_table(connect: Connect) -> None:
    rows = "INSERT INTO t SELECT generate_series(1, 5000)"
    dialect = dialect_with(
        connect("postgresql"),
        "CREATE TABLE t (id integer) WITH (autovacuum_enabled = false)",
        rows,
        "ANALYZE t",
        rows,
    )
    assert dialect.estimated_rows("t", 1) == pytest.approx(10_000, rel=0.1)
    assert (dialect.data_size("t") or 0) > 10_000 * 28


def test_a_connection_is_seen_by_its_number(connect: Connect) -> None:
    dialect = dialect_with(connect("postgresql"))
    assert dialect.session_id() is None
    ((process,),) = dialect.fetch("SELECT pg_backend_pid()")
    assert dialect.session_id() == process
    dialect.be_brief()
    assert dialect.fetch("SHOW lock_timeout") == [("500ms",)]
    look = dialect.look(process)
    assert (look.note, look.fraction) == ("", None)
    assert look.size


def test_an_index_that_is_built_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    connection: Any = SimpleNamespace(vendor="postgresql")
    dialect = dialect_of(connection)
    found: list[Any] = [[(9,)], [("building index: scanning table", 0, 0, 1, 4)], [(7, "psql")]]
    monkeypatch.setattr(dialect, "fetch", lambda sql, params=(): found.pop(0))
    assert dialect.look(5) == (
        None,
        9,
        0.25,
        ", ".join(
            [
                "building index: scanning table",
                "waiting for a lock that process 7 (psql) of the server holds",
            ]
        ),
    )
    found = [[(9,)], [("building index: loading tuples in tree", 1, 2, 4, 4)], []]
    assert dialect.look(5).fraction == 0.5


@pytest.mark.parametrize(
    ("kind", "cast"),
    [
        ("character varying(9)", "CAST(a AS character varying)"),
        ("character(9)", "CAST(a AS character varying)"),
        ("bit(3)", "CAST(a AS bit varying)"),
        ("numeric(5,2)", "CAST(a AS numeric)"),
        ("timestamp(3) with time zone", "CAST(a AS timestamp with time zone)"),
        ('"a%b"', 'CAST(a AS "a%%b")'),
        ("bigint", "CAST(a AS bigint)"),
    ],
)
def test_a_cast_leaves_lengths_to_the_assignment(kind: str, cast: str) -> None:
    connection: Any = SimpleNamespace(vendor="postgresql")
    assert dialect_of(connection).cast("a", kind) == cast


def test_json_is_compared_though_it_has_no_equality(connect: Connect) -> None:
    dialect = dialect_with(
        connect("postgresql"),
        "CREATE TABLE t (one json, other json)",
        """INSERT INTO t VALUES ('{"a": 1}', '{"a": 1}'), ('{"a": 1}', '{"a":1}')""",
    )
    same = dialect.same_values("one", "other")
    assert dialect.fetch(f"SELECT {same} FROM t") == [(True,), (False,)]


def test_a_text_is_cut_and_what_is_no_number_is_replaced(connect: Connect) -> None:
    dialect = dialect_with(
        connect("postgresql"),
        "CREATE TABLE t (id integer, a text, b text)",
        "INSERT INTO t VALUES (1, 'longer', '12'), (2, 'ok', 'twelve'), (3, NULL, NULL)",
    )
    dialect.coerce_values("t", "a", "varchar(4)", "CharField", lambda: "")
    dialect.coerce_values("t", "b", "integer", "IntegerField", lambda: 7)
    assert dialect.fetch("SELECT a, b FROM t ORDER BY id") == [
        ("long", "12"),
        ("ok", "7"),
        (None, None),
    ]


@pytest.mark.parametrize(
    ("now", "kind", "field_type", "unfit"),
    [
        ("text", "integer", "IntegerField", ["x", "7000000000"]),
        ("text", "smallint", "PositiveSmallIntegerField", ["-1", "x", "7000000000"]),
        ("text", "varchar(4)", "CharField", ["7000000000"]),
        ("numeric", "smallint", "SmallIntegerField", ["7000000000"]),
        ("bigint", "uuid", "UUIDField", ["1", "-1", "7000000000"]),
    ],
)
def test_what_does_not_fit(
    connect: Connect, now: str, kind: str, field_type: str, unfit: list[str]
) -> None:
    texts = ["1", "-1", "7000000000", *(["x"] if now == "text" else [])]
    rows = ", ".join(f"('{text}')" for text in texts)
    dialect = dialect_with(
        connect("postgresql"),
        f"CREATE TABLE t (a {now})",
        f"INSERT INTO t VALUES {rows}, (NULL)",
    )
    condition = dialect.unfit("t", "a", kind, field_type)
    found = dialect.fetch(f"SELECT a::text FROM t WHERE {condition}")
    assert {text for (text,) in found} == set(unfit)


def test_keys_continue_after_the_highest(connect: Connect) -> None:
    dialect = dialect_with(
        connect("postgresql"),
        "CREATE TABLE t (id integer GENERATED BY DEFAULT AS IDENTITY, a integer)",
        "CREATE TABLE empty (id serial)",
        "INSERT INTO t (id) VALUES (7)",
    )
    for table in ("t", "empty"):
        dialect.set_sequences(table)
        dialect.execute(f"INSERT INTO {table} (id) VALUES (DEFAULT)")
    assert dialect.fetch("SELECT MAX(id) FROM t UNION ALL SELECT id FROM empty") == [(8,), (1,)]


def test_a_deferred_constraint_is_checked_at_once(connect: Connect) -> None:
    connection = connect("postgresql")
    dialect = dialect_with(
        connection,
        'CREATE TABLE t (a integer CONSTRAINT "u%%" UNIQUE DEFERRABLE INITIALLY DEFERRED)',
        "INSERT INTO t VALUES (1)",
    )
    with transaction.atomic(connection.alias):
        dialect.check_unique_now("t")
        with pytest.raises(IntegrityError):
            dialect.execute("INSERT INTO t VALUES (1)")
        transaction.set_rollback(True, connection.alias)


def test_a_table_can_be_altered_once_its_foreign_keys_are_checked(connect: Connect) -> None:
    connection = connect("postgresql")
    dialect = dialect_with(
        connection,
        "CREATE TABLE parent (id integer PRIMARY KEY)",
        "CREATE TABLE child (a integer REFERENCES parent DEFERRABLE INITIALLY DEFERRED)",
        "INSERT INTO parent VALUES (1)",
    )
    alter = "ALTER TABLE child ADD COLUMN b integer"
    with transaction.atomic(connection.alias):
        dialect.execute("INSERT INTO child VALUES (1)")
        with pytest.raises(OperationalError, match="pending trigger"):
            dialect.execute(alter)
        transaction.set_rollback(True, connection.alias)
    with transaction.atomic(connection.alias):
        dialect.execute("INSERT INTO child VALUES (1)")
        dialect.check_foreign_keys_now()
        dialect.execute(alter)


def test_foreign_keys_that_delete_are_dropped_from_both_sides(connect: Connect) -> None:
    dialect = dialect_with(
        connect("postgresql"),
        "CREATE TABLE parent (id integer PRIMARY KEY)",
        'CREATE TABLE t (id integer PRIMARY KEY, a integer CONSTRAINT "up%%" REFERENCES parent)',
        "CREATE TABLE cascading (a integer CONSTRAINT down REFERENCES t ON DELETE CASCADE)",
        "CREATE TABLE protecting (a integer CONSTRAINT other REFERENCES t)",
    )
    keys = dialect.foreign_keys_to_drop("t")
    assert sorted((key.table, key.name) for key in keys) == [
        ("cascading", "down"),
        ("t", '"up%%"'),
    ]
    for key in keys:
        dialect.execute(f"ALTER TABLE {key.table} DROP CONSTRAINT {key.name}")
        dialect.execute(f"ALTER TABLE {key.table} ADD CONSTRAINT {key.name} {key.definition}")
    assert sorted(dialect.foreign_keys_to_drop("t")) == sorted(keys)


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (Coded("sqlstate", "53100"), True),
        (Coded("pgcode", "55P03"), True),
        (Coded("sqlstate", "55000"), False),
        (Coded("sqlstate", "23505"), False),
        (Exception("the connection is closed"), True),
    ],
)
def test_the_code_of_an_error_says_whether_it_passes(cause: Exception, expected: bool) -> None:
    assert is_transient("postgresql", cause) is expected


STATES = "SELECT tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal ORDER BY tgname"
FAIL = "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM 1 / 0; END $$"


def test_triggers_are_off_and_then_as_they_were(connect: Connect) -> None:
    names = ("usual", "off", "replica", "always", '"a%%b"')
    triggers = [
        f"CREATE TRIGGER {name} BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION fail()"
        for name in names
    ]
    dialect = dialect_with(
        connect("postgresql"),
        "CREATE TABLE t (a integer)",
        FAIL,
        *triggers,
        "ALTER TABLE t DISABLE TRIGGER off",
        "ALTER TABLE t ENABLE REPLICA TRIGGER replica",
        "ALTER TABLE t ENABLE ALWAYS TRIGGER always",
    )
    before = dialect.fetch(STATES)
    assert [state for _, state in before] == ["O", "A", "D", "R", "O"]
    with dialect.without_triggers(["t"]) as firing:
        assert firing == []
        assert {state for _, state in dialect.fetch(STATES)} == {"D"}
        dialect.execute("INSERT INTO t VALUES (1)")
    assert dialect.fetch(STATES) == before


def test_triggers_are_as_they_were_after_an_error(connect: Connect) -> None:
    dialect = dialect_with(
        connect("postgresql"),
        "CREATE TABLE t (a integer)",
        FAIL,
        "CREATE TRIGGER usual BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION fail()",
    )
    with pytest.raises(ZeroDivisionError), dialect.without_triggers(["t"]):
        raise ZeroDivisionError
    assert dialect.fetch(STATES) == [("usual", "O")]


def test_triggers_of_partitions_are_off_too(connect: Connect) -> None:
    """Those they have from the partitioned table, and their own."""
    create = "CREATE TRIGGER {} BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION fail()"
    dialect = dialect_with(
        connect("postgresql"),
        "CREATE TABLE t (a integer) PARTITION BY RANGE (a)",
        "CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (10)",
        FAIL,
        create.format("shared", "t"),
        create.format("own", "low"),
    )
    before = dialect.fetch(STATES)
    with dialect.without_triggers(["t"]):
        dialect.execute("INSERT INTO t VALUES (1)")
    assert dialect.fetch(STATES) == before == [("own", "O"), ("shared", "O"), ("shared", "O")]
    with pytest.raises(DatabaseError, match="division by zero"):
        dialect.execute("INSERT INTO t VALUES (1)")


def test_triggers_are_off_where_foreign_keys_wait(connect: Connect) -> None:
    """PostgreSQL alters no table with rows that are still to be checked."""
    connection = connect("postgresql")
    dialect = dialect_with(
        connection,
        "CREATE TABLE parent (id integer PRIMARY KEY)",
        "CREATE TABLE t (a integer REFERENCES parent DEFERRABLE INITIALLY DEFERRED)",
        "INSERT INTO parent VALUES (1)",
        FAIL,
        "CREATE TRIGGER usual BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION fail()",
    )
    with transaction.atomic(connection.alias):
        dialect.execute("INSERT INTO t VALUES (1)")
        with dialect.without_triggers(["t"]):
            dialect.execute("UPDATE t SET a = 1")
            dialect.execute("INSERT INTO t VALUES (1)")
    assert dialect.fetch("SELECT COUNT(*) FROM t") == [(2,)]


def test_a_view_is_refreshed_after_those_that_it_reads(connect: Connect) -> None:
    dialect = dialect_with(
        connect("postgresql"),
        'CREATE TABLE "a%%b" (a integer)',
        "CREATE TABLE other (a integer)",
        'CREATE MATERIALIZED VIEW "z%%" AS SELECT a FROM "a%%b"',
        'CREATE VIEW plain AS SELECT a FROM "z%%"',
        'CREATE MATERIALIZED VIEW b AS SELECT plain.a FROM plain, "a%%b"',
        "CREATE MATERIALIZED VIEW empty AS SELECT a FROM b WITH NO DATA",
        "CREATE MATERIALIZED VIEW unrelated AS SELECT a FROM other",
        'INSERT INTO "a%%b" VALUES (1)',
        "INSERT INTO other VALUES (1)",
    )
    views = dialect.materialized_views(["a%b"])
    assert views == ['"z%%"', "b"]
    for view in views:
        dialect.refresh_view(view)
    assert dialect.fetch("SELECT a FROM b") == [(1,)]
    assert dialect.fetch("SELECT a FROM unrelated") == []
    populated = "SELECT ispopulated FROM pg_matviews WHERE matviewname = 'empty'"
    assert dialect.fetch(populated) == [(False,)]
