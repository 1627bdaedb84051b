"""
Takes squashes apart of which the other side has only a part.

A branch may have only the first few of the migrations that another one has squashed and then
deleted. Neither side has the rest, and yet the way from one to the other is to apply, or to
unapply, just that. So a squash gives way to the migrations that it was made of, by the texts that
git has of them. Then both sides differ by ordinary steps. Where the database holds the squash,
its row is exchanged before the first step; where the target has it, after the last one.

What a squash was made of is what its app had before a commit that added or changed it, or what a
branch had applied that was merged as one migration, as far as the models are the same after both.
A squash of a squash is taken apart until the other side knows the pieces. Migrations that were
reset count as a squash, too, also if it has the name of a piece.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from django.db.migrations import Migration
from django.db.migrations.exceptions import CircularDependencyError

from django_devtools.branches.sources.graph import Graph
from django_devtools.branches.sources.loader import Source, load_all, variant
from django_devtools.branches.sources.provenance import Origin, Trace
from django_devtools.branches.sources.snapshots import Key

from .comparison import Apart, Comparison
from .dependencies import with_lost_dependencies, with_names
from .matching import Match, find_matches
from .plan import Plan, Rows

History = Mapping[Key, Migration]
Earlier = Callable[[Collection[Key]], Iterable[History]]
"""
Returns what apps had before each change of one of these migrations, newest first; and then what
other branches have applied of them.
"""


class Pieces(NamedTuple):
    """What squashes were made of."""

    migrations: History
    matches: list[Match]
    """The pieces are held, and the squashes wanted."""


def taken_apart(found: Comparison, apps: Collection[str]) -> Comparison | None:
    """
    ``found`` with pieces in place of those squashes of ``apps`` of which the other side has some.

    None if there are none. Raises GitError.
    """
    texts = _Texts(found)
    changed = set(found.changed)
    wanted, held = found.target.code.migrations, found.held
    foreign = _candidates(held, (found.traces.keys() | changed) - found.unusable.keys(), apps)
    pending = (wanted.keys() - found.rows) | changed
    pending = _candidates(wanted, pending - found.target.unusable.keys(), apps)
    ours = pieces_of(held, foreign, texts.earlier(_commits(found, foreign)), wanted)
    past = found.target.past.commit
    known = {**ours.migrations, **held}
    theirs = pieces_of(wanted, pending, texts.earlier([past] if past else []), known)
    ours_kept = [one for one in ours.matches if _is_met(one, {*wanted, *theirs.migrations})]
    met = {*held, *(key for match in ours_kept for key in match.held)}
    theirs_kept = [one for one in theirs.matches if _is_met(one, met)]
    if not ours_kept and not theirs_kept:
        return None
    return _compared(
        found,
        Pieces(ours.migrations, ours_kept),
        Pieces(theirs.migrations, theirs_kept),
        texts.sources,
    )


def with_row_changes(plan: Plan, found: Comparison) -> Plan:
    """``plan``, which begins and ends with the squashes of what was taken apart."""
    if found.apart is None:
        return plan
    held, planned = found.apart.held, found.apart.planned
    fresh = [key for key in found.rows if key not in found.whole.rows or key in held]
    pieces = dict.fromkeys(key for squash in planned.values() for key in squash.replaces)
    return plan._replace(
        first_rows=Rows(list(held), fresh), last_rows=Rows(list(pieces), list(planned))
    )


def pieces_of(
    migrations: History, squashes: Collection[Key], earlier: Earlier, known: History
) -> Pieces:
    """
    What those of ``squashes`` were made of that were made of anything.

    ``known`` are the migrations of the other side. Their texts win, and they are not taken apart.
    """
    search = _Search(earlier, known, dict(migrations))
    waiting = set(squashes)
    while waiting:
        waiting = search.take_apart(waiting)
    return Pieces(search.pieces, search.matches)


@dataclass
class _Search:
    earlier: Earlier
    known: History
    found: dict[Key, Migration]
    """All migrations, with the pieces that were found in place of squashes."""
    pieces: dict[Key, Migration] = field(default_factory=dict)
    matches: list[Match] = field(default_factory=list)
    done: set[Key] = field(default_factory=set)

    def take_apart(self, squashes: set[Key]) -> set[Key]:
        """Take apart what can be. The new pieces that may be squashes themselves."""
        self.done |= squashes
        waiting = set(squashes)
        fresh: set[Key] = set()
        for history in self.earlier(sorted(squashes)):
            for match in self._take_apart_by(history, waiting):
                fresh.update(match.held)
                waiting.difference_update(match.wanted)
            if not waiting:
                break
        return fresh - self.known.keys() - self.done

    def _take_apart_by(self, history: History, squashes: Collection[Key]) -> list[Match]:
        """The same by what was there at one moment."""
        taken = (self.done | self.found.keys()).difference(squashes)
        pieces = {
            key: self.known.get(key, migration)
            for key, migration in _long_form(history).items()
            if key not in taken
        }
        found = _matches(self.found, squashes, pieces)
        self.found = with_pieces(self.found, found, pieces)
        self.matches = _composed(self.matches, found)
        self.pieces |= {key: pieces[key] for match in found for key in match.held}
        return found


def with_pieces(
    migrations: History, matches: Iterable[Match], pieces: History
) -> dict[Key, Migration]:
    """``migrations`` with what is held in ``matches`` in place of what is wanted in them."""
    matches = list(matches)
    places = _places(matches)
    found = with_names({k: one for k, one in migrations.items() if k not in places}, places)
    for match in matches:
        found |= {key: pieces[key] for key in match.held}
    return found


def _places(matches: Iterable[Match]) -> dict[Key, Collection[Key]]:
    return {key: match.held for match in matches for key in match.wanted}


class _Texts:
    """What git and snapshots have of earlier migrations."""

    def __init__(self, found: Comparison) -> None:
        self._provenance = found.provenance
        self.sources: dict[Key, Source] = {}

    def earlier(self, commits: Collection[str]) -> Earlier:
        """The migrations in the history of ``commits``, and those of other branches."""

        def earlier(keys: Collection[Key]) -> Iterator[History]:
            for commit in commits:
                yield from map(self._load, self._provenance.history.earlier(keys, commit))
            # A branch that was merged as one migration has no part in that history.
            apps = {app for app, _ in keys}
            yield from map(self._load, self._provenance.applied_by_branches(apps))

        return earlier

    def _load(self, sources: Mapping[Key, Source]) -> History:
        migrations, errors = load_all(sources)
        self.sources = {**sources, **self.sources}
        return {key: one for key, one in migrations.items() if key not in errors}


def _candidates(migrations: History, keys: Collection[Key], apps: Collection[str]) -> set[Key]:
    """Those that may be squashes and don't say so."""
    return {
        key
        for key in keys
        if key[0] in apps and key in migrations and not migrations[key].replaces
    }


def _commits(found: Comparison, keys: Iterable[Key]) -> list[str]:
    """The commits in whose history ``keys`` were added, or are about to be."""
    sources = [found.held_source(key) for key in sorted(keys)]
    return list(dict.fromkeys(one.commit for one in sources if one and one.commit))


def _is_met(match: Match, others: Collection[Key]) -> bool:
    return any(key in others for key in match.held)


def _long_form(migrations: History) -> dict[Key, Migration]:
    """``migrations`` without squashes of which they have the long form as well."""
    return {
        key: one
        for key, one in migrations.items()
        if not any((app, name) in migrations for app, name in one.replaces)
    }


def _matches(migrations: History, squashes: Collection[Key], pieces: History) -> list[Match]:
    """Which of ``squashes`` do the same as which of ``pieces``."""
    rest = {key: one for key, one in migrations.items() if key not in squashes}
    old, new = with_lost_dependencies({**rest, **pieces}), with_lost_dependencies(migrations)
    try:
        before, after = Graph(old, list(old)), Graph(new, list(rest))
    except CircularDependencyError:
        return []
    # A squash leaves out what its project no longer needs.
    matches = find_matches(before, after, pieces.keys(), own=pieces.keys()).in_order
    return [match for match in matches if len(match.held) > len(match.wanted)]


def _composed(matches: list[Match], more: list[Match]) -> list[Match]:
    """``matches`` and ``more``, which take apart some of what is held in ``matches``."""
    fresh = list(more)
    found = []
    for match in matches:
        inner = [one for one in fresh if set(one.wanted) <= set(match.held)]
        fresh = [one for one in fresh if one not in inner]
        held = list(match.held)
        for one in inner:
            place = held.index(one.wanted[0])
            held = [key for key in held if key not in one.wanted]
            held[place:place] = one.held
        found.append(Match(tuple(held), match.wanted))
    return found + fresh


def _compared(
    found: Comparison, ours: Pieces, theirs: Pieces, sources: Mapping[Key, Source]
) -> Comparison:
    """``found`` with pieces in place of squashes on both sides."""
    target = found.target.code.migrations
    pieces = {**theirs.migrations, **ours.migrations}
    wanted = with_lost_dependencies(with_pieces(target, theirs.matches, pieces))
    traces = _traces(found, ours.matches, wanted, sources)
    squashes = {*_places(ours.matches), *_places(theirs.matches)}
    return found._replace(
        rows=_rows(found.rows, ours.matches),
        traces=traces,
        held=_held(found, ours.matches, wanted, pieces),
        changed=set(found.changed) - squashes,
        raw_changed=set(found.raw_changed) - squashes,
        moved=with_names(found.moved, _places(ours.matches)),
        replacing={key: commit for key, commit in found.replacing.items() if key in traces},
        apart=Apart(
            whole=found,
            wanted=wanted,
            sources=_texts(found, theirs.matches, sources),
            held=_squashed(ours.matches, found.held),
            planned=_squashed(theirs.matches, target),
        ),
    )


def _held(
    found: Comparison, matches: Iterable[Match], wanted: History, pieces: History
) -> dict[Key, Migration]:
    """The applied migrations. Those that both sides have depend on the names of the target."""
    target = found.target.code.migrations
    shared = {
        key: wanted[key]
        for key, migration in found.held.items()
        if key in wanted and migration is target.get(key)
    }
    others = {key: one for key, one in found.held.items() if key not in shared}
    return {**shared, **with_pieces(others, matches, pieces)}


def _traces(
    found: Comparison,
    matches: Iterable[Match],
    wanted: Collection[Key],
    sources: Mapping[Key, Source],
) -> dict[Key, Trace]:
    """Where the rows come from that the target lacks. Pieces come from where the squash does."""
    traces = dict(found.traces)
    for match in matches:
        squash = found.held_source(match.wanted[0])
        for key in match.wanted:
            traces.pop(key, None)
        for key in match.held:
            if key in sources:
                source = sources[key]._replace(branch=squash.branch if squash else None)
                traces.setdefault(key, Trace(Origin.OTHER, source))
    return {key: trace for key, trace in traces.items() if key not in wanted}


def _texts(
    found: Comparison, matches: Iterable[Match], sources: Mapping[Key, Source]
) -> dict[Key, Source]:
    """The texts of the target's pieces: those that they were applied from, if they were."""
    texts = dict(sources)
    for key in found.held:
        if source := found.held_source(key):
            texts[key] = source
    return {key: texts[key] for match in matches for key in match.held if key in texts}


def _rows(rows: Mapping[Key, str], matches: Iterable[Match]) -> dict[Key, str]:
    """``rows`` with those of the pieces in place of those of the squashes."""
    places = _places(matches)
    found: dict[Key, str] = {}
    for key, at in rows.items():
        for name in places.get(key, [key]):
            found.setdefault(name, at)
    return found


def _squashed(matches: Iterable[Match], migrations: History) -> dict[Key, Migration]:
    """The squashes, as if they still named what they replace."""
    return {
        key: variant(migrations[key], replaces=list(match.held))
        for match in matches
        for key in match.wanted
    }
