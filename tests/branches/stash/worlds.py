"""
What the rows of a walk should be, however often branches are switched.

A world knows every value that was ever seen on any branch. On arrival at a branch, what is known
of its tables and columns has to be there again.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

from django.core.management.base import OutputWrapper
from django.core.management.color import no_style
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.autodetector import MigrationAutodetector

from django_devtools.branches.decision import Workspace
from django_devtools.branches.planning.comparison import Comparison
from django_devtools.branches.planning.policy import Options
from django_devtools.branches.progress import Progress
from django_devtools.branches.schema.dialects import database_id
from django_devtools.branches.schema.introspection import Tables
from django_devtools.branches.sources.graph import Graph
from django_devtools.branches.sources.loader import Code, Source
from django_devtools.branches.sources.provenance import Origin, Past, Provenance, Trace
from django_devtools.branches.sources.rows import read_rows
from django_devtools.branches.sources.snapshot_file import SnapshotFile
from django_devtools.branches.sources.target import Target
from django_devtools.branches.stash.entries import Entry
from django_devtools.branches.switch import Switch
from tests.branches.stash.histories import DEFAULTS, Id, Line, Walk

Pk = tuple[Any, ...]
Kind = tuple[str, bool]
"""The type of a column, and whether it takes NULL."""


class HistorySwitch(Switch):
    """A switch between lines of a walk, whose migrations are in no files and in no git."""

    def __init__(
        self, connection: BaseDatabaseWrapper, walk: Walk, line: Line, directory: Path
    ) -> None:
        self.walk, self.line = walk, line
        workspace = Workspace(
            None, SnapshotFile(directory / "snapshots.json", directory), Code({}, {})
        )
        super().__init__(connection, workspace, Options())

    def _compare(self) -> Comparison:
        rows = read_rows(self.connection)
        wanted = self.line.migrations
        sources = {key: Source(f"{key[0]}.migrations.{key[1]}", b"", "file") for key in wanted}
        code = Code(dict(wanted), {}, set(), sources)
        history = Provenance(
            None, self.workspace.snapshot_file.read(), database_id(self.connection), code, {}
        )
        target = Target(self.line.name, Past(self.line.name, None), code)
        known = {k: found for line in self.walk.lines for k, found in line.migrations.items()}
        return Comparison(
            self.connection,
            rows,
            history,
            target,
            traces={key: Trace(Origin.OTHER) for key in rows if key not in wanted},
            held={key: known[key] for key in rows},
        )


@dataclass(frozen=True)
class Column:
    name: str
    id: Id
    kind: Kind
    target: Id | None
    """The table that it refers to."""


@dataclass(frozen=True)
class Table:
    name: str
    id: Id
    columns: list[Column]
    key: list[int]
    """Which of the columns are the primary key."""


Rows = dict[Id, dict[Pk, dict[Id, Any]]]


def tables_of(line: Line, connection: BaseDatabaseWrapper) -> Iterator[Table]:
    """The tables that a branch should have, without generated columns."""
    ids = {}
    for model in line.state.apps.get_models(include_auto_created=True):
        ids[model] = _id(line, model)
    for model, table_id in ids.items():
        columns = []
        one: Any
        for position, one in enumerate(model._meta.local_concrete_fields):
            if not one.generated:
                kind = str(one.db_parameters(connection)["type"])
                target = ids[one.target_field.model] if one.is_relation else None
                own = f"{table_id}.{position}"
                if not model._meta.auto_created:
                    own = line.ids[model._meta.app_label, str(model._meta.model_name), one.name]
                columns.append(Column(one.column, own, (kind, one.null), target))
        keys = [one.column for one in model._meta.pk_fields]
        key = [position for position, one in enumerate(columns) if one.name in keys]
        yield Table(model._meta.db_table, table_id, columns, key)


def _id(line: Line, model: Any) -> Id:
    owner = model._meta.auto_created
    if owner:
        name = next(f.name for f in owner._meta.many_to_many if f.remote_field.through is model)
        return line.ids[owner._meta.app_label, owner._meta.model_name, name]
    return line.ids[model._meta.app_label, model._meta.model_name, ""]


def read(connection: BaseDatabaseWrapper, tables: list[Table]) -> Rows:
    """All rows of ``tables``."""
    quote = connection.ops.quote_name
    found: Rows = {}
    with connection.cursor() as cursor:
        for table in tables:
            names = ", ".join(quote(column.name) for column in table.columns)
            cursor.execute(f"SELECT {names} FROM {quote(table.name)}")
            rows = found[table.id] = {}
            for row in cursor.fetchall():
                values = [bytes(v) if isinstance(v, memoryview) else v for v in row]
                cells = {c.id: v for c, v in zip(table.columns, values, strict=True)}
                rows[tuple(values[position] for position in table.key)] = cells
    return found


Schema = dict[str, Any]


def schema(connection: BaseDatabaseWrapper) -> Schema:
    """The tables of the branches, with their columns and constraints."""
    found: Schema = {}
    tables = Tables(connection)
    facts = ("columns", "primary_key", "unique", "foreign_key", "check", "index")
    for table in tables.names:
        if not table.startswith("django_"):
            constraints = _constraints(connection, table)
            # Django's own names carry a hash of the name that the column had at the time.
            found[table] = (
                tables.columns(table),
                sorted(
                    (name if _is_named(name) else "", *(str(one[f]) for f in facts))
                    for name, one in constraints.items()
                ),
            )
    return found


def _constraints(connection: BaseDatabaseWrapper, table: str) -> dict[str, Any]:
    with connection.cursor() as cursor:
        found: dict[str, Any] = connection.introspection.get_constraints(cursor, table)
    if connection.vendor != "mysql":
        return found
    # MySQL needs an index for each foreign key, and takes any. When Django removes the one that it
    # took, it makes another (`_create_missing_fk_index`), whose name is not that of the key.
    keys = [one["columns"] for one in found.values() if one["foreign_key"]]
    return {
        name: {**one, "index": one["index"] and not one["foreign_key"]}
        for name, one in found.items()
        if one["foreign_key"] or one["unique"] or one["columns"] not in keys or _is_named(name)
    }


def _is_named(name: str) -> bool:
    """Whether a migration names a constraint, and not Django."""
    return name.startswith("named_")


def changes(switch: HistorySwitch) -> Any:
    """What makemigrations would find between what is applied and the models of the branch."""
    graph = Graph(switch.decision.comparison.held, list(switch.decision.comparison.rows))
    applied = graph.state(graph.ordered(graph.applied_nodes()))
    wanted = switch.line.state.clone()
    for model in wanted.models.values():
        # As it comes from models; renamed fields make lists of it, which Django 5.2 chokes on.
        if together := model.options.get("unique_together"):
            model.options["unique_together"] = {tuple(names) for names in together}
    return MigrationAutodetector(applied, wanted).changes(graph=graph.graph)


@dataclass
class World:
    """A database that goes from branch to branch of a walk."""

    connection: BaseDatabaseWrapper
    walk: Walk
    directory: Path
    random: Random = field(init=False)
    numbers: Iterator[int] = field(default_factory=lambda: count(100))
    line: Line = field(init=False)
    rows: dict[Id, dict[Pk, dict[Id, dict[Kind, Any]]]] = field(default_factory=dict)
    """Every value that is known, by the types that its column had when it was seen."""
    edited: dict[tuple[Id, Pk, Id], Any] = field(default_factory=dict)
    """Values that were changed where their column had another type."""
    defaults: dict[tuple[Id, Kind], Any] = field(default_factory=dict)
    """What rows got that were made where a column was not."""
    filled: set[Id] = field(default_factory=set)
    """The tables and columns that rows and values were put into."""
    schemas: dict[str, Schema] = field(default_factory=dict)
    """What each branch's migrations make of an empty database."""
    events: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = Random(self.walk.seed)

    def go(self, name: str) -> HistorySwitch:
        """Switch to a branch."""
        line = self.walk.line(name)
        self.events.append(f"-> {name}")
        switch = HistorySwitch(self.connection, self.walk, line, self.directory)
        switch.check()
        progress = Progress(OutputWrapper(io.StringIO()), no_style(), 0)
        report = switch.run(progress, interactive=False)
        self.line = line
        self.tables = [*tables_of(line, self.connection)]
        self.notes = report.notes
        return switch

    # What should be there

    def arrive(self, was_edited: bool = False) -> None:
        """Compare what is there with what is known, and remember what is new."""
        seen = read(self.connection, self.tables)
        switch = HistorySwitch(self.connection, self.walk, self.line, self.directory)
        assert not switch
        assert not changes(switch)
        assert schema(self.connection) == self.schemas[self.line.name]
        left = 0
        for table in self.tables:
            left += self._compare(table, seen, switch)
        if was_edited:
            # Values of rows that were deleted are reported, too.
            assert self.notes or not left
        else:
            assert not left
            assert not self.notes
            entries = switch.decision.outlook.stash.entries()
            own = [entry for entry in entries if entry.branch == self.line.name]
            assert not own
            assert switch.decision.outlook.stash.exists() is bool(entries)
        self.connection.check_constraints()
        self._remember(seen)

    def _compare(self, table: Table, seen: Rows, switch: Switch) -> int:
        known, found = self.rows.get(table.id), seen[table.id]
        left = 0
        if known is None:
            return 0
        if table.id not in self.walk.lines[0].names.followers:
            assert found.keys() <= known.keys(), (table, "has new rows")
        for key in known.keys() - found.keys():
            gone = [
                column.id
                for column in table.columns
                if column.target and self._is_orphan(known[key], column, seen)
            ]
            assert gone, (table, key, "is lost")
            assert self._is_in_stash(switch, table, key, None), (table, key, "is nowhere")
            left += 1
            del known[key]
        for key in known.keys() & found.keys():
            for column in table.columns:
                value, values = found[key][column.id], known[key].get(column.id, {})
                where = (self.line.name, table.name, key, column, value, values)
                if column.kind in values:
                    expected = values[column.kind]
                    if _same(expected, value):
                        continue
                    assert column.target, where
                    assert self._is_orphan(known[key], column, seen), where
                    assert value is None, where
                    assert self._is_in_stash(switch, table, key, column.name), where
                    left += 1
                elif (table.id, key, column.id) in self.edited:
                    edited = self.edited[table.id, key, column.id]
                    assert _fits(edited, value), (where, edited)
                elif not values:
                    default = self.defaults.setdefault((column.id, column.kind), value)
                    assert _same(default, value), (where, default)
        return left

    def _is_orphan(self, cells: dict[Id, dict[Kind, Any]], column: Column, seen: Rows) -> bool:
        values = [v for v in cells.get(column.id, {}).values() if v is not None]
        return any((value,) not in seen[str(column.target)] for value in values)

    def _is_in_stash(self, switch: Switch, table: Table, key: Pk, column: str | None) -> bool:
        def has(entry: Entry) -> bool:
            if entry.table != table.name or entry.is_table is not (column is None):
                return False
            if column and column not in entry.columns:
                return False
            names, rows = switch.decision.outlook.stash.rows(entry, 1000)
            positions = [names.index(table.columns[p].name) for p in table.key]
            return any(tuple(row[position] for position in positions) == key for row in rows)

        return any(map(has, switch.decision.outlook.stash.entries()))

    def _remember(self, seen: Rows) -> None:
        for table in self.tables:
            known = self.rows.setdefault(table.id, {})
            for key in known.keys() - seen[table.id].keys():
                del known[key]
            for key, cells in seen[table.id].items():
                row = known.setdefault(key, {})
                for column in table.columns:
                    row.setdefault(column.id, {})[column.kind] = cells[column.id]
                    self.edited.pop((table.id, key, column.id), None)

    # What is done to it

    def fill(self) -> None:
        """Put rows into the tables that are new, and values into the columns that are."""
        with self._changing():
            for model in self._models():
                if _id(self.line, model) not in self.filled:
                    for _ in range(self.random.choice([0, 1, 2, 3, 3, 4])):
                        self._insert(model)
                    if self.random.randrange(6) == 0:
                        self._delete(model)
                else:
                    for one in self._fields(model):
                        if self._column(model, one) not in self.filled:
                            for row in self._all(model):
                                self._update(model, row, one)
                for many in model._meta.local_many_to_many:
                    if _id(self.line, many.remote_field.through) not in self.filled:
                        for _ in range(4):
                            self._link(many)
            for table in self.tables:
                self.filled |= {table.id, *(column.id for column in table.columns)}

    def edit(self) -> None:
        """Change some rows."""
        with self._changing():
            known = self._models()
            for model in self.random.choices(known, k=5) if known else []:
                rows, fields = [*self._all(model)], [*self._fields(model)]
                way = self.random.choice(["insert", "delete", "update", "update", "link"])
                if way == "insert":
                    self._insert(model)
                elif way == "delete":
                    self._delete(model)
                elif way == "update" and rows and fields:
                    self._update(model, self.random.choice(rows), self.random.choice(fields))
                elif way == "link" and model._meta.local_many_to_many:
                    many = self.random.choice(model._meta.local_many_to_many)
                    self._link(many)
                    if self.random.randrange(2):
                        self._delete(many.remote_field.through)

    def _changing(self) -> "_Changing":
        return _Changing(self)

    def _models(self) -> list[Any]:
        """Those of the branch, after what they need."""
        result: list[Any] = []

        def add(model: Any) -> None:
            for one in model._meta.local_concrete_fields:
                if one.is_relation and not one.null and one.related_model is not model:
                    add(one.related_model)
            if model not in result:
                result.append(model)

        for model in self.line.state.apps.get_models():
            add(model)
        return result

    def _column(self, model: Any, one: Any) -> Id:
        return self.line.ids[model._meta.app_label, model._meta.model_name, one.name]

    def _fields(self, model: Any) -> Iterator[Any]:
        """The fields whose values can be changed."""
        keys = {one.name for one in model._meta.pk_fields}
        for one in model._meta.local_concrete_fields:
            if not one.generated and one.name not in keys and one.name != "pk":
                yield one

    def _all(self, model: Any) -> Any:
        return model._base_manager.using(self.connection.alias).order_by("pk")

    def _insert(self, model: Any) -> None:
        values: dict[str, Any] = {}
        number = next(self.numbers)
        for one in model._meta.concrete_fields:
            if one.generated or (one.is_relation and one.remote_field.parent_link):
                continue
            if isinstance(one, models.AutoField | models.BigAutoField):
                values[one.name] = number
            elif one.has_db_default() and self.random.randrange(2):
                continue
            else:
                try:
                    values[one.attname] = self._value(model, one)
                except LookupError:
                    return
        row = model(**values)
        row.save(using=self.connection.alias, force_insert=True)
        self.events.append(f"insert {model.__name__} {row.pk} {values}")

    def _update(self, model: Any, row: Any, one: Any) -> None:
        try:
            value = self._value(model, one)
        except LookupError:
            return
        self._all(model).filter(pk=row.pk).update(**{one.name: value})
        self.events.append(f"update {model.__name__} {row.pk} {one.name}={value!r}")

    def _delete(self, model: Any) -> None:
        if rows := [*self._all(model)]:
            row = self.random.choice(rows)
            self.events.append(f"delete {model.__name__} {row.pk}")
            row.delete(using=self.connection.alias)

    def _link(self, many: Any) -> None:
        through = many.remote_field.through
        _, one, other = through._meta.local_fields
        pairs = [
            (left.pk, right.pk)
            for left in self._all(one.related_model)
            for right in self._all(other.related_model)
        ]
        taken = set(self._all(through).values_list(one.attname, other.attname))
        if free := [pair for pair in pairs if pair not in taken]:
            left, right = self.random.choice(free)
            row = through(id=next(self.numbers), **{one.attname: left, other.attname: right})
            row.save(using=self.connection.alias, force_insert=True)
            self.events.append(f"link {through.__name__} {row.pk} {left} {right}")

    def _value(self, model: Any, one: Any) -> Any:
        """A value for a field. Raises LookupError where there is none."""
        if one.null and self.random.randrange(4) == 0:
            return None
        if one.is_relation:
            keys = [row.pk for row in self._all(one.related_model)]
            if one.unique:
                taken = set(self._all(one.model).values_list(one.attname, flat=True))
                keys = [key for key in keys if key not in taken]
            if keys:
                return self.random.choice(keys)
            if one.null:
                return None
            raise LookupError(one.name)
        named = {n for group in one.model._meta.unique_together for n in group}
        named |= {n for c in one.model._meta.constraints for n in getattr(c, "fields", ())}
        names, column = self.walk.lines[0].names, self._column(one.model, one)
        # Here, or on the other branch.
        is_unique = one.unique or one.primary_key or one.name in named or column in names.unique
        is_altered = column in names.altered
        return _value(one, next(self.numbers), self.random, is_unique, is_altered)


class _Changing:
    """Finds out which values change meanwhile: from now on, those are the right ones."""

    def __init__(self, world: World) -> None:
        self.world = world

    def __enter__(self) -> None:
        self.before = read(self.world.connection, self.world.tables)

    def __exit__(self, *exception: object) -> None:
        world = self.world
        if exception[0]:
            return
        set_sequences(world)
        after = read(world.connection, world.tables)
        for table in world.tables:
            for key, cells in after[table.id].items():
                old = self.before[table.id].get(key)
                known = world.rows.get(table.id, {}).get(key, {})
                for column in table.columns:
                    value = cells[column.id]
                    if old is None or not _same(old[column.id], value):
                        others = known.get(column.id, {}).keys() - {column.kind}
                        known[column.id] = {}
                        for _ in others:
                            world.edited[table.id, key, column.id] = value
        edited = dict(world.edited)
        world._remember(after)
        world.edited = edited


def set_sequences(world: World) -> None:
    """Keys were given explicitly: let the database know."""
    everything = world.line.state.apps.get_models(include_auto_created=True)
    statements = world.connection.ops.sequence_reset_sql(no_style(), everything)
    with world.connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


TEXTS = ["a", "Zoë ☃", "x'%s\"\\", "naïve\n", "🐍 "]
VALUES: dict[str, Callable[[Random], Any]] = {
    "FloatField": lambda random: random.choice([-1e300, 0.1, -0.5, 3.0]),
    "BooleanField": lambda random: random.choice([True, False]),
    "DurationField": lambda random: DEFAULTS["DurationField"] * random.randint(-9, 9),
    "BinaryField": lambda random: random.choice([b"", b"\x00\xff'%", b"\xde\xad\xbe\xef"]),
    "JSONField": lambda random: random.choice([{"a": [1, None, "☃"]}, [], "", 0.1, {"%s": {}}]),
    "GenericIPAddressField": lambda random: random.choice(["::1", "10.0.0.1", "2001:db8::7"]),
    "TimeField": lambda random: DEFAULTS["TimeField"].replace(microsecond=random.randrange(10**6)),
    "DateField": lambda random: DEFAULTS["DateField"].replace(year=random.randint(1000, 9999)),
}
LARGEST = {"SmallIntegerField": 2**15, "IntegerField": 2**31, "BigIntegerField": 2**63}


def _value(one: Any, number: int, random: Random, is_unique: bool, is_altered: bool) -> Any:
    kind = one.get_internal_type()
    if kind in VALUES:
        if is_altered and kind == "FloatField":
            return number + 0.5
        return VALUES[kind](random)
    if kind in ("CharField", "TextField"):
        if is_altered:
            return str(number)
        if not is_unique and random.randrange(5) == 0:
            return ""
        return f"{random.choice(TEXTS)}{number}"[:20] * (5 if kind == "TextField" else 1)
    if kind in LARGEST:
        most = LARGEST["SmallIntegerField"] if is_altered else LARGEST[kind]
        return random.choice([number, -number, most - number, number - most])
    if kind == "UUIDField":
        return UUID(int=number * 2**100 + number)
    if kind == "DateTimeField":
        start = DEFAULTS["DateTimeField"]
        return start.replace(year=random.randint(1000, 9998), microsecond=number)
    return DEFAULTS["DecimalField"] * random.randint(-(10**4), 10**4)


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def _fits(edited: Any, value: Any) -> bool:
    """Whether a value is what was put in, as far as it goes into a column of another type."""
    if edited is None or value is None:
        return True
    if isinstance(edited, str) and isinstance(value, str):
        return edited.startswith(value)
    try:
        return abs(float(edited) - float(value)) <= 1
    except (TypeError, ValueError):
        return True
