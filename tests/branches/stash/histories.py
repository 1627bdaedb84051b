"""
Random schema histories for the stash: migrations in memory, on a base and two branches of it.

Tables and columns have identities that stay when they are renamed, so that what a row holds can
be followed from branch to branch.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from itertools import count
from typing import Any
from uuid import UUID

from django.db import migrations, models
from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.models import IndexOperation
from django.db.migrations.state import ModelState, ProjectState
from django.db.models.functions import Upper
from hypothesis import strategies as st

from django_devtools.branches.sources.loader import variant

APPS = ("one", "two")

Key = tuple[str, str]
Id = str
"""What a table or a column is, whatever its name."""

DEFAULTS: dict[str, Any] = {
    "CharField": "7",
    "TextField": "7",
    "SmallIntegerField": 7,
    "IntegerField": 7,
    "BigIntegerField": 7,
    "FloatField": 7.0,
    "DecimalField": Decimal("7.5"),
    "BooleanField": True,
    "DateField": date(2026, 2, 28),
    "DateTimeField": datetime(2026, 2, 28, 12, 30, tzinfo=UTC),
    "TimeField": time(12, 30),
    "DurationField": timedelta(days=1),
    "UUIDField": UUID(int=7),
    "BinaryField": b"\x00\xff",
    "JSONField": dict,
    "GenericIPAddressField": "::1",
}
OPTIONS: dict[str, dict[str, Any]] = {
    "CharField": {"max_length": 40},
    "DecimalField": {"max_digits": 12, "decimal_places": 4},
}
# To what a column can be altered so that the database takes the values back.
ALTERED: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "CharField": [
        ("CharField", {"max_length": 20}),
        ("CharField", {"max_length": 60}),
        ("TextField", {}),
    ],
    "TextField": [("CharField", {"max_length": 60})],
    "SmallIntegerField": [("IntegerField", {}), ("BigIntegerField", {})],
    "IntegerField": [
        ("SmallIntegerField", {}),
        ("BigIntegerField", {}),
        ("CharField", {"max_length": 60}),
        ("FloatField", {}),
    ],
    "BigIntegerField": [("IntegerField", {}), ("TextField", {})],
    "FloatField": [("IntegerField", {})],
    "DecimalField": [
        ("DecimalField", {"max_digits": 14, "decimal_places": 6}),
        ("DecimalField", {"max_digits": 10, "decimal_places": 2}),
    ],
}
UNIQUE_KINDS = ("CharField", "IntegerField", "BigIntegerField", "UUIDField", "DateTimeField")


@dataclass
class Names:
    """New names, and what the branches of a walk have to know of each other."""

    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    altered: set[Id] = field(default_factory=set)
    """Columns that some branch alters: their values are to fit on each side."""
    followers: set[Id] = field(default_factory=set)
    """Tables that a migration makes a row in for each row of another table."""
    filled: set[Id] = field(default_factory=set)
    """Columns and tables that a migration fills."""
    unique: set[Id] = field(default_factory=set)
    """Columns that some branch makes unique: they must not get one default for all rows."""
    unsure: set[Id] = field(default_factory=set)
    """Columns that SQL makes: what is put there is not replaced, as it may be anyone's."""

    def new(self, prefix: str) -> str:
        return f"{prefix}{next(self.numbers)}"


@dataclass
class Line:
    """A branch: its migrations, and where they lead."""

    name: str
    names: Names
    state: ProjectState = field(default_factory=ProjectState)
    ids: dict[tuple[str, str, str], Id] = field(default_factory=dict)
    """By app, model and field; of tables, where the field is empty."""
    migrations: dict[Key, Migration] = field(default_factory=dict)
    own: set[Id] = field(default_factory=set)
    """What this branch has made itself."""
    free_names: list[str] = field(default_factory=list)
    """Of fields that were renamed."""
    narrowed: set[Id] = field(default_factory=set)
    """Columns that were made NOT NULL, and stay so: see Limits on the page of the stash."""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(f"\n{self.name}:")
        for key, migration in self.migrations.items():
            printer.text(f"\n  {'.'.join(key)} (atomic={migration.atomic})")
            for operation in migration.operations:
                printer.text(f"\n    {describe(operation)}")

    def fork(self, name: str) -> "Line":
        return Line(name, self.names, self.state.clone(), dict(self.ids), dict(self.migrations))

    def add(self, app: str, operations: list[Operation], atomic: bool = True) -> None:
        """Put operations that were followed already into a migration."""
        name = f"{len(self.migrations):04}_{self.name}"
        self.migrations[app, name] = variant(
            Migration(name, app),
            dependencies=list(self.migrations)[-1:],
            operations=operations,
            atomic=atomic,
        )

    def follow(self, app: str, operation: Operation) -> None:
        """Change the state and the identities as an operation does."""
        inner = operation
        if isinstance(operation, migrations.SeparateDatabaseAndState):
            inner = operation.state_operations[0]
        if isinstance(inner, migrations.RenameModel):
            self._rename(
                lambda key: (
                    (app, inner.new_name_lower, key[2])
                    if key[:2] == (app, inner.old_name_lower)
                    else key
                )
            )
        elif isinstance(inner, migrations.RenameField):
            self._rename(
                lambda key: (
                    (*key[:2], inner.new_name)
                    if key == (app, inner.model_name_lower, inner.old_name)
                    else key
                )
            )
        operation.state_forwards(app, self.state)
        there = {
            (*key, name)
            for key, model in self.state.models.items()
            for name in ("", *model.fields)
        }
        for gone in self.ids.keys() - there:
            del self.ids[gone]
        for new in sorted(there - self.ids.keys()):
            self.ids[new] = self.names.new(f"{self.name}/{'.'.join(new)}#")
            self.own.add(self.ids[new])
            if isinstance(operation, migrations.RunSQL):
                self.names.unsure.add(self.ids[new])

    def _rename(self, rename: Callable[[tuple[str, str, str]], tuple[str, str, str]]) -> None:
        self.ids = {rename(key): found for key, found in self.ids.items()}

    def own_models(self, app: str) -> list[ModelState]:
        return [model for key, model in self.state.models.items() if key[0] == app]

    def id(self, model: ModelState, name: str = "") -> Id:
        return self.ids[model.app_label, model.name_lower, name]

    def referring(self, model: ModelState) -> bool:
        """Whether another model needs this one."""
        label = f"{model.app_label}.{model.name_lower}"
        return any(
            label in (str(found.remote_field.model).lower() if found.is_relation else "", *bases)
            for other in self.state.models.values()
            if other is not model
            for bases in [[str(base).lower() for base in other.bases]]
            for found in other.fields.values()
        )

    def is_parent(self, model: ModelState) -> bool:
        """Whether another model inherits from this one."""
        label = f"{model.app_label}.{model.name_lower}"
        return any(
            label in [str(base).lower() for base in other.bases]
            for other in self.state.models.values()
        )

    def with_many(self, model: ModelState) -> bool:
        """Whether a many-to-many field leads from or to a model."""
        label = f"{model.app_label}.{model.name_lower}"
        return any(
            found.many_to_many
            and (other is model or str(found.remote_field.model).lower() == label)
            for other in self.state.models.values()
            for found in other.fields.values()
        )


@dataclass(frozen=True)
class Walk:
    """A base and its branches, two of them to go between, and what to put into the rows."""

    lines: list[Line]
    here: str
    there: str
    seed: int

    def line(self, name: str) -> Line:
        return next(line for line in self.lines if line.name == name)


def describe(operation: Operation) -> str:
    """An operation as Python, near enough."""
    if isinstance(operation, migrations.SeparateDatabaseAndState):
        return f"both({describe(operation.state_operations[0])})"
    if isinstance(operation, migrations.RunPython):
        return f"RunPython({operation.code}, {operation.reverse_code})"
    if isinstance(operation, migrations.RunSQL):
        return f"RunSQL({operation.sql}, state={[*map(describe, operation.state_operations)]})"
    name, args, kwargs = operation.deconstruct()

    def text(value: Any) -> str:
        if isinstance(value, models.Field):
            _, path, fields_args, options = value.deconstruct()
            return f"{path.rpartition('.')[2]}{(*fields_args, options)}"
        if isinstance(value, list | tuple):
            return f"[{', '.join(map(text, value))}]"
        return repr(value)

    return (
        f"{name}({', '.join([*map(text, args), *(f'{k}={text(v)}' for k, v in kwargs.items())])})"
    )


@st.composite
def walks(draw: st.DrawFn) -> Walk:
    names = Names()
    main = Line("main", names)
    _grow(draw, main, least=2, most=4)
    lines = [main]
    for name in ("a", "b"):
        line = main.fork(name)
        _grow(draw, line, least=1, most=4)
        lines.append(line)
    here, there = draw(st.permutations([line.name for line in lines]))[:2]
    return Walk(lines, here, there, draw(st.integers(0, 10**6)))


def _grow(draw: st.DrawFn, line: Line, least: int, most: int) -> None:
    for _ in range(draw(st.integers(least, most))):
        app = draw(st.sampled_from(APPS))
        operations: list[Operation] = []
        for _ in range(draw(st.integers(1, 3))):
            possible = [*_possible(draw, line, app)]
            # Django makes an index when its migration ends: it can't be removed on the way back.
            if any(isinstance(one, IndexOperation) for one in operations):
                possible = [one for one in possible if one.func is not migrations.DeleteModel]
            operation = draw(st.sampled_from(possible))()
            line.follow(app, operation)
            operations.append(operation)
        line.add(app, operations, atomic=draw(st.integers(0, 5)) > 0)
        # PostgreSQL does not change tables that have rows waiting for a check of foreign keys.
        if filling := _data_migration(draw, line, app):
            line.add(app, [filling])


def _possible(draw: st.DrawFn, line: Line, app: str) -> "Iterator[partial[Any]]":
    """What can be done to an app: functions that draw the rest."""
    yield partial(_create_model, draw, line, app)
    own = line.own_models(app)
    if not own:
        return
    model = draw(st.sampled_from(own))
    yield partial(_create_model, draw, line, app)
    for _ in range(3):
        yield partial(_add_field, draw, line, model)
    yield partial(_alter_table, line, model)
    # Django renames neither links to parents nor the columns of tables between fixed names.
    if not (line.is_parent(model) or (line.with_many(model) and "db_table" in model.options)):
        yield partial(_rename_model, line, model)
    free = [*_free(model)]
    # Django itself can't make a foreign key again that is not null and has no default.
    removable = [
        n for n in free if not model.fields[n].is_relation or _is_optional(model.fields[n])
    ]
    if removable:
        for _ in range(2):
            yield partial(_remove_field, draw, line, model, removable)
    if free:
        yield partial(_rename_field, draw, line, model, free)
    plain = [name for name in free if _is_plain(model.fields[name])]
    fixed = line.names.unique | line.names.unsure
    plain = [name for name in plain if line.id(model, name) not in fixed]
    if plain:
        for _ in range(2):
            yield partial(_alter_field, draw, line, model, plain)
    loose = [n for n in plain if model.fields[n].null and _kind(model.fields[n]) in UNIQUE_KINDS]
    loose = [n for n in loose if line.id(model, n) not in line.names.filled | line.names.altered]
    if loose:
        yield partial(_add_constraint, draw, line, model, loose)
    if not line.referring(model):
        yield partial(migrations.DeleteModel, model.name)


def _free(model: ModelState) -> Iterator[str]:
    """The fields that nothing else names."""
    named = {
        name for group in model.options.get("unique_together", ()) or () for name in group
    } | {
        name
        for option in ("indexes", "constraints")
        for found in model.options.get(option, ())
        for name in found.fields
    }
    found: Any
    for found in model.fields.values():
        if isinstance(found, models.CompositePrimaryKey):
            named.update(found.field_names)
        if found.generated:
            named.update(source.name for source in found.expression.get_source_expressions())
    for name, found in model.fields.items():
        is_link = found.is_relation and getattr(found.remote_field, "parent_link", False)
        if name not in named and not found.primary_key and not is_link:
            yield name


def _kind(found: Any) -> str:
    return str(found.get_internal_type())


def _is_optional(found: Any) -> bool:
    return bool(found.null or found.many_to_many)


def _is_plain(found: Any) -> bool:
    return not (found.is_relation or found.unique or found.generated or found.db_index)


def _create_model(draw: st.DrawFn, line: Line, app: str) -> Operation:
    name = line.names.new("Model")
    fields: list[tuple[str, Any]] = []
    bases: tuple[Any, ...] = (models.Model,)
    options: dict[str, Any] = {}
    targets = [*_targets(line)]
    kind = draw(st.sampled_from(["auto"] * 4 + ["big", "char", "uuid", "composite", "child"]))
    if kind == "child" and targets:
        parent = draw(st.sampled_from(targets))
        bases = (parent,)
        link = models.OneToOneField(
            parent, models.CASCADE, parent_link=True, primary_key=True, auto_created=True
        )
        fields.append((f"{parent.rpartition('.')[2]}_ptr", link))
    elif kind == "composite":
        fields += [
            ("pk", models.CompositePrimaryKey("number", "letter")),
            ("number", models.IntegerField()),
            ("letter", models.CharField(max_length=20)),
        ]
    else:
        keys: dict[str, Any] = {
            "big": models.BigAutoField(primary_key=True),
            "char": models.CharField(max_length=20, primary_key=True),
            "uuid": models.UUIDField(primary_key=True),
        }
        fields.append(("id", keys.get(kind, models.AutoField(primary_key=True))))
    for _ in range(draw(st.integers(1, 3))):
        fields.append((line.names.new("f"), _field(draw, line, is_new=True)))
    many = draw(st.integers(0, 2)) == 0
    if many and targets and kind != "composite":
        fields.append((line.names.new("many"), _many(draw, targets)))
    if draw(st.integers(0, 4)) == 0 and kind != "composite":
        own = models.ForeignKey(f"{app}.{name}", models.CASCADE, null=True, related_name="+")
        fields.append((line.names.new("own"), own))
    if draw(st.integers(0, 4)) == 0:
        text = line.names.new("f")
        fields.append((text, models.CharField(max_length=40, default="7")))
        length = models.CharField(max_length=40)
        computed = models.GeneratedField(
            expression=Upper(text), output_field=length, db_persist=True
        )
        fields.append((line.names.new("g"), computed))
    if draw(st.integers(0, 3)) == 0:
        options["db_table"] = line.names.new("table_")
    if draw(st.integers(0, 3)) == 0:
        unique = [line.names.new("f"), line.names.new("f")]
        fields += [(one, models.IntegerField(null=True)) for one in unique]
        options["unique_together"] = {tuple(unique)}
    return migrations.CreateModel(name, fields, options, bases)


def _targets(line: Line) -> Iterator[str]:
    for model in line.state.models.values():
        if not any(isinstance(f, models.CompositePrimaryKey) for f in model.fields.values()):
            yield f"{model.app_label}.{model.name_lower}"


def _field(draw: st.DrawFn, line: Line, is_new: bool) -> Any:
    """A field; one of a table that ``is_new`` needs nothing for the rows that are there."""
    targets = [*_targets(line)]
    column: Any = {"db_column": line.names.new("c")} if draw(st.integers(0, 5)) == 0 else {}
    if targets and draw(st.integers(0, 3)) == 0:
        to = draw(st.sampled_from(targets))
        if is_new and draw(st.booleans()):
            return models.ForeignKey(to, models.CASCADE, related_name="+", **column)
        on_delete = draw(st.sampled_from([models.CASCADE, models.SET_NULL]))
        cls = draw(st.sampled_from([models.ForeignKey, models.ForeignKey, models.OneToOneField]))
        return cls(to, on_delete, null=True, related_name="+", **column)
    kind = draw(st.sampled_from([*DEFAULTS]))
    options = {**OPTIONS.get(kind, {}), **column}
    choice = draw(st.sampled_from(["null", "null", "default", "default", "unique", "db_default"]))
    if choice == "db_default" and kind in ("CharField", "IntegerField", "BooleanField"):
        return getattr(models, kind)(db_default=DEFAULTS[kind], **options)
    if choice == "unique" and kind in UNIQUE_KINDS:
        return getattr(models, kind)(null=True, unique=True, **options)
    if choice == "default":
        return getattr(models, kind)(default=DEFAULTS[kind], **options)
    return getattr(models, kind)(null=True, **options)


def _many(draw: st.DrawFn, targets: list[str]) -> Any:
    return models.ManyToManyField(draw(st.sampled_from(targets)), related_name="+")


def _add_field(draw: st.DrawFn, line: Line, model: ModelState) -> Operation:
    targets = [*_targets(line)]
    name = line.names.new("f")
    if bool(line.free_names) and draw(st.booleans()):
        name = line.free_names.pop()
    way = draw(st.integers(0, 7))
    if way == 0 and f"{model.app_label}.{model.name_lower}" in targets:
        return migrations.AddField(model.name, name, _many(draw, targets))
    if way == 1:
        table = model.options.get("db_table") or f"{model.app_label}_{model.name_lower}"
        return migrations.RunSQL(
            f"ALTER TABLE {table} ADD COLUMN {name} integer NULL",
            f"ALTER TABLE {table} DROP COLUMN {name}",
            state_operations=[
                migrations.AddField(model.name, name, models.IntegerField(null=True))
            ],
        )
    add = migrations.AddField(model.name, name, _field(draw, line, is_new=False))
    return migrations.SeparateDatabaseAndState([add], [add]) if way == 2 else add


def _remove_field(draw: st.DrawFn, line: Line, model: ModelState, free: list[str]) -> Operation:
    remove = migrations.RemoveField(model.name, draw(st.sampled_from(free)))
    if draw(st.integers(0, 5)) == 0:
        return migrations.SeparateDatabaseAndState([remove], [remove])
    return remove


def _rename_field(draw: st.DrawFn, line: Line, model: ModelState, free: list[str]) -> Operation:
    old = draw(st.sampled_from(free))
    if not model.fields[old].many_to_many:
        line.free_names.append(old)
    return migrations.RenameField(model.name, old, line.names.new("f"))


def _rename_model(line: Line, model: ModelState) -> Operation:
    return migrations.RenameModel(model.name, line.names.new("Model"))


def _alter_table(line: Line, model: ModelState) -> Operation:
    return migrations.AlterModelTable(model.name, line.names.new("table_"))


def _alter_field(draw: st.DrawFn, line: Line, model: ModelState, plain: list[str]) -> Operation:
    name = draw(st.sampled_from(plain))
    line.names.altered.add(line.id(model, name))
    old = model.fields[name]
    kinds = ALTERED.get(_kind(old), [])
    column = {"db_column": old.db_column} if old.db_column else {}
    if bool(kinds) and draw(st.booleans()):
        kind, options = draw(st.sampled_from(kinds))
        null = old.null
    else:
        kind, null = _kind(old), not old.null and line.id(model, name) not in line.narrowed
        if not null:
            line.narrowed.add(line.id(model, name))
        options = {
            option: getattr(old, option)
            for option in ("max_length", "max_digits", "decimal_places")
            if getattr(old, option, None) is not None and option in OPTIONS.get(kind, {})
        }
    rest = {"null": True} if null else {"default": DEFAULTS[kind]}
    new = getattr(models, kind)(**options, **column, **rest)
    return migrations.AlterField(model.name, name, new)


def _add_constraint(draw: st.DrawFn, line: Line, model: ModelState, loose: list[str]) -> Operation:
    name, over = line.names.new("named_"), [draw(st.sampled_from(loose))]
    line.names.unique.add(line.id(model, over[0]))
    if draw(st.booleans()):
        return migrations.AddIndex(model.name, models.Index(fields=over, name=name))
    constraint = models.UniqueConstraint(fields=over, name=name)
    return migrations.AddConstraint(model.name, constraint)


def _data_migration(draw: st.DrawFn, line: Line, app: str) -> Operation | None:
    """Something that fills what the branch itself has made."""
    if line.name == "main" or draw(st.booleans()):
        return None
    ways: list[Callable[[], Operation]] = []
    for model in line.own_models(app):
        is_own = line.id(model) in line.own
        for name, found in model.fields.items():
            if _is_plain(found) and found.null and name in _free(model):
                column = line.id(model, name)
                if column in line.own - line.names.unsure and _kind(found) != "JSONField":
                    ways.append(partial(_fill_column, line, model, name))
        if is_own and model.bases == (models.Model,):
            key = model.fields.get("id")
            required = [
                name
                for name, f in model.fields.items()
                if f.is_relation and not f.null and not f.many_to_many
            ]
            if isinstance(key, models.AutoField) and not required:
                ways.append(partial(_insert_rows, draw, line, model))
            if isinstance(key, models.AutoField) and len(required) == 1:
                ways.append(partial(_insert_for_each, draw, line, model, required[0]))
    return draw(st.sampled_from(ways))() if ways else None


class Code:
    """A function for RunPython that says what it does."""

    def __init__(self, text: str, run: Callable[[Any, str], None]) -> None:
        self.text = text
        self.run = run

    def __call__(self, apps: Any, editor: Any) -> None:
        self.run(apps, editor.connection.alias)

    def __repr__(self) -> str:
        return self.text


def _fill_column(line: Line, model: ModelState, name: str) -> Operation:
    line.names.filled.add(line.id(model, name))
    app, model_name = model.app_label, model.name
    value = DEFAULTS[_kind(model.fields[name])]

    def fill(apps: Any, alias: str) -> None:
        rows = apps.get_model(app, model_name)._base_manager.using(alias)
        rows.filter(**{f"{name}__isnull": True}).update(**{name: value})

    return migrations.RunPython(Code(f"fill {model_name}.{name}", fill), migrations.RunPython.noop)


def _insert_rows(draw: st.DrawFn, line: Line, model: ModelState) -> Operation:
    app, name, many = model.app_label, model.name, draw(st.integers(1, 3))
    line.names.filled.add(line.id(model))

    def insert(apps: Any, alias: str) -> None:
        for _ in range(many):
            apps.get_model(app, name)().save(using=alias)

    return _with_reverse(draw, line, Code(f"insert {many} of {name}", insert), model)


def _insert_for_each(draw: st.DrawFn, line: Line, model: ModelState, to: str) -> Operation:
    app, name = model.app_label, model.name
    line.names.filled.add(line.id(model))
    line.names.followers.add(line.id(model))

    def insert(apps: Any, alias: str) -> None:
        own = apps.get_model(app, name)
        parent = own._meta.get_field(to).related_model
        for row in parent._base_manager.using(alias).order_by("pk"):
            own(**{to: row}).save(using=alias)

    return _with_reverse(draw, line, Code(f"insert {name} for each {to}", insert), model)


def _with_reverse(draw: st.DrawFn, line: Line, code: Code, model: ModelState) -> Operation:
    app, name = model.app_label, model.name

    def delete(apps: Any, alias: str) -> None:
        apps.get_model(app, name)._base_manager.using(alias).all().delete()

    # What goes along when rows are deleted may be in tables that both sides have.
    if line.referring(model) or draw(st.booleans()):
        return migrations.RunPython(code, migrations.RunPython.noop)
    return migrations.RunPython(code, Code(f"delete all of {name}", delete))
