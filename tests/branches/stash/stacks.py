"""
Branches on branches, of migrations that are texts, and a database that walks over them.

No file is imported: a line hands its code to the switch as a checkout would. Git and the snapshot
file are real, so that the database knows each migration by the text that it was applied from.
"""

import io
import json
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from django.core.management.base import OutputWrapper
from django.core.management.color import no_style
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.state import ProjectState

from django_devtools.branches.decision import Workspace
from django_devtools.branches.outlook import Expected
from django_devtools.branches.planning.policy import Options
from django_devtools.branches.progress import Progress
from django_devtools.branches.sources.git import Repository
from django_devtools.branches.sources.loader import Code, Source, load
from django_devtools.branches.sources.snapshot_file import SnapshotFile
from django_devtools.branches.stash.transfer import Report
from django_devtools.branches.switch import Switch
from tests.branches.stash.test_walks import empty
from tests.branches.stash.worlds import Schema, schema

APP = "shop"
PACKAGE = f"{APP}.migrations"

TEXT = """\
from django.db import migrations, models

{functions}
class Migration(migrations.Migration):
    dependencies = {dependencies}
    replaces = {replaces}
    operations = [
{operations}
    ]
"""


@dataclass(frozen=True)
class Text:
    """A migration as its file has it."""

    name: str
    operations: tuple[str, ...]
    after: str | None = None
    """The migration that it depends on."""
    functions: str = ""
    """What stands above the class, for RunPython."""
    replaces: tuple[str, ...] = ()
    """The migrations that it squashes."""
    other: str | None = None
    """The other one that it depends on, if it merges two."""

    @cached_property
    def source(self) -> Source:
        dependencies = [(APP, name) for name in (self.after, self.other) if name]
        operations = "\n".join(f"        {operation}," for operation in self.operations)
        content = TEXT.format(
            functions=self.functions,
            dependencies=dependencies,
            replaces=[(APP, name) for name in self.replaces],
            operations=operations,
        )
        return Source(f"{PACKAGE}.{self.name}", content.encode(), "file")


class OnDisk(Code):
    """The code of a line, where its files are."""

    def __init__(self, code: Code, directory: Path) -> None:
        super().__init__(code.migrations, code.packages, sources=code.sources)
        self.directory = directory

    def directories(self) -> dict[str, Path]:
        return {APP: self.directory.resolve()}


@dataclass(frozen=True)
class Line:
    """A branch, as one of its commits has it."""

    branch: str
    texts: tuple[Text, ...] = ()

    def add(self, name: str, *operations: str, functions: str = "") -> "Line":
        """The next commit, with one more migration."""
        after = self.texts[-1].name if self.texts else None
        text = Text(f"{len(self.texts) + 1:04}_{name}", operations, after, functions)
        return replace(self, texts=(*self.texts, text))

    def fork(self, branch: str) -> "Line":
        """A new branch that begins here."""
        return replace(self, branch=branch)

    def back(self, commits: int = 1) -> "Line":
        """The same branch before its last commits."""
        return replace(self, texts=self.texts[:-commits])

    def amended(self, *operations: str, functions: str = "") -> "Line":
        """The same branch with other operations in its last migration."""
        text = replace(self.texts[-1], operations=operations, functions=functions)
        return replace(self, texts=(*self.texts[:-1], text))

    def merge(self, other: "Line") -> "Line":
        """The same branch after a merge of another one, with a migration that depends on both."""
        texts = (*self.texts, *(text for text in other.texts if text not in self.texts))
        name = f"{max(text.name for text in texts)[:4]}_merge"
        merge = Text(name, (), self.texts[-1].name, other=other.texts[-1].name)
        return replace(self, texts=(*texts, merge))

    def onto(self, other: "Line", commits: int = 1) -> "Line":
        """Its last commits, rebased onto another line and renumbered."""
        rebased = other.fork(self.branch)
        for text in self.texts[-commits:]:
            name = text.name.partition("_")[2]
            rebased = rebased.add(name, *text.operations, functions=text.functions)
        return rebased

    def squashed(self, name: str, *operations: str) -> "Line":
        """All of its migrations replaced by one, that names them."""
        replaces = tuple(text.name for text in self.texts)
        return replace(self, texts=(Text(name, operations, replaces=replaces),))

    def cleaned(self) -> "Line":
        """A squashed line that no longer names what was replaced."""
        return replace(self, texts=tuple(replace(text, replaces=()) for text in self.texts))

    @cached_property
    def code(self) -> Code:
        sources = {(APP, text.name): text.source for text in self.texts}
        migrations = {key: load(key, source) for key, source in sources.items()}
        return Code(migrations, {APP: PACKAGE}, set(), sources)

    @cached_property
    def state(self) -> ProjectState:
        """The models after all of its migrations."""
        state = ProjectState()
        for migration in self.code.migrations.values():
            migration.mutate_state(state, preserve=False)
        return state

    def migrate(self, connection: BaseDatabaseWrapper) -> None:
        """Apply its migrations to an empty database as Django does, without us."""
        state = ProjectState()
        for migration in self.code.migrations.values():
            with connection.schema_editor(atomic=migration.atomic) as editor:
                state = migration.apply(state, editor)

    def __str__(self) -> str:
        texts = [f"    {text.name}: {', '.join(text.operations)}" for text in self.texts]
        return "\n".join([f"{self.branch}:", *texts])


Rows = dict[str, str]
"""The rows of each table: "1 a; 2 b"."""

_schemas: dict[tuple[str, tuple[Text, ...]], Schema] = {}
"""What migrations make of an empty database of a vendor: many tests ask for the same ones."""


@dataclass
class World:
    """A database that goes from line to line."""

    connection: BaseDatabaseWrapper
    directory: Path
    line: Line = field(init=False, default=Line("none"))
    notes: list[str] = field(init=False, default_factory=list)
    """The last switch's notes about what it did not restore."""
    events: list[str] = field(init=False, default_factory=list)
    schemas: dict[Line, Schema] = field(init=False, default_factory=dict)
    commits: dict[tuple[Text, ...], str] = field(init=False, default_factory=dict)
    expected: Expected = field(init=False)
    """What the plan of the last switch said of the stash."""

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "init", "--quiet", str(self.directory)], check=True)
        repository = Repository.find(self.directory)
        assert repository
        self.repository = repository

    def learn(self, lines: Iterable[Line]) -> None:
        """Find out what the migrations of each line make of an empty database; end with one."""
        self.clear()
        for line in lines:
            key = (self.connection.vendor, line.texts)
            if key not in _schemas:
                line.migrate(self.connection)
                _schemas[key] = schema(self.connection)
                empty(self.connection)
            self.schemas[line] = _schemas[key]

    def clear(self) -> None:
        """Begin anew, with an empty database that nothing is known of."""
        self.reconnect()
        empty(self.connection)
        self._snapshot_file.path.unlink(missing_ok=True)
        for name in self.repository.git(
            "for-each-ref", "--format=%(refname)", "refs/heads"
        ).split():
            self.repository.git("update-ref", "-d", name.decode())
        self.commits.clear()
        self.line = Line("none")
        self.events.clear()

    def reconnect(self) -> None:
        """Roll back what is under way, as the end of a process does."""
        self.connection.close()
        self.connection.connect()

    def go(self, line: Line) -> Report:
        """Check a line out, and have the database follow."""
        self.line = line
        self.events.append(f"-> {line}")
        self._check_out(line)
        switch = self._switch()
        switch.check()
        self.expected = switch.decision.outlook.expected()
        progress = Progress(OutputWrapper(io.StringIO()), no_style(), 0)
        report = switch.run(progress, interactive=False)
        # The command says this where there is nothing to do, as after a kill.
        overdue = [] if switch else switch.decision.outlook.overdue()
        self.notes = [*report.notes, *map(str, overdue)]
        return report

    def _check_out(self, line: Line) -> None:
        """Check out the commit of a line; one is made on top of that which has the most of it."""
        git, branch = self.repository.git, f"refs/heads/{line.branch}"
        self._write_files(line)
        git("add", "--all")
        if line.texts not in self.commits:
            self.commits[line.texts] = self._commit(line, branch)
        git("update-ref", branch, self.commits[line.texts])
        (self.repository.private_dir() / "HEAD").write_text(f"ref: {branch}\n")

    def _commit(self, line: Line, branch: str) -> str:
        git = self.repository.git
        bases = [texts for texts in self.commits if line.texts[: len(texts)] == texts]
        base = max(bases, key=len, default=None)
        parent = self.commits[base] if base else self.repository.commit(branch)
        tree = git("write-tree").decode().strip()
        identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
        parents = ["-p", parent] if parent else []
        return git(*identity, "commit-tree", tree, *parents, "-m", "Work").decode().strip()

    def _write_files(self, line: Line) -> None:
        migrations = self._migrations
        shutil.rmtree(migrations, ignore_errors=True)
        migrations.mkdir(parents=True)
        for text in line.texts:
            (migrations / f"{text.name}.py").write_bytes(text.source.content)

    def write(self, *statements: str) -> None:
        """Edit rows by SQL."""
        self.events += statements
        with self.connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def rows(self) -> Rows:
        """What is in the tables of the line."""
        models = self.line.state.apps.get_models(include_auto_created=True)
        return {model._meta.db_table: self._rows_of(model) for model in models}

    def stash(self, branch: str = "") -> dict[str, list[str]]:
        """What the stash has, of one branch or of all: by table, the columns of each entry."""
        found: dict[str, list[str]] = {}
        table = self.connection.ops.quote_name("table")
        with self.connection.cursor() as cursor:
            if STASH in self.connection.introspection.table_names(cursor):
                where = "WHERE branch = %s" if branch else ""
                cursor.execute(
                    f"SELECT {table}, columns FROM {STASH} {where} ORDER BY id",
                    [branch] if branch else [],
                )
                for name, columns in cursor.fetchall():
                    known = columns if isinstance(columns, dict) else json.loads(columns)
                    found.setdefault(name, []).append(", ".join(sorted(known)))
        return found

    def arrive(
        self, line: Line, expected: Rows, may_differ: bool = False, may_be_said: bool = False
    ) -> None:
        """
        Go to a line, and find these rows there. Nothing is left to do, or to say.

        Rows that ``may_differ`` do so only if the switch says what stays in the stash. It also
        ``may_be_said`` of rows that are another branch's.
        """
        self.go(line)
        self.assert_in_step()
        found, stash = self.rows(), self.stash()
        where = f"{line.branch} has {found}, notes={self.notes}, {stash=}"
        if may_differ and self.notes:
            return
        assert found == {table: self._as_kept(text) for table, text in expected.items()}, where
        assert may_be_said or not self.notes, where

    def assert_in_step(self) -> None:
        """The schema is that of a new database, and there is nothing left to do."""
        assert not self._switch(), f"{self.line.branch} is out of step"
        found, expected = schema(self.connection), self.schemas[self.line]
        assert found == expected, f"{self.line.branch} has another schema"
        self.connection.check_constraints()

    def _switch(self) -> Switch:
        disk = OnDisk(self.line.code, self._migrations)
        workspace = Workspace(self.repository, self._snapshot_file, disk)
        return Switch(self.connection, workspace, Options())

    @property
    def _migrations(self) -> Path:
        return self.directory / APP / "migrations"

    @property
    def _snapshot_file(self) -> SnapshotFile:
        return SnapshotFile.find(self.repository)

    def _as_kept(self, rows: str) -> str:
        """Rows with what stands in parentheses if the database does not cut texts."""
        if self.connection.vendor == "sqlite":
            return rows.replace("(", "").replace(")", "")
        return re.sub(r"\(.*?\)", "", rows)

    def _rows_of(self, model: Any) -> str:
        quote = self.connection.ops.quote_name
        columns = [quote(one.column) for one in model._meta.local_concrete_fields]
        table = quote(model._meta.db_table)
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {columns[0]}")
            return "; ".join(" ".join(map(_text, row)) for row in cursor.fetchall())


STASH = "django_devtools_stash"


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return str(value) or "''"
