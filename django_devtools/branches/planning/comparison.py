"""What a database holds, what it should hold, and how each migration of it reads."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration

from django_devtools.branches.schema.operations import (
    raw_operations,
    same_raw_operations,
    same_schema,
)
from django_devtools.branches.sources.git import Repository
from django_devtools.branches.sources.loader import (
    Code,
    Source,
    UnusableSource,
    load,
    load_or_outline,
)
from django_devtools.branches.sources.provenance import Origin, Provenance, Trace
from django_devtools.branches.sources.rows import read_rows
from django_devtools.branches.sources.snapshots import Key, SnapshotFile, database_id
from django_devtools.branches.sources.target import Target, checkout, managestate, named

from .classify import Facts, State


@dataclass
class Comparison:
    """Everything that is known of one database and its target before anything is decided."""

    connection: BaseDatabaseWrapper
    rows: Mapping[Key, str]
    """The applied migrations in the order of their rows, and when each was applied."""
    history: Provenance
    target: Target
    traces: Mapping[Key, Trace] = field(default_factory=dict)
    """What is known of rows that the target has not."""
    held: dict[Key, Migration] = field(default_factory=dict)
    old_sources: dict[Key, Source] = field(default_factory=dict)
    """The texts that changed migrations were applied from."""
    changed: set[Key] = field(default_factory=set)
    raw_changed: set[Key] = field(default_factory=set)
    """Those whose RunPython or RunSQL reads differently."""
    incomparable: dict[Key, UnusableSource] = field(default_factory=dict)
    """Those that read differently, and whose old text can't be executed in this checkout."""
    unusable: dict[Key, UnusableSource] = field(default_factory=dict)
    """Held migrations whose text can't be executed in this checkout."""

    def facts(self, rerun: Collection[Key] = ()) -> Facts:
        """What the planner needs of it."""
        return Facts(
            rows=list(self.rows),
            held=self.held,
            wanted=self.target.code.migrations,
            origins={key: trace.origin for key, trace in self.traces.items()},
            changed=self.changed,
            rerun=set(rerun),
            unusable=set(self.unusable),
            unmigrated_apps=self.target.code.unmigrated_apps,
            is_complete=self.target.is_complete,
            max_name_length=self.connection.ops.max_name_length(),
        )

    def in_step(self) -> bool:
        """Whether nothing is to be done, as far as that shows without building any graph."""
        return (
            all(trace.origin is Origin.UNKNOWN for trace in self.traces.values())
            and not self.changed
            and self.target.code.migrations.keys() <= self.rows.keys()
        )

    def states(self) -> Mapping[Key, State]:
        """What each migration is to the target."""
        if self.in_step():
            obsolete = dict.fromkeys(self.traces, State.OBSOLETE)
            return dict.fromkeys(self.rows, State.APPLIED) | obsolete
        # Most databases are in step, and need none of it.
        from .plan import make_plan

        return make_plan(self.facts()).states

    def not_rerun(self) -> list[Key]:
        """Those whose RunPython or RunSQL reads differently, and that count as applied."""
        states = self.states() if self.raw_changed else {}
        return sorted(key for key in self.raw_changed if states[key] is not State.CHANGED)

    def held_source(self, key: Key) -> Source | None:
        """The text that an applied migration was applied from."""
        if key in self.traces:
            return self.traces[key].source
        if key in self.old_sources:
            return self.old_sources[key]
        return self.wanted_source(key)

    def wanted_source(self, key: Key) -> Source | None:
        """The text of one of the target's migrations."""
        return self.target.code.source(key) if key in self.target.code.migrations else None


def compare(
    connection: BaseDatabaseWrapper,
    repository: Repository | None,
    snapshot_file: SnapshotFile,
    disk: Code,
    name: str | None = None,
) -> Comparison:
    """
    Look at one database and at the target called ``name`` (None: this checkout).

    Raises SnapshotError and TargetError.
    """
    rows = read_rows(connection)
    snapshots, begun = snapshot_file.read_all()
    history = Provenance(repository, snapshots, database_id(connection), disk, begun)
    target = checkout(repository, disk) if name is None else named(name, history, rows)
    return _look(Comparison(connection, rows, history, target))


def compare_managestate(
    connection: BaseDatabaseWrapper,
    repository: Repository | None,
    disk: Code,
    name: str,
    last: Mapping[str, str],
) -> Comparison:
    """
    Look at one database and at what a managestate.json holds as ``name``.

    Raises TargetError.
    """
    rows = read_rows(connection)
    history = Provenance(repository, {}, database_id(connection), disk, {})
    target = managestate(name, last, history, _held_code(history, rows), rows)
    return _look(Comparison(connection, rows, history, target))


def _look(found: Comparison) -> Comparison:
    _complete_squashes(found)
    _compare_shared(found)
    _trace_foreign(found)
    return found


def _held_code(history: Provenance, rows: Mapping[Key, str]) -> Code:
    code = Code({}, {})
    keys = [key for key in rows if key not in history.disk.migrations]
    for key, source in history.sources(keys).items():
        code.sources[key] = source
        code.packages.setdefault(key[0], source.package)
        code.migrations[key], _ = load_or_outline(key, source)
    return code


def _complete_squashes(found: Comparison) -> None:
    """
    Give the target the replaced migrations of a squash that is applied in part.

    Django can only go on from there with the ones it replaces, and their files may be gone.
    """
    code = found.target.code
    for migration in list(code.migrations.values()):
        replaced = [(app, name) for app, name in migration.replaces]
        applied = [key for key in replaced if key in found.rows]
        missing = [key for key in replaced if key not in code.migrations]
        if not missing or not applied or len(applied) == len(replaced):
            continue
        for key, source in found.history.sources(missing).items():
            code.sources[key] = source
            code.migrations[key], error = load_or_outline(key, source)
            if error:
                found.target.unusable[key] = error


def _compare_shared(found: Comparison) -> None:
    code, history = found.target.code, found.history
    for key, migration in code.migrations.items():
        if key in found.rows or any(tuple(r) in found.rows for r in migration.replaces):
            found.held[key] = migration
    differing = []
    for key in found.held:
        record = history.record(key, found.rows[key]) if key in found.rows else None
        if record and record.blob and history.repository:
            source = code.source(key)
            if source and history.repository.blob_id(source.content) != record.blob:
                differing.append(key)
    for key, old in history.recorded_sources(found.rows, differing).items():
        _compare(found, key, old)


def _compare(found: Comparison, key: Key, old: Source) -> None:
    new = found.target.code.source(key)
    try:
        if new is None or new.reads_like(old):
            return
        before = load(key, old)
    except UnusableSource as error:
        # Never rolled back on suspicion: the texts may well do the same.
        found.incomparable[key] = error
        return
    after = found.target.code.migrations[key]
    if not same_schema(before, after):
        found.changed.add(key)
    if key[0] in found.history.own_apps and (
        not same_raw_operations(before, after)
        or (raw_operations(after) and not new.functions_read_like(old))
    ):
        found.raw_changed.add(key)
    if key in found.changed | found.raw_changed:
        found.held[key] = before
        found.old_sources[key] = old


def _trace_foreign(found: Comparison) -> None:
    code = found.target.code
    # Rows that a squash of the target stands for are explained.
    replaced = {
        (app, name) for migration in code.migrations.values() for app, name in migration.replaces
    }
    keys = [key for key in found.rows if key not in code.migrations and key not in replaced]
    found.traces = found.history.traces(found.rows, keys, found.target.past)
    disk, listed = found.history.disk, found.target.listed_apps or set()
    for key, trace in found.traces.items():
        if trace.source is None:
            continue
        if key[0] in listed and key in disk.migrations:
            # The state says that it is not there, wherever it came from.
            found.traces[key] = replace(trace, origin=Origin.OTHER)
        if key in disk.migrations and trace.source.origin == "file":
            found.held[key] = disk.migrations[key]
            continue
        found.held[key], error = load_or_outline(key, trace.source)
        if error:
            found.unusable[key] = error
