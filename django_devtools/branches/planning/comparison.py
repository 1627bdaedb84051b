"""Compares what a database holds with what its target has. Decides nothing."""

import logging
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration

from django_devtools.branches.schema.changes import makers
from django_devtools.branches.schema.dialects import database_id
from django_devtools.branches.schema.introspection import Tables
from django_devtools.branches.schema.operations import (
    created_models,
    raw_operations,
    same_place,
    same_raw_operations,
    same_schema,
)
from django_devtools.branches.schema.tracker import SchemaHistory, track
from django_devtools.branches.sources.git import Repository
from django_devtools.branches.sources.graph import Graph
from django_devtools.branches.sources.loader import (
    Code,
    Source,
    UnusableSource,
    load,
    load_all,
    load_or_outline,
    variant,
)
from django_devtools.branches.sources.provenance import Origin, Past, Provenance, Trace
from django_devtools.branches.sources.remembered import Answer
from django_devtools.branches.sources.rows import read_rows
from django_devtools.branches.sources.snapshot_file import SnapshotFile
from django_devtools.branches.sources.snapshots import Key
from django_devtools.branches.sources.target import Target, before, checkout, managestate, named
from django_devtools.branches.sources.text_ids import Texts

from .classify import Facts, State, states

logger = logging.getLogger("django_devtools.branches")


class Apart(NamedTuple):
    """Squashes in whose place the pieces are compared that they were made of."""

    whole: "Comparison"
    """The comparison with the squashes."""
    wanted: Mapping[Key, Migration]
    """The target's migrations, with pieces in place of squashes."""
    sources: Mapping[Key, Source]
    """The texts of those pieces."""
    held: Mapping[Key, Migration]
    """Applied squashes, whose rows give way to those of their pieces before the first step."""
    planned: Mapping[Key, Migration]
    """The target's squashes, whose rows replace those of their pieces after the last step."""


class Comparison(NamedTuple):
    """Everything that is known of one database and its target before anything is decided."""

    connection: BaseDatabaseWrapper
    rows: Mapping[Key, str]
    """The applied migrations in the order of their rows, and when each was applied."""
    provenance: Provenance
    target: Target
    traces: Mapping[Key, Trace] = {}
    """The origins and texts of rows that the target lacks."""
    held: Mapping[Key, Migration] = {}
    """The applied migrations whose source is known, as they were applied."""
    old_sources: Mapping[Key, Source] = {}
    """The texts that changed migrations were applied from."""
    changed: Collection[Key] = ()
    """Those whose effect on the schema differs from that of the target's text."""
    raw_changed: Collection[Key] = ()
    """Those whose RunPython or RunSQL reads differently."""
    moved: Mapping[Key, Migration] = {}
    """Those of which the dependencies differ and the effect does not, as they were applied."""
    incomparable: Mapping[Key, UnusableSource] = {}
    """Those that read differently, and whose old text can't be executed in this checkout."""
    unusable: Mapping[Key, UnusableSource] = {}
    """Held migrations whose text can't be executed in this checkout."""
    replacing: Mapping[Key, str] = {}
    """
    Those by which another branch has replaced what the target has and what is pending.

    Each with the last commit that had what was replaced.
    """
    pruned: Collection[Key] = ()
    """The target's squashes that have a row, while what they replace has none any more."""
    remembered: Mapping[Key, Answer] = {}
    """What was said of migrations that can't be unapplied."""
    apart: Apart | None = None
    """Set where pieces are compared in place of squashes."""

    @property
    def texts(self) -> Texts:
        """The texts of migrations by their ids."""
        return self.provenance.texts

    @property
    def whole(self) -> "Comparison":
        """What was found, with all squashes."""
        return self.apart.whole if self.apart else self

    @property
    def wanted(self) -> Mapping[Key, Migration]:
        """The target's migrations, or the pieces of them that are compared."""
        return self.apart.wanted if self.apart else self.target.code.migrations

    def facts(self, rerun: Collection[Key] = ()) -> Facts:
        """The facts that the rules and the plan need."""
        return Facts(
            rows=[one for key in self.rows for one in self._rows_of(key)],
            held=self.held,
            wanted=self.wanted,
            origins={key: trace.origin for key, trace in self.traces.items()},
            changed=self.changed,
            moved=self.moved,
            rerun=rerun,
            unusable=set(self.unusable),
            unusable_wanted=set(self.target.unusable),
            replacing=set(self.replacing),
            pruned=self._standing,
            unmigrated_apps=self.target.code.unmigrated_apps,
            # Old texts may name what has other names by now.
            is_complete=self.target.is_complete and not self.apart,
            max_name_length=self.connection.ops.max_name_length(),
        )

    def _rows_of(self, key: Key) -> list[Key]:
        """A row, and before it what it stands for."""
        return [*(_replaced(self.wanted[key]) if key in self._standing else ()), key]

    @property
    def _standing(self) -> set[Key]:
        """Those of ``pruned`` that are not taken apart."""
        return {key for key in self.pruned if key in self.wanted}

    def in_step(self) -> bool:
        """Whether there is nothing to do, as far as that shows without building any graph."""
        return self.facts().in_step()

    def states(self) -> Mapping[Key, State]:
        """The state of each migration. Raises NodeNotFoundError if the target is broken."""
        return states(self.facts())

    def not_rerun(self, states: Mapping[Key, State]) -> list[Key]:
        """Those whose RunPython or RunSQL reads differently, and that count as applied."""
        return sorted(key for key in self.raw_changed if states[key] is not State.CHANGED)

    def applied_in_part(self) -> dict[Key, list[Key]]:
        """
        The target's squashes of which a part is applied, each with what nothing has a text of.

        Django leaves such a squash out, and what depended on it depends on nothing.
        """
        known = self.target.code.migrations
        found = {}
        for key, squash in known.items():
            replaced = _replaced(squash)
            missing = [one for one in replaced if one not in known and one not in self.rows]
            if missing and any(one in self.rows for one in replaced):
                found[key] = missing
        return found

    def words_of_part(self, squash: Key) -> str:
        """What is known of one of ``applied_in_part``, and what to do about it."""
        missing = ", ".join(".".join(key) for key in self.applied_in_part()[squash])
        return (
            f"{'.'.join(squash)} is applied in part. Not applied, and not found on disk, in a "
            f"snapshot or in the git history of any ref: {missing}. Neither a switch nor "
            "`migrate` goes on there. Put back what is missing, and run "
            "`manage.py migrations_switch`."
        )

    def answers(self) -> dict[Key, str]:
        """What was said of applied migrations, and still holds: they have the same texts."""
        return {
            key: answer.choice
            for key, answer in self.remembered.items()
            if key in self.rows and answer.is_due(self.rows, key)
            if answer.text == self.texts.id(self.held_source(key))
        }

    def standing_answers(self) -> dict[Key, str]:
        """The same, with those about what is applied no more and comes back with its branch."""
        absent = {key: one for key, one in self.remembered.items() if key not in self.rows}
        due = {
            key: one.choice
            for key, one in absent.items()
            if one.is_due(self.rows, key) and self._stands(one)
        }
        return {**due, **self.answers()}

    def _stands(self, answer: Answer) -> bool:
        """Whether the branch of what an answer is about is still there."""
        repository = self.provenance.repository
        return repository is None or repository.is_branch(answer.branch)

    def held_source(self, key: Key) -> Source | None:
        """The text that an applied migration was applied from."""
        if key in self.traces:
            return self.traces[key].source
        if key in self.old_sources:
            return self.old_sources[key]
        return self.wanted_source(key)

    def wanted_source(self, key: Key) -> Source | None:
        """The text of one of the target's migrations."""
        if self.apart and key in self.apart.sources:
            return self.apart.sources[key]
        return self.target.code.source(key) if key in self.target.code.migrations else None


def compare(
    connection: BaseDatabaseWrapper,
    repository: Repository | None,
    snapshot_file: SnapshotFile,
    disk: Code,
    name: str | None = None,
    trusted: Collection[str] = (),
    undo: bool = False,
) -> Comparison:
    """
    Look at one database and at the target called ``name`` (None: this checkout).

    ``trusted`` are refs whose code may be run although it was only fetched. ``undo``: the target
    is what was there before the last switch. Raises SnapshotError, TargetError, TrustError and
    GitError.
    """
    rows = read_rows(connection)
    snapshots, begun, answers, last = snapshot_file.read_all()
    database = database_id(connection)
    provenance = Provenance(repository, snapshots, database, disk, begun, trusted)
    if undo:
        target = before(last.get(database), connection.alias, provenance, rows)
    else:
        target = checkout(repository, disk) if name is None else named(name, provenance, rows)
    found = _compared(connection, rows, provenance, target)
    return found._replace(remembered=answers.get(database, {}))


def compare_managestate(
    connection: BaseDatabaseWrapper,
    repository: Repository | None,
    disk: Code,
    name: str,
    last: Mapping[str, str],
    trusted: Collection[str] = (),
) -> Comparison:
    """
    Look at one database and at what a managestate.json holds as ``name``.

    Raises TargetError, TrustError and GitError.
    """
    rows = read_rows(connection)
    provenance = Provenance(repository, {}, database_id(connection), disk, {}, trusted)
    target = managestate(name, last, provenance, _held_code(provenance, rows), rows)
    return _compared(connection, rows, provenance, target)


def _compared(
    connection: BaseDatabaseWrapper,
    rows: Mapping[Key, str],
    provenance: Provenance,
    target: Target,
) -> Comparison:
    for squash in target.code.migrations.values():
        target = _with_replaced(target, squash, rows, provenance)
    differences = _differences(rows, provenance, target)
    edits = _edits(differences)
    as_applied = {key: edit.before for key, edit in edits.items()}
    traces = _traces(rows, provenance, target)
    foreign, unusable = _load_traced(traces, provenance)
    held = {**_shared(rows, target), **as_applied, **foreign}
    squashes = _squashes(target)
    pruned = _pruned(connection, rows, held, squashes)
    for key in pruned - squashes.keys():
        held[key] = variant(held[key], replaces=[])
    _log(traces, differences)
    return Comparison(
        connection,
        rows,
        provenance,
        target,
        traces=traces,
        held=held,
        old_sources={key: edit.source for key, edit in edits.items()},
        changed={key for key in edits if edits[key].schema},
        raw_changed={key for key in edits if edits[key].raw},
        moved=_moved(differences),
        incomparable=_errors(differences),
        unusable=unusable,
        replacing=_replacing(rows, traces, foreign, provenance, target),
        pruned=pruned & squashes.keys(),
    )


def _held_code(provenance: Provenance, rows: Mapping[Key, str]) -> Code:
    """The applied migrations that are not on disk."""
    missing = [key for key in rows if key not in provenance.disk.migrations]
    sources = provenance.sources(rows, missing, Past(None, None))
    migrations, _ = load_all(sources)
    packages: dict[str, str] = {}
    for (app, _), source in sources.items():
        packages.setdefault(app, source.package)
    return Code(migrations, packages, sources=sources)


def _with_replaced(
    target: Target, squash: Migration, rows: Mapping[Key, str], provenance: Provenance
) -> Target:
    """
    ``target``, with what ``squash`` replaces if that is applied in part.

    Django can only continue with the replaced migrations then, and their files may be gone.
    """
    replaced = _replaced(squash)
    applied = [key for key in replaced if key in rows]
    missing = [key for key in replaced if key not in target.code.migrations]
    if not missing or not applied or len(applied) == len(replaced):
        return target
    sources = provenance.sources(rows, missing, target.past)
    migrations, errors = load_all(sources)
    code = Code(
        {**target.code.migrations, **migrations},
        target.code.packages,
        target.code.unmigrated_apps,
        {**target.code.sources, **sources},
    )
    return target._replace(code=code, unusable={**target.unusable, **errors})


def _shared(rows: Mapping[Key, str], target: Target) -> dict[Key, Migration]:
    """The target's migrations that are applied, at least in part."""
    return {
        key: migration
        for key, migration in target.code.migrations.items()
        if key in rows or any(replaced in rows for replaced in _replaced(migration))
    }


def _replaced(squash: Migration) -> list[Key]:
    """The migrations that ``squash`` replaces. Some projects write the pairs as lists."""
    return [(app, name) for app, name in squash.replaces]


def _squashes(target: Target) -> dict[Key, Migration]:
    """The target's squashes that name what they replace."""
    return {key: one for key, one in target.code.migrations.items() if one.replaces}


def _pruned(
    connection: BaseDatabaseWrapper,
    rows: Mapping[Key, str],
    held: Mapping[Key, Migration],
    squashes: Mapping[Key, Migration],
) -> set[Key]:
    """
    The squashes that are applied, although nothing that they replace has a row any more.

    ``migrate --prune`` deletes these rows, and Django then takes the squash for pending. It is,
    where its row outlived the unapplying of what it replaces: the database tells.
    """
    # A text that applied one may not name what it replaces, as those of the target do.
    known = {**held, **squashes}
    replaced = {key: _replaced(known[key]) for key in rows if key in held}
    alone = {key for key, old in replaced.items() if old and rows.keys().isdisjoint(old)}
    if not alone:
        return alone
    graph = Graph(_with_own_work(held, alone), rows)
    order = graph.ordered(graph.applied_nodes(), rows)
    return {key for key in alone if _is_there(connection, key, graph, order)}


def _with_own_work(
    held: Mapping[Key, Migration], squashes: Collection[Key]
) -> dict[Key, Migration]:
    """``held``, with ``squashes`` as migrations of their own, and not what they are part of."""
    return {
        key: variant(migration, replaces=[]) if key in squashes else migration
        for key, migration in held.items()
        if not any(one in squashes for one in _replaced(migration))
    }


def _is_there(
    connection: BaseDatabaseWrapper, squash: Key, graph: Graph, order: list[Key]
) -> bool:
    """Whether the database has what a squash made, by the names that it has by now."""
    place = order.index(squash)
    later = [graph.graph.nodes[key] for key in order[place:]]
    try:
        history = track(graph.state(order[:place]), later, connection.ops.max_name_length())
    except Exception as error:  # noqa: BLE001 - an operation may raise anything on a foreign state
        logger.debug("%s.%s: what it made is not known: %r", *squash, error)
        return False
    tables = Tables(connection)
    made = [
        item for item, one in makers(SchemaHistory(), history).items() if one.migration == squash
    ]
    return bool(made) and all(tables.has_item(*item) for item in made)


class _Difference(NamedTuple):
    """A migration that was applied from another text than the target has."""

    source: Source
    before: Migration
    """As it was applied; as the target has it if the text can't be executed here."""
    error: UnusableSource | None = None
    schema: bool = False
    """Whether the effect on the schema differs."""
    raw: bool = False
    """Whether its RunPython or RunSQL differs."""
    place: bool = False
    """Whether it comes after, or before, other migrations."""


def _edits(differences: Mapping[Key, _Difference]) -> dict[Key, _Difference]:
    return {key: found for key, found in differences.items() if found.schema or found.raw}


def _moved(differences: Mapping[Key, _Difference]) -> dict[Key, Migration]:
    edits = _edits(differences)
    return {
        key: found.before for key, found in differences.items() if found.place and key not in edits
    }


def _errors(differences: Mapping[Key, _Difference]) -> dict[Key, UnusableSource]:
    return {key: found.error for key, found in differences.items() if found.error}


def _differences(
    rows: Mapping[Key, str], provenance: Provenance, target: Target
) -> dict[Key, _Difference]:
    """The migrations whose texts differ from the target's in more than formatting."""
    keys = [key for key in target.code.migrations if key in rows]
    keys = [key for key in keys if _is_recorded_otherwise(key, rows[key], provenance, target)]
    found = {}
    for key, source in provenance.recorded_sources(rows, keys).items():
        difference = _difference(key, source, provenance, target)
        if difference:
            found[key] = difference
    return found


def _is_recorded_otherwise(key: Key, at: str, provenance: Provenance, target: Target) -> bool:
    """Whether a snapshot has recorded another blob for a row than that of the target's text."""
    record = provenance.record(key, at)
    if not (record and record.blob and provenance.repository):
        return False
    source = target.code.source(key)
    return source is not None and provenance.repository.blob_id(source.content) != record.blob


def _difference(
    key: Key, old: Source, provenance: Provenance, target: Target
) -> _Difference | None:
    new = target.code.source(key)
    after = target.code.migrations[key]
    try:
        if new is None or new.reads_like(old):
            return None
        before = load(key, old)
    except UnusableSource as error:
        if _is_as_it_was(key, old, new, after, provenance):
            return None
        # Never rolled back on suspicion: the texts may well do the same.
        return _Difference(old, after, error)
    return _compared_texts(key, (old, before), (new, after), provenance)


def _compared_texts(
    key: Key, old: tuple[Source, Migration], new: tuple[Source, Migration], provenance: Provenance
) -> _Difference:
    (source, before), (_, after) = old, new
    schema = not same_schema(before, after)
    # Those of a package differ with its version. That is no edit.
    is_own = key[0] in provenance.history.own_apps
    raw = is_own and (
        not same_raw_operations(before, after)
        or (bool(raw_operations(after)) and not new[0].functions_read_like(source))
    )
    return _Difference(source, before, schema=schema, raw=raw, place=not same_place(before, after))


def _is_as_it_was(
    key: Key, old: Source, new: Source | None, after: Migration, provenance: Provenance
) -> bool:
    """Whether a text that can't be executed here differs in what has moved, or has no effect."""
    repository, project = provenance.repository, old.project or old.commit
    if new is None or repository is None or project is None:
        return False
    from django_devtools.branches.sources.moved import load_moved, text_in

    try:
        before = load_moved(key, old, new, partial(text_in, repository, project))
    except UnusableSource:
        return False
    found = _compared_texts(key, (old, before), (new, after), provenance)
    return not (found.schema or found.raw or found.place)


def _traces(rows: Mapping[Key, str], provenance: Provenance, target: Target) -> dict[Key, Trace]:
    """The origins and texts of rows that neither the target nor one of its squashes explains."""
    explained = set(target.code.migrations)
    for squash in target.code.migrations.values():
        explained.update(_replaced(squash))
    keys = [key for key in rows if key not in explained]
    traces = provenance.traces(rows, keys, target.past)
    return {
        key: trace._replace(origin=_origin(key, trace, provenance, target))
        for key, trace in traces.items()
    }


def _origin(key: Key, trace: Trace, provenance: Provenance, target: Target) -> Origin:
    """The origin of a row, unless the target itself says what is not applied in it."""
    if target.since is not None:
        return Origin.OTHER if key in target.since else Origin.UNKNOWN
    is_listed = key[0] in (target.listed_apps or ())
    if is_listed and trace.source and key in provenance.disk.migrations:
        # The managestate.json says that it is not applied, wherever it came from.
        return Origin.OTHER
    return trace.origin


def _load_traced(
    traces: Mapping[Key, Trace], provenance: Provenance
) -> tuple[dict[Key, Migration], dict[Key, UnusableSource]]:
    """The migrations of traced sources, and the reason for each that can't be executed here."""
    migrations, errors = {}, {}
    disk = provenance.disk
    for key, trace in traces.items():
        if trace.source is None:
            continue
        if trace.source.origin == "file" and key in disk.migrations:
            migrations[key] = disk.migrations[key]
            continue
        migrations[key], error = load_or_outline(key, trace.source)
        if error:
            errors[key] = error
        else:
            provenance.texts.remember(key, trace.source, migrations[key])
    return migrations, errors


def _replacing(
    rows: Mapping[Key, str],
    traces: Mapping[Key, Trace],
    foreign: Mapping[Key, Migration],
    provenance: Provenance,
    target: Target,
) -> dict[Key, str]:
    """The rows of other branches that create what something pending creates that they deleted."""
    pending = {key: one for key, one in target.code.migrations.items() if key not in rows}
    by_moment: dict[tuple[str, str | None], dict[Key, list[Key]]] = {}
    for key, migration in foreign.items():
        source = traces[key].source
        if traces[key].origin is Origin.OTHER and source and source.commit:
            same = _creating_the_same(key[0], migration, pending)
            by_moment.setdefault((source.commit, source.project), {})[key] = same
    found: dict[Key, str] = {}
    # Most of them are of one commit, and git is asked once for each commit.
    history = provenance.history
    for (commit, project), same_ones in by_moment.items():
        others = [other for same in same_ones.values() for other in same]
        before = history.before_deletions(others, commit)
        before |= history.before_uncommitted_deletions(others, commit, project)
        found |= _first_of(before, same_ones)
    return found


def _first_of(commits: Mapping[Key, str], wanted: Mapping[Key, Sequence[Key]]) -> dict[Key, str]:
    """For each key of ``wanted``, the commit of the first of its keys that has one."""
    having = {key: [commits[other] for other in wanted[key] if other in commits] for key in wanted}
    return {key: found[0] for key, found in having.items() if found}


def _creating_the_same(
    app: str, migration: Migration, others: Mapping[Key, Migration]
) -> list[Key]:
    """Those of ``others`` in ``app`` that create a model which ``migration`` creates, too."""
    created = created_models([migration])
    return [
        key for key, other in others.items() if key[0] == app and created & created_models([other])
    ]


def _log(traces: Mapping[Key, Trace], differences: Mapping[Key, _Difference]) -> None:
    for key, trace in traces.items():
        logger.debug(
            "%s.%s: %s (source: %s)", *key, trace.origin.value, trace.source or "not found"
        )
    for key, found in differences.items():
        logger.debug(
            "%s.%s was applied from another text (source: %s; schema differs: %s; "
            "RunPython or RunSQL differs: %s; dependencies differ: %s; can't be compared: %s)",
            *key,
            found.source,
            found.schema,
            found.raw,
            found.place,
            found.error,
        )
