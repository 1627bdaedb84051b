"""
Random trees of branches, up to four deep, and trips over them.

A trip first visits some lines and writes rows there. What follows is a way without any writing:
wherever it arrives, the rows have to be those of the direct way there.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from inspect import getclosurevars
from itertools import count, takewhile
from random import Random
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.operations import AlterField, RunPython
from django.db.migrations.state import ModelState, ProjectState
from django.db.utils import Error

from django_devtools.branches.errors import DevtoolsError
from tests.branches.stash.stacks import APP, Line, Rows, Text, World

DEPTH = 4
TYPES = {
    "IntegerField": "models.IntegerField({})",
    "BigIntegerField": "models.BigIntegerField({})",
    "CharField": "models.CharField(max_length={length}, {})",
}
DEFAULTS = {
    "IntegerField": "default=7",
    "BigIntegerField": "default=7",
    "CharField": "default='7'",
}
REFUSALS = (DevtoolsError, Error)
"""What a switch may end with where it can't go on."""

ADD = """
def add(model, field, number):
    def change(apps, editor):
        rows = apps.get_model("shop", model).objects.using(editor.connection.alias)
        rows.exclude(**{field: None}).update(**{field: models.F(field) + number})
    return change
"""


@dataclass(frozen=True)
class Leg:
    """A line to go to, and whether the switch is killed there and has to be run again."""

    line: Line
    killed_after: int | None = None
    """How many statements it has run by then."""


@dataclass(frozen=True)
class Trip:
    """Visits that write, and a way without any writing."""

    visits: list[Line]
    way: list[Leg]
    seed: int

    def __repr__(self) -> str:
        lines = {str(line): None for line in (*self.visits, *(leg.line for leg in self.way))}
        visits = ", ".join(map(_title, self.visits))
        way = ", ".join(
            _title(leg.line) + (f" (killed after {leg.killed_after})" if leg.killed_after else "")
            for leg in self.way
        )
        return "\n".join(["", *lines, f"visits: {visits}", f"way: {way}", f"seed: {self.seed}"])


def _title(line: Line) -> str:
    return f"{line.branch}@{len(line.texts)}"


# Lines


@dataclass
class Growth:
    """Draws migrations, with names that no line has yet."""

    random: Random
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def grow(self, line: Line, creates: bool = False) -> Line:
        """A line with one more migration, named for its branch, which may create a model."""
        name = f"{line.branch}{next(self.numbers)}"
        if creates:
            return line.add(name, self._create([*line.state.models.values()]))
        operation, functions = self._operation(line)
        return line.add(name, operation, functions=functions)

    def amend(self, line: Line) -> Line:
        """A line with another operation in its last migration; the same line if that has rows."""
        operation = line.texts[-1].operations[0]
        if "CreateModel" in operation or "DeleteModel" in operation or "ManyToMany" in operation:
            return line
        operation, functions = self._operation(line.back(), creates=False)
        return line.amended(operation, functions=functions)

    def _operation(self, line: Line, creates: bool = True) -> tuple[str, str]:
        models = [model for key, model in line.state.models.items() if key[0] == APP]
        ways: list[Callable[[], str]] = []
        if creates or not models:
            ways.append(lambda: self._create(models))
        functions = ""
        if models:
            # Rather one that the branches below have made.
            model = self.random.choice([models[-1], models[-1], *models])
            ways += self._of_model(line, model, models, creates)
        found = self.random.choice(ways)()
        if "RunPython" in found:
            functions = ADD
        return found, functions

    def _is_heads(self) -> bool:
        return self.random.random() < 0.5

    def _create(self, models: list[ModelState]) -> str:
        name = f"model{next(self.numbers)}"
        many = self.random.randint(1, 3)
        fields = [
            "('id', models.AutoField(primary_key=True))",
            *(f"('{self._name()}', {self._field(models)})" for _ in range(many)),
        ]
        return f"migrations.CreateModel('{name}', [{', '.join(fields)}])"

    def _name(self) -> str:
        return f"f{next(self.numbers)}"

    def _field(self, models: list[ModelState]) -> str:
        if models and self.random.randint(0, 4) == 0:
            to = self.random.choice(models).name_lower
            return f"models.ForeignKey('shop.{to}', models.CASCADE, null=True, related_name='+')"
        return self._plain(self.random.choice([*TYPES]), self._is_heads())

    def _plain(self, kind: str, null: bool, column: str = "") -> str:
        options = ["null=True" if null else DEFAULTS[kind], *([column] if column else [])]
        length = self.random.choice([10, 20, 30])
        return TYPES[kind].format(", ".join(options), length=length)

    def _of_model(
        self, line: Line, model: ModelState, models: list[ModelState], creates: bool
    ) -> Iterator[Callable[[], str]]:
        name = model.name_lower
        free = [*_free(model)]
        plain = [one for one in free if model.fields[one].get_internal_type() in TYPES]
        numbers = [one for one in plain if model.fields[one].get_internal_type() != "CharField"]
        yield lambda: f"migrations.AddField('{name}', '{self._name()}', {self._field(models)})"
        yield lambda: f"migrations.AlterModelTable('{name}', 'table{next(self.numbers)}')"
        if not _is_linked(model, models):
            yield lambda: f"migrations.RenameModel('{name}', 'model{next(self.numbers)}')"
        if creates:
            yield lambda: self._many(name, models)
            if not _is_referred_to(model, models):
                yield lambda: f"migrations.DeleteModel('{name}')"
        if free:
            yield from self._of_field(name, self.random.choice(free))
        if plain:
            yield from [partial(self._alter, model, self.random.choice(plain))] * 3
        if numbers:
            yield partial(_add_to, name, self.random.choice(numbers))

    def _of_field(self, name: str, one: str) -> Iterator[Callable[[], str]]:
        yield lambda: f"migrations.RenameField('{name}', '{one}', '{self._name()}')"
        yield lambda: f"migrations.RemoveField('{name}', '{one}')"
        yield lambda: self._index(name, one)

    def _many(self, name: str, models: list[ModelState]) -> str:
        to = self.random.choice(models).name_lower
        many = f"models.ManyToManyField('shop.{to}', related_name='+')"
        return f"migrations.AddField('{name}', '{self._name()}', {many})"

    def _index(self, name: str, one: str) -> str:
        number = next(self.numbers)
        if self._is_heads():
            index = f"models.Index(fields=['{one}'], name='named_{number}')"
            return f"migrations.AddIndex('{name}', {index})"
        fields = f"fields=['{one}', 'id']"
        constraint = f"models.UniqueConstraint({fields}, name='named_{number}')"
        return f"migrations.AddConstraint('{name}', {constraint})"

    def _alter(self, model: ModelState, one: str) -> str:
        old: Any = model.fields[one]
        kind, column = old.get_internal_type(), ""
        null = old.null
        way = self.random.choice(["null", "type", "type", "column"])
        if way == "null":
            null = not null
        elif way == "type":
            # A text that is no number could not become one.
            kinds = ["CharField"] if kind == "CharField" else [*TYPES]
            kind = self.random.choice(kinds)
        else:
            column = f"db_column='c{next(self.numbers)}'"
        if old.db_column and not column:
            column = f"db_column='{old.db_column}'"
        new = self._plain(kind, null, column)
        return f"migrations.AlterField('{model.name_lower}', '{one}', {new})"


def _add_to(name: str, one: str) -> str:
    there, back = (f"add('{name}', '{one}', {number})" for number in (1000, -1000))
    return f"migrations.RunPython({there}, {back})"


def _free(model: ModelState) -> Iterator[str]:
    """The fields that neither an index nor a constraint names."""
    named = _named(model)
    for name, one in model.fields.items():
        if not one.primary_key and not one.many_to_many and name not in named:
            yield name


def _named(model: ModelState) -> set[str]:
    """The fields that an index or a constraint names."""
    options = (*model.options.get("indexes", ()), *model.options.get("constraints", ()))
    return {name for option in options for name in option.fields}


def _is_referred_to(model: ModelState, models: list[ModelState]) -> bool:
    others = [other for other in models if other is not model]
    return any(_refers_to(one, model) for other in others for one in other.fields.values())


def _is_linked(model: ModelState, models: list[ModelState]) -> bool:
    """Whether it has many-to-many fields: Django does not rename all of their columns back."""
    return any(
        one.many_to_many and (other is model or _refers_to(one, model))
        for other in models
        for one in other.fields.values()
    )


def _refers_to(one: Any, model: ModelState) -> bool:
    label = f"{APP}.{model.name_lower}"
    return bool(one.is_relation and str(one.remote_field.model).lower() == label)


def draw_trip(number: int) -> Trip:
    """The trip of that number."""
    random = Random(number)
    growth = Growth(random)
    main = Line("main")
    for _ in range(random.randint(1, 2)):
        main = growth.grow(main)
    lines, depths = [main], [1]
    for name in "abcd"[: random.randint(2, 4)]:
        possible = [at for at, depth in enumerate(depths) if depth < DEPTH]
        low = random.choice([possible[-1], *possible])
        line = lines[low].fork(name)
        if name == "a" or random.randrange(3) == 0:
            line = growth.grow(line, creates=True)
        for _ in range(random.randint(1, 2)):
            line = growth.grow(line)
        lines.append(line)
        depths.append(depths[low] + 1)
    others = random.choices(lines, k=random.randint(1, 3))
    # Some have more commits when they are seen again.
    seen = [line.back(random.randrange(len(line.texts))) for line in others]
    visits = _only_growing([*seen, random.choice([lines[-1], *lines[1:]])])
    tips = {line.branch: line for line in lines}
    if random.randrange(4) == 0:
        line = random.choice([line for line in lines if not _is_base(line, lines)])
        tips[line.branch] = growth.amend(line)
    # Drawn on its own, so that the rest of a trip is the same whatever is drawn here.
    tips |= _meanwhile(growth, tips, Random(f"{number} meanwhile"))
    way = random.choices([*tips.values()], k=random.randint(2, 4))
    way.insert(0, random.choice([main, *tips.values()]))
    killed = [random.choice([None, None, None, random.randint(1, 80)]) for _ in way]
    return Trip(visits, [Leg(*leg) for leg in zip(way, killed, strict=True)], number)


def _meanwhile(growth: Growth, tips: dict[str, Line], random: Random) -> dict[str, Line]:
    """What main has become while others were checked out, and a branch that was rebased on it."""
    main = tips["main"]
    branch = random.choice([line for line in tips.values() if line.branch != "main"])
    own = len(branch.texts) - _common(main, branch)
    has_code = any(text.functions for text in branch.texts)
    ways: list[Callable[[], Line]] = [lambda: main, lambda: main, lambda: growth.grow(main)]
    if not has_code:
        squashed = main.squashed("0001_squashed", *_operations(main.texts))
        ways += [lambda: squashed, squashed.cleaned, lambda: growth.grow(squashed.cleaned())]
    if own and not has_code and _common(main, branch) == len(main.texts):
        ways.append(lambda: main.add("merged", *_operations(branch.texts[-own:])))
    found = random.choice(ways)()
    rebased = branch.onto(found, own) if own and random.randrange(2) == 0 else branch
    is_merged = found.texts[-1].name.endswith("_merged")
    is_rebased = _is_possible(rebased) and not is_merged
    return {"main": found, branch.branch: rebased if is_rebased else branch}


def _common(one: Line, other: Line) -> int:
    """How many migrations two branches begin with that are the same."""
    pairs = zip(one.texts, other.texts, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _operations(texts: Iterable[Text]) -> list[str]:
    return [operation for text in texts for operation in text.operations]


def _is_possible(line: Line) -> bool:
    """Whether its migrations can be applied: what one needs may be gone on the new base."""
    state = ProjectState()
    try:
        for migration in line.code.migrations.values():
            for operation in migration.operations:
                if isinstance(operation, AlterField):
                    # The state takes any field for one that is there.
                    state.models[APP, operation.model_name_lower].get_field(operation.name)
                if isinstance(operation, RunPython):
                    names = getclosurevars(operation.code).nonlocals
                    state.models[APP, names["model"]].get_field(names["field"])
                operation.state_forwards(APP, state)
                assert all(_named(one) <= one.fields.keys() for one in state.models.values())
            # What is only gone for a while is gone in between.
            assert state.clone().apps
    except (AssertionError, FieldDoesNotExist, KeyError, ValueError):
        return False
    return True


def _is_base(line: Line, lines: list[Line]) -> bool:
    """Whether others are built on a line: these would have to be rebased."""
    return any(
        other is not line and other.texts[: len(line.texts)] == line.texts for other in lines
    )


def shorter(trip: Trip) -> Iterator[Trip]:
    """Trips with one leg or one visit less."""
    for at, leg in enumerate(trip.way):
        yield replace(trip, way=[*trip.way[:at], *trip.way[at + 1 :]])
        if leg.killed_after is not None:
            legs = [*trip.way[:at], Leg(leg.line), *trip.way[at + 1 :]]
            yield replace(trip, way=legs)
    for at in range(len(trip.visits)):
        yield replace(trip, visits=[*trip.visits[:at], *trip.visits[at + 1 :]])


def _only_growing(visits: list[Line]) -> list[Line]:
    known: dict[str, Line] = {}
    found = []
    for line in visits:
        last = known.get(line.branch, line)
        known[line.branch] = max(line, last, key=lambda one: len(one.texts))
        found.append(known[line.branch])
    return found


# On the way


@dataclass(frozen=True)
class Arrival:
    """What a line has after the direct way."""

    line: Line
    rows: Rows
    stash: dict[str, list[str]]
    """By table, the columns of each entry."""

    notes: str
    """What was said on arrival."""

    def differences(self, found: Rows) -> list[str]:
        """The tables that have other rows than those found on another way."""
        others = [table for table, rows in self.rows.items() if found[table] != rows]
        if not any(text.name.endswith("_merged") for text in self.line.texts):
            return others
        # Of a branch that was merged as one migration, the database may have had only a part, and
        # nobody can tell that from a namesake. Its rows wait, and come on a way over the rest.
        return [table for table in others if not self._waits(table)]

    def _waits(self, table: str) -> bool:
        """Whether rows or values of a table may be in the stash."""
        # A table that the merged migration renames is not found, and so not named.
        is_found = re.search(rf"\b{table}\b", self.notes)
        return bool(is_found or (self.stash and not self.rows[table]))


@dataclass
class Traveller:
    """Makes a trip in a database, and the direct ways to compare it with."""

    world: World
    trip: Trip
    written: list[tuple[str, ...]] = field(default_factory=list)
    """What was written on each visit."""

    @property
    def connection(self) -> BaseDatabaseWrapper:
        return self.world.connection

    def visit(self) -> None:
        """Begin anew, and visit the lines that are written on."""
        self.world.clear()
        known = [*self.written]
        random, numbers = Random(self.trip.seed), count(1)
        for at, line in enumerate(self.trip.visits):
            self.world.go(line)
            if at < len(known):
                self.world.write(*known[at])
            else:
                self.written.append(self._fill(line, random, numbers))

    def _fill(self, line: Line, random: Random, numbers: Iterator[int]) -> tuple[str, ...]:
        done: list[str] = []

        def write(statement: str) -> None:
            self.world.write(statement)
            done.append(statement)

        models = [*line.state.apps.get_models(include_auto_created=True)]
        for model in sorted(models, key=lambda one: bool(one._meta.auto_created)):
            for _ in range(random.choice([1, 2])):
                if values := self._values(model, random, numbers):
                    columns = ", ".join(values)
                    table = model._meta.db_table
                    write(f"INSERT INTO {table} ({columns}) VALUES ({', '.join(values.values())})")
            changeable = [one for one in model._meta.local_fields if not one.is_relation]
            one: Any = random.choice(changeable)
            if not one.primary_key:
                value = _literal(one, random, numbers)
                where = f"id = {random.choice(self._keys(model))}"
                write(f"UPDATE {model._meta.db_table} SET {one.column} = {value} WHERE {where}")
        return tuple(done)

    def _values(self, model: Any, random: Random, numbers: Iterator[int]) -> dict[str, str]:
        """A row for a table, by column; nothing where a row that it needs is missing."""
        values = {}
        for one in model._meta.local_fields:
            if one.is_relation:
                keys = self._keys(one.related_model)
                if not keys and not one.null:
                    return {}
                choices = [*keys, *(["NULL"] if one.null else [])]
                values[one.column] = str(random.choice(choices))
            else:
                values[one.column] = _literal(one, random, numbers)
        if model._meta.auto_created and self._has(model, values):
            return {}
        return values

    def _has(self, model: Any, values: dict[str, str]) -> bool:
        where = " AND ".join(f"{name} = {values[name]}" for name in values if name != "id")
        return bool(self._read(f"SELECT 1 FROM {model._meta.db_table} WHERE {where}"))

    def _keys(self, model: Any) -> list[int]:
        rows = self._read(f"SELECT id FROM {model._meta.db_table} ORDER BY id")
        return [key for (key,) in rows]

    def _read(self, statement: str) -> list[Any]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def go(self, leg: Leg) -> None:
        """Go along a leg; a switch that is killed is run again."""
        if leg.killed_after is None:
            self.world.go(leg.line)
            return
        try:
            with killed_after(self.connection, leg.killed_after):
                self.world.go(leg.line)
        except (Killed, *REFUSALS):
            # On SQLite, Django checks constraints even then, and may raise what it finds instead.
            self.world.reconnect()
            self.world.go(leg.line)

    def direct(self, line: Line) -> "Arrival":
        """How one arrives by the direct way."""
        self.visit()
        self.world.go(line)
        self.world.assert_in_step()
        notes = "\n".join(self.world.notes)
        return Arrival(line, self.world.rows(), self.world.stash(), notes)


def _literal(one: Any, random: Random, numbers: Iterator[int]) -> str:
    number = next(numbers)
    if one.primary_key:
        return str(number)
    if one.null and random.randrange(3) == 0:
        return "NULL"
    return f"'{number}'" if one.get_internal_type() == "CharField" else str(number)


class Killed(BaseException):
    """Stands for Ctrl-C."""


@contextmanager
def killed_after(connection: BaseDatabaseWrapper, statements: int) -> Iterator[None]:
    """Raise Killed instead of executing one statement."""
    left = count(statements, -1)

    def execute(run: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        if next(left) == 0:
            raise Killed
        return run(sql, params, many, context)

    with connection.execute_wrapper(execute):
        yield
