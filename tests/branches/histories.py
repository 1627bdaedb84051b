"""
Random histories of a project for Hypothesis, and what a database looks like.

A history is a few branches, each a list of migrations. The models are not drawn: they follow from
the migrations, so that ``makemigrations --check`` is clean on every branch.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from hypothesis import strategies as st

from tests.branches.shop import ID
from tests.project import Project

APPS = ("one", "two")
EXTRA_APP = "extra"
"""Not installed on main. Each branch that installs it starts it from nothing."""
MODELS = ("Alpha", "Beta", "Gamma")
FIELDS = ("a", "b", "c", "d")

Key = tuple[str, str]
"""A migration as app and name, and a model as app and name."""


@dataclass(frozen=True)
class Field:
    """A field of a model."""

    kind: str
    null: bool = False
    option: str = ""
    """``unique`` or ``db_index``, where the kind can have them."""
    length: int = 20
    to: Key | None = None

    def text(self, default: bool = False) -> str:
        """The field as Python. ``default`` gives one to the rows that are there already."""
        arguments = [f"{self.option}=True"] if self.option else []
        if self.kind == "CharField":
            arguments.append(f"max_length={self.length}")
        if self.to:
            arguments += [repr(".".join(self.to)), 'related_name="+"']
            arguments.sort(key=lambda argument: "=" in argument)
        if self.kind == "ForeignKey":
            arguments.append("on_delete=models.CASCADE")
        if self.null:
            arguments.append("null=True")
        elif default:
            arguments.append(f"default={'0' if self.kind == 'IntegerField' else repr('x')}")
        return f"models.{self.kind}({', '.join(arguments)})"

    def needs_default(self) -> bool:
        """Whether a column of this kind can't be added without a value for it."""
        return not (self.null or self.kind == "ManyToManyField")


@dataclass
class Model:
    """A model as the migrations so far left it."""

    fields: dict[str, Field] = field(default_factory=dict)
    indexes: dict[str, str] = field(default_factory=dict)
    """The field of each index."""
    constraints: dict[str, str] = field(default_factory=dict)

    def text(self, name: str) -> str:
        lines = [f"class {name}(models.Model):"]
        lines += [f"    {name} = {found.text()}" for name, found in self.fields.items()]
        lines += ["", "    class Meta:"]
        for option, made in (("indexes", _index), ("constraints", _constraint)):
            found = [made(name, over) for name, over in getattr(self, option).items()]
            lines.append(f"        {option} = [{', '.join(found)}]")
        return "\n".join([*lines, "", ""])

    def free(self) -> list[str]:
        """The fields that no index and no constraint names."""
        named = {*self.indexes.values(), *self.constraints.values()}
        return [name for name in self.fields if name not in named]


Models = dict[Key, Model]


def _index(name: str, over: str) -> str:
    return f'models.Index(fields=["{over}"], name="{name}")'


def _constraint(name: str, over: str) -> str:
    return f'models.UniqueConstraint(fields=["{over}"], name="{name}")'


@dataclass(frozen=True)
class CreateModel:
    model: str
    fields: tuple[tuple[str, Field], ...]

    def text(self) -> str:
        fields = "".join(f'("{name}", {found.text()}), ' for name, found in self.fields)
        return f'migrations.CreateModel("{self.model}", [{ID} {fields}])'

    def change(self, app: str, models: Models) -> None:
        models[app, self.model] = Model(dict(self.fields))

    def targets(self) -> list[Key]:
        return [found.to for _, found in self.fields if found.to]


@dataclass(frozen=True)
class DeleteModel:
    model: str

    def text(self) -> str:
        return f'migrations.DeleteModel("{self.model}")'

    def change(self, app: str, models: Models) -> None:
        del models[app, self.model]

    def targets(self) -> list[Key]:
        return []


@dataclass(frozen=True)
class SetField:
    """AddField or AlterField."""

    operation: str
    model: str
    name: str
    field: Field

    def text(self) -> str:
        default = self.field.needs_default()
        end = ", preserve_default=False" if default else ""
        text = self.field.text(default)
        return f'migrations.{self.operation}("{self.model}", "{self.name}", {text}{end})'

    def change(self, app: str, models: Models) -> None:
        models[app, self.model].fields[self.name] = self.field

    def targets(self) -> list[Key]:
        return [self.field.to] if self.field.to else []


@dataclass(frozen=True)
class RemoveField:
    model: str
    name: str

    def text(self) -> str:
        return f'migrations.RemoveField("{self.model}", "{self.name}")'

    def change(self, app: str, models: Models) -> None:
        del models[app, self.model].fields[self.name]

    def targets(self) -> list[Key]:
        return []


@dataclass(frozen=True)
class RenameField:
    model: str
    old: str
    new: str

    def text(self) -> str:
        return f'migrations.RenameField("{self.model}", "{self.old}", "{self.new}")'

    def change(self, app: str, models: Models) -> None:
        fields = models[app, self.model].fields
        fields[self.new] = fields.pop(self.old)

    def targets(self) -> list[Key]:
        return []


@dataclass(frozen=True)
class AddIndex:
    model: str
    name: str
    over: str

    def text(self) -> str:
        return f'migrations.AddIndex("{self.model}", {_index(self.name, self.over)})'

    def change(self, app: str, models: Models) -> None:
        models[app, self.model].indexes[self.name] = self.over

    def targets(self) -> list[Key]:
        return []


@dataclass(frozen=True)
class AddConstraint:
    model: str
    name: str
    over: str

    def text(self) -> str:
        return f'migrations.AddConstraint("{self.model}", {_constraint(self.name, self.over)})'

    def change(self, app: str, models: Models) -> None:
        models[app, self.model].constraints[self.name] = self.over

    def targets(self) -> list[Key]:
        return []


@dataclass(frozen=True)
class RunPython:
    def text(self) -> str:
        noop = "migrations.RunPython.noop"
        return f"migrations.RunPython({noop}, {noop})"

    def change(self, app: str, models: Models) -> None:
        pass

    def targets(self) -> list[Key]:
        return []


Operation = (
    CreateModel
    | DeleteModel
    | SetField
    | RemoveField
    | RenameField
    | AddIndex
    | AddConstraint
    | RunPython
)


@dataclass(frozen=True)
class Migration:
    app: str
    name: str
    dependencies: tuple[Key, ...]
    operations: tuple[Operation, ...]

    @property
    def key(self) -> Key:
        return (self.app, self.name)


@dataclass(frozen=True)
class Branch:
    """All that a branch has, what it has from its base too; migrations with parents first."""

    name: str
    base: str | None
    migrations: tuple[Migration, ...]

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        # What Hypothesis prints of a failing example: as short as it can be read.
        lines = [f"{self.name} from {self.base}:"]
        for migration in self.migrations:
            lines.append(f"  {'.'.join(migration.key)} after {migration.dependencies}")
            lines += [f"    {operation.text()}" for operation in migration.operations]
        printer.text("\n".join([*lines, ""]))

    @property
    def apps(self) -> list[str]:
        return sorted({*APPS, *(migration.app for migration in self.migrations)})

    def models(self) -> Models:
        models: Models = {}
        for migration in self.migrations:
            for operation in migration.operations:
                operation.change(migration.app, models)
        return models

    def head(self, app: str) -> Migration | None:
        """The last migration of ``app``: a merge follows as soon as there are two."""
        return next((m for m in reversed(self.migrations) if m.app == app), None)

    def leaves(self) -> list[Migration]:
        """The migrations that no other depends on; merges aside."""
        needed = {key for migration in self.migrations for key in migration.dependencies}
        return [m for m in self.migrations if m.operations and m.key not in needed]

    def write(self, project: Project) -> None:
        """Make the branch from its base, and commit what it has."""
        if self.base:
            project.checkout("-b", self.name, self.base)
        for app in self.apps:
            project.write(f"{app}/__init__.py", "")
            project.write(f"{app}/migrations/__init__.py", "")
            texts = [m.text(name) for (label, name), m in self.models().items() if label == app]
            project.models(app, "\n".join(texts))
        for migration in self.migrations:
            operations = "".join(f"{operation.text()},\n" for operation in migration.operations)
            project.migration(migration.app, migration.name, operations, [*migration.dependencies])
        project.write("config/apps.py", f"APPS = {self.apps}\n")
        project.commit(self.name)


@dataclass(frozen=True)
class Step:
    """One switch of a walk."""

    branch: str
    before_checkout: bool
    snapshot: bool
    """Whether a snapshot is taken before leaving, as the hook and post_migrate would."""


@dataclass(frozen=True)
class Walk:
    branches: tuple[Branch, ...]
    steps: tuple[Step, ...]


@st.composite
def walks(draw: st.DrawFn, min_steps: int = 3, max_steps: int = 6) -> Walk:
    """Branches forked from each other, and a walk over them."""
    branches = [_grown(draw, Branch("main", None, ()), most=5, least=2)]
    for number in range(draw(st.integers(1, 3))):
        base = draw(st.sampled_from(branches))
        branch = Branch(f"b{number}", base.name, base.migrations)
        branches.append(_grown(draw, branch, most=4, least=1))
    steps = st.builds(
        Step, st.sampled_from([branch.name for branch in branches]), st.booleans(), st.booleans()
    )
    return Walk(
        tuple(branches), tuple(draw(st.lists(steps, min_size=min_steps, max_size=max_steps)))
    )


def _grown(draw: st.DrawFn, branch: Branch, most: int, least: int) -> Branch:
    """``branch`` with migrations of its own."""
    if branch.base and draw(st.booleans()):
        branch = _edited(draw, branch)
    for number in range(draw(st.integers(least, most))):
        apps = [*APPS, EXTRA_APP] if branch.base else [*APPS]
        app = draw(st.sampled_from(apps))
        second = branch.head(app)
        if branch.base and second and second.operations and draw(st.integers(0, 4)) == 0:
            branch = _merged(branch, second, number)
        else:
            name = _name(branch, app, str(number))
            parents = (second.key,) if second else ()
            branch = _with_migration(draw, branch, app, name, parents)
    return branch


def _name(branch: Branch, app: str, end: str) -> str:
    position = sum(migration.app == app for migration in branch.migrations) + 1
    return f"{position:04}_{branch.name}_{end}"


def _edited(draw: st.DrawFn, branch: Branch) -> Branch:
    """The branch with one of its leaves changed under its name."""
    leaves = branch.leaves()
    if not leaves:
        return branch
    leaf = draw(st.sampled_from(leaves))
    rest = replace(branch, migrations=tuple(m for m in branch.migrations if m is not leaf))
    parents = tuple(key for key in leaf.dependencies if key[0] == leaf.app)
    return _with_migration(draw, rest, leaf.app, leaf.name, parents)


def _merged(branch: Branch, head: Migration, number: int) -> Branch:
    """The branch with a second head next to ``head``, and the migration that merges them."""
    model = f"Own{branch.name.title()}{number}"
    operations = (CreateModel(model, (("a", Field("CharField")),)),)
    parents = tuple(key for key in head.dependencies if key[0] == head.app)
    second = Migration(head.app, _name(branch, head.app, f"{number}_2"), parents, operations)
    merge = Migration(
        head.app, _name(branch, head.app, f"{number}_merge"), (head.key, second.key), ()
    )
    return replace(branch, migrations=(*branch.migrations, second, merge))


def _with_migration(
    draw: st.DrawFn, branch: Branch, app: str, name: str, parents: tuple[Key, ...]
) -> Branch:
    models = branch.models()
    operations: list[Operation] = []
    for _ in range(draw(st.integers(1, 3))):
        operation = draw(st.sampled_from(list(_possible(draw, app, models))))()
        operation.change(app, models)
        operations.append(operation)
    used = {to[0] for operation in operations for to in operation.targets()} - {app}
    heads = tuple(head.key for used_app in sorted(used) if (head := branch.head(used_app)))
    migration = Migration(app, name, (*parents, *heads), tuple(operations))
    return replace(branch, migrations=(*branch.migrations, migration))


def _possible(draw: st.DrawFn, app: str, models: Models) -> Iterator[Callable[[], Operation]]:
    """What can be done to an app: functions that draw the rest."""
    own = sorted(name for label, name in models if label == app)
    new = [name for name in MODELS if name not in own]
    if new:
        yield partial(_create_model, draw, sorted(models), new)
    if own:
        model = draw(st.sampled_from(own))
        yield from _possible_with(draw, (app, model), models)
        yield RunPython


def _possible_with(draw: st.DrawFn, key: Key, models: Models) -> Iterator[Callable[[], Operation]]:
    app, name = key
    model = models[key]
    plain = [n for n in model.fields if model.fields[n].to is None]
    new = [n for n in FIELDS if n not in model.fields]
    if new:
        yield partial(_add_field, draw, name, sorted(models), new)
    if model.free():
        yield partial(_remove_field, draw, name, model)
        if new:
            yield partial(_rename_field, draw, name, model, new)
    if plain:
        yield partial(_alter_field, draw, name, model, plain)
    unnamed = [n for n in plain if n in model.free()]
    if unnamed:
        # An index over a foreign key would make MySQL drop the one that it made by itself.
        yield partial(_add_index, draw, app, name, unnamed)
        yield partial(_add_constraint, draw, app, name, unnamed)
    others = [m for other, m in models.items() if other != key]
    if not any(found.to == key for other in others for found in other.fields.values()):
        yield partial(DeleteModel, name)


def _create_model(draw: st.DrawFn, targets: list[Key], names: list[str]) -> Operation:
    name = draw(st.sampled_from(names))
    fields = draw(st.lists(_fields(targets, True), min_size=1, max_size=3))
    return CreateModel(name, tuple(zip(FIELDS, fields, strict=False)))


def _add_field(draw: st.DrawFn, model: str, targets: list[Key], new: list[str]) -> Operation:
    return SetField("AddField", model, draw(st.sampled_from(new)), draw(_fields(targets, False)))


def _alter_field(draw: st.DrawFn, name: str, model: Model, plain: list[str]) -> Operation:
    altered = draw(st.sampled_from(plain))
    old = model.fields[altered]
    changes: list[dict[str, Any]] = [{"null": not old.null}]
    if altered in model.free():
        # On MySQL, Django takes every index over a column for the one of db_index, and drops it.
        changes.append({"option": "" if old.option else "db_index"})
    if old.kind == "CharField":
        changes.append({"length": 60 - old.length})
    return SetField("AlterField", name, altered, replace(old, **draw(st.sampled_from(changes))))


def _remove_field(draw: st.DrawFn, name: str, model: Model) -> Operation:
    return RemoveField(name, draw(st.sampled_from(model.free())))


def _rename_field(draw: st.DrawFn, name: str, model: Model, new: list[str]) -> Operation:
    return RenameField(name, draw(st.sampled_from(model.free())), draw(st.sampled_from(new)))


def _add_index(draw: st.DrawFn, app: str, model: str, plain: list[str]) -> Operation:
    over = draw(st.sampled_from(plain))
    return AddIndex(model, f"ix_{app}_{model}_{over}".lower(), over)


def _add_constraint(draw: st.DrawFn, app: str, model: str, plain: list[str]) -> Operation:
    over = draw(st.sampled_from(plain))
    return AddConstraint(model, f"uq_{app}_{model}_{over}".lower(), over)


def _fields(targets: list[Key], created: bool) -> st.SearchStrategy[Field]:
    """A field that points at one of ``targets`` or at nothing; of a table that is ``created``."""
    plain = st.builds(
        Field,
        st.sampled_from(["CharField", "IntegerField"]),
        st.booleans(),
        st.sampled_from(["", "", "db_index", "unique"]),
        st.sampled_from([20, 40]),
    )
    if not targets:
        return plain
    to = st.sampled_from(targets)
    # A foreign key that is not null can't be added without a row to point at.
    null: st.SearchStrategy[bool] = st.booleans() if created else st.just(True)
    key = st.builds(Field, st.just("ForeignKey"), null, to=to)
    many = st.builds(Field, st.just("ManyToManyField"), to=to)
    return st.one_of(plain, key, many)


SEE = """
import io, json
from contextlib import redirect_stdout
from django.core.management import call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

def passes(*arguments):
    try:
        with redirect_stdout(io.StringIO()):
            call_command(*arguments, verbosity=0)
    except SystemExit:
        return False
    return True

def column(cursor, table, info):
    kind = connection.introspection.get_field_type(info.type_code, info)
    return [info.name, str(kind), str(info.display_size), info.null_ok, str(info.default)]

def constraint(name, found):
    # Django's own names carry a hash of the name that the column had at the time.
    own = name.startswith(("ix_", "uq_"))
    facts = ("columns", "primary_key", "unique", "foreign_key", "check", "index", "type")
    return [name if own else "", *(str(found.get(fact)) for fact in facts)]

def schema(cursor):
    introspection = connection.introspection
    return {
        table: {
            "columns": sorted(
                column(cursor, table, info)
                for info in introspection.get_table_description(cursor, table)
            ),
            "constraints": sorted(
                constraint(name, found)
                for name, found in introspection.get_constraints(cursor, table).items()
            ),
        }
        for table in sorted(introspection.table_names(cursor))
        if not table.startswith("django_devtools_stash")
    }

def rows(cursor):
    # Column by name: the order of the columns depends on how they came to be.
    found = {}
    for table in connection.introspection.table_names(cursor):
        if not table.startswith("django_"):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            names = [column[0] for column in cursor.description]
            found[table] = sorted(str(sorted(zip(names, row))) for row in cursor.fetchall())
    return found
"""
"""Functions that say what a database looks like."""

_SAY = """
with connection.cursor() as cursor:
    print(json.dumps({
        "rows": rows(cursor),
        "schema": schema(cursor),
        "applied": sorted(map(list, MigrationRecorder(connection).applied_migrations())),
        "models agree": passes("makemigrations", "--check", "--dry-run"),
        "in step": passes("migrations_switch", "--check"),
    }))
"""
OBSERVE = SEE + _SAY


def observe(project: Project) -> dict[str, Any]:
    """What the database of a project looks like, and whether it is in step with the code."""
    return dict(json.loads(project.python(OBSERVE)))


def can_migrate(project: Project, configuration: dict[str, Any]) -> bool:
    """Whether Django's own ``migrate`` makes it from nothing to the end of the branch."""
    fresh = replace(project, databases={"default": configuration})
    return fresh.manage("migrate", "--verbosity=0", status=None).status == 0


def from_nothing(project: Project, configuration: dict[str, Any]) -> dict[str, Any]:
    """What a fresh database looks like after ``migrate`` alone."""
    fresh = replace(project, databases={"default": configuration})
    fresh.manage("migrate", "--verbosity=0")
    found = observe(fresh)
    assert found["models agree"]
    assert found["in step"]
    return found
