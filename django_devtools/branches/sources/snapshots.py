"""
Snapshots: which migrations a branch had applied in a database, and from which texts.

``planning/recording.py`` chooses what goes into one. Of each migration, the file has the blob of
its text and the time of its row, and under ``projects`` the tree of the project at that time::

    {"format": 1, "databases": {"sqlite:/srv/db.sqlite3": {"main": {"commit": "4d7d07d…", …,
        "applied": {"shop": {"0001_initial": ["9fceb02…", "2026-11-21T09:13:02.725398"]}},
        "projects": {"a61f02c…": {"shop": ["0001_initial"]}}}}}}
"""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, NamedTuple

from django.core.files import locks

from django_devtools.branches.errors import DevtoolsError
from django_devtools.branches.files import write_aside
from django_devtools.conf import option, project_root

from .git import Repository

FORMAT = 1
# Names the snapshot of the last checkout without a branch. Git allows no branch of this name.
DETACHED = "HEAD"
MANAGESTATE_TIME = "updated_at"

# Control characters, which could fool a terminal; line separators; lone surrogates.
_UNPRINTABLE = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"

Key = tuple[str, str]
"""App label and name of a migration."""


class SnapshotError(DevtoolsError):
    """A snapshot file can't be read or written. The text names it and says what to do."""


class NotWritten(SnapshotError):
    """The file can't be written."""


class NotOurs(SnapshotError):
    """The file is JSON, but not one of our snapshot files."""


class Record(NamedTuple):
    """A row of ``django_migrations`` as a snapshot remembers it."""

    blob: str | None
    """Git's id of the text that was applied; None if there was no git repository."""
    at: str
    """When it was applied (ISO 8601). With the name it tells one application from another."""
    project: str | None = None
    """Git's id of the tree of the project then; None if none was recorded."""


class Snapshot(NamedTuple):
    """The migrations that one branch had applied in one database."""

    branch: str
    commit: str | None
    taken: str
    packages: Mapping[str, str] = {}
    """The migrations package of each app label."""
    applied: Mapping[Key, Record] = {}
    obsolete: Mapping[Key, Record] = {}
    """Applied too, and no longer in the branch's code when the snapshot was taken."""

    def records(self) -> Mapping[Key, Record]:
        """All that was applied, obsolete or not."""
        return {**self.obsolete, **self.applied}

    def says(self, rows: Mapping[Key, str]) -> bool:
        """Whether it was taken of exactly these rows, applied at exactly these times."""
        return {key: record.at for key, record in self.records().items()} == rows


def branch_of(
    snapshots: Mapping[str, Snapshot], rows: Mapping[Key, str], here: str | None
) -> str | None:
    """The branch whose snapshot is of exactly ``rows``; ``here`` if several are."""
    for branch in sorted(snapshots, key=lambda name: name != here):
        if branch != DETACHED and snapshots[branch].says(rows):
            return branch
    return None


Snapshots = dict[str, dict[str, Snapshot]]
"""By database, then by branch."""

Begun = dict[str, list[Snapshot]]
"""
By database, the oldest first: what was about to be applied, and from which text.

None of them says that it was applied.
"""

KEEP = "keep"


class Answer(NamedTuple):
    """What a person has said of a migration that can't be unapplied."""

    choice: str
    """``keep`` or ``noop``, as after ``--irreversible``."""
    text: str
    """The id of the text that the migration was applied from; empty if that was not found."""
    at: str
    """When it was applied. What counts as empty does so when it is applied again, too."""

    def is_due(self, rows: Mapping[Key, str], key: Key) -> bool:
        """Whether it is about something that is still applied, or comes back."""
        return self.choice != KEEP or rows.get(key) == self.at


Answers = dict[str, dict[Key, Answer]]
"""By database, then by migration."""


class LastSwitch(NamedTuple):
    """The last switch of a database, as ``--undo`` takes it back."""

    at: str
    """When its command began: the same for all databases that it has switched."""
    before: Snapshot
    """All that was applied before it."""
    notes: Sequence[str] = ()
    """What taking it back does not bring back."""
    after: Mapping[Key, str] | None = None
    """The rows when it ended; None if it did not."""
    is_done: bool = False
    """Whether it ended without an error."""

    def is_followed_by(self, rows: Mapping[Key, str]) -> bool:
        """Whether a switch that begins with ``rows`` goes on with this one."""
        return not self.is_done and self.after in (None, rows)


LastSwitches = dict[str, LastSwitch]
"""By database."""


class Contents(NamedTuple):
    """All that the file has."""

    snapshots: Snapshots
    begun: Begun
    answers: Answers
    last: LastSwitches


class SnapshotFile(NamedTuple):
    """The file that holds the snapshots."""

    path: Path
    lock_directory: Path
    repository: Repository | None = None
    """Where the trees of its snapshots are kept."""

    @classmethod
    def find(cls, repository: Repository | None, file: Path | None = None) -> "SnapshotFile":
        """``file``, or else the file that the setting names, or else one in the git directory."""
        if repository:
            directory = repository.common_dir / "django-devtools"
        else:
            directory = project_root() / ".django-devtools"
        path = file or option("SNAPSHOT_FILE") or directory / "snapshots.json"
        return cls(project_root() / path, directory, repository)

    def read(self) -> Snapshots:
        """
        All snapshots; none if there is no file yet.

        Raises SnapshotError if the file is damaged or has a newer format, and NotOurs if it is
        not a snapshot file.
        """
        return self.read_all()[0]

    def read_all(self) -> Contents:
        """
        The snapshots, and what else is remembered of each database.

        Raises SnapshotError as ``read`` does.
        """
        data = self._read_json()
        if not isinstance(data, dict) or "format" not in data:
            raise NotOurs(str(self._error("is not a snapshot file of django_devtools")))
        if type(data["format"]) is int and data["format"] > FORMAT:
            raise self._error(
                f"has format {data['format']}, and this version reads up to {FORMAT}",
                "Run `pip install --upgrade django-devtools-kit`",
            )
        try:
            return _from_json(data)
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise self._error(f"is damaged ({error})") from None

    def read_managestate(self, name: str) -> dict[str, str] | None:
        """
        The last migration of each app that a managestate.json has under ``name``.

        None if the file is not one of django-extensions' ``managestate``. Raises SnapshotError
        if it has no such name.
        """
        data = self._read_json()
        if not _is_managestate(data):
            return None
        state = data.get(name)
        if not _is_state(state):
            names = ", ".join(repr(key) for key in data if key != MANAGESTATE_TIME) or "none"
            raise SnapshotError(f"{self.path} has no state {name!r}. It has: {names}.")
        try:
            return {_text(app): _text(last) for app, last in state.items()}
        except ValueError as error:
            raise self._error(f"is damaged ({error})") from None

    def update(
        self,
        database: str,
        snapshots: Iterable[Snapshot] = (),
        delete: str | None = None,
        rows: Mapping[Key, str] | None = None,
        is_done: bool | None = None,
    ) -> None:
        """
        Add ``snapshots`` of ``database``, and delete the snapshot of the branch ``delete``.

        ``rows`` are its applied migrations, if no process is migrating it: then all is forgotten
        that was begun and did not become a row, or is in a snapshot now, and answers about what
        is not applied. ``is_done`` says that a switch ends with these rows, and whether it has
        done all of its work. Raises SnapshotError as ``read`` does, and if the file can't be
        written.
        """
        with self._changing() as contents:
            branches = contents.snapshots.setdefault(database, {})
            begun = contents.begun.setdefault(database, [])
            branches.update({one.branch: _with_projects(one, begun) for one in snapshots})
            if delete is not None:
                branches.pop(delete, None)
            if rows is not None:
                begun[:] = _unsaid(begun, branches.values(), rows)
                answers = contents.answers.get(database, {})
                contents.answers[database] = _still_due(answers, branches.values(), rows)
                if is_done is not None and database in contents.last:
                    ended = contents.last[database]._replace(after=rows, is_done=is_done)
                    contents.last[database] = ended

    def write_down(self, database: str, begun: Snapshot) -> None:
        """Add what is about to be applied. Raises SnapshotError as ``update`` does."""
        with self._changing() as contents:
            contents.begun.setdefault(database, []).append(begun)

    def begin(self, database: str, switch: LastSwitch, rows: Mapping[Key, str]) -> None:
        """
        Record that ``switch`` begins with ``rows``, for ``--undo``.

        What goes on with one that has failed is one with it. Raises SnapshotError as ``update``.
        """
        with self._changing() as contents:
            earlier = contents.last.get(database)
            if earlier and earlier.is_followed_by(rows):
                notes = dict.fromkeys([*earlier.notes, *switch.notes])
                switch = switch._replace(before=earlier.before, notes=[*notes])
            contents.last[database] = switch

    def remember(self, database: str, answers: Mapping[Key, Answer]) -> None:
        """Add ``answers`` to those about ``database``. Raises SnapshotError as ``update`` does."""
        with self._changing() as contents:
            contents.answers.setdefault(database, {}).update(answers)

    def forget(self, database: str) -> Mapping[Key, Answer]:
        """Delete, and return, the answers. Raises SnapshotError as ``update`` does."""
        if database not in self.read_all().answers:
            return {}
        with self._changing() as contents:
            return contents.answers.pop(database, {})

    @contextmanager
    def _changing(self) -> Iterator[Contents]:
        with self.lock("snapshots"):
            contents = self.read_all()
            before = _projects(contents)
            yield contents
            data = _to_json(contents)
            try:
                _from_json(data)
            except ValueError as error:  # The file could not be read again.
                raise SnapshotError(f"{self.path} can't be written: {error}.") from None
            after = _projects(contents)
            # None of them is ever in the file and not kept.
            if after - before:
                self._keep(before | after)
            self._write(json.dumps(data, indent=1, ensure_ascii=True))
            if before - after:
                self._keep(after)

    def _keep(self, trees: set[str]) -> None:
        if self.repository:
            from .trees import keep

            # Another file may have snapshots with other trees.
            name = self.repository.blob_id(os.fsencode(self.path))[:12]
            keep(self.repository, name, trees)

    @contextmanager
    def lock(self, name: str, waiting: Any = None, or_elsewhere: bool = False) -> Iterator[None]:
        """
        Hold the lock ``name`` against other processes. The system releases it if ours dies.

        If another process holds it, calls ``waiting`` with the text that the other has written
        to the lock file, and waits. ``or_elsewhere``: if its directory can't be written, against
        processes of the same user. Raises NotWritten.
        """
        with self._lock_file(name, or_elsewhere) as file:
            if not locks.lock(file, locks.LOCK_EX | locks.LOCK_NB):
                if waiting:
                    file.seek(0)
                    waiting(file.read().strip())
                locks.lock(file, locks.LOCK_EX)
            try:
                _write_over(file, f"process {os.getpid()}, since {now()}")
                yield
            finally:
                _write_over(file, "")
                locks.unlock(file)

    def _lock_file(self, name: str, or_elsewhere: bool) -> IO[str]:
        path = self.lock_directory / f"{name}.lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return _opened(path)
        except OSError as error:
            if or_elsewhere:
                with suppress(OSError):
                    return _opened(_elsewhere(path))
            raise NotWritten(f"{path} can't be written: {error.strerror}.") from None

    def _read_json(self) -> Any:
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return {"format": FORMAT, "databases": {}}
        except OSError as error:
            raise SnapshotError(f"{self.path} can't be read: {error.strerror}.") from None
        try:
            return json.loads(text.decode())
        except (ValueError, RecursionError) as error:
            raise self._error(f"is damaged ({error})") from None

    def _write(self, text: str) -> None:
        try:
            write_aside(self.path, text + "\n")
        except OSError as error:
            raise NotWritten(f"{self.path} can't be written: {error.strerror}.") from None

    def _error(
        self, what: str, advice: str = "Move it away, or name another file with --file"
    ) -> Any:
        return SnapshotError(f"{self.path} {what}. It was not changed. {advice}.")


def _elsewhere(path: Path) -> Path:
    """The place of a lock file in the user's part of the directory for temporary files."""
    user = os.getuid() if hasattr(os, "getuid") else ""
    digest = hashlib.sha256(os.fsencode(path), usedforsecurity=False).hexdigest()[:12]
    return Path(tempfile.gettempdir(), f"django-devtools-{user}-{digest}.lock")


def _opened(path: Path) -> IO[str]:
    # Others may write to the directory for temporary files, and leave a link there.
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
    return os.fdopen(os.open(path, flags, 0o666), "a+", encoding="utf-8", errors="replace")


def _write_over(file: IO[str], text: str) -> None:
    """Replace the text of a lock file. Where the disk is full, it stays empty."""
    with suppress(OSError):
        os.ftruncate(file.fileno(), 0)
        os.write(file.fileno(), text.encode())


def _is_managestate(data: Any) -> bool:
    """Whether a file is one of django-extensions' ``managestate``."""
    return isinstance(data, dict) and MANAGESTATE_TIME in data and "format" not in data


def _is_state(data: Any) -> bool:
    return isinstance(data, dict) and all(isinstance(last, str) for last in data.values())


def now() -> str:
    """The time in the format of snapshots."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def check_name(branch: str) -> str:
    """``branch``, if it can name a snapshot. Raises SnapshotError if it can't."""
    if not branch.strip() or not _is_line(branch):
        raise SnapshotError(f"{branch!r} can't name a snapshot: give one line of visible text.")
    return branch


def _unsaid(
    begun: Iterable[Snapshot], snapshots: Collection[Snapshot], rows: Mapping[Key, str]
) -> list[Snapshot]:
    """The part of ``begun`` that may have become rows that none of ``snapshots`` has."""
    said = {(key, record.at) for one in snapshots for key, record in one.records().items()}
    unsaid = {key: at for key, at in rows.items() if (key, at) not in said}
    found = []
    for one in begun:
        applied = {k: r for k, r in one.applied.items() if k in unsaid and r.at <= unsaid[k]}
        if applied:
            found.append(one._replace(applied=applied))
    return found


def _still_due(
    answers: Mapping[Key, Answer], snapshots: Collection[Snapshot], rows: Mapping[Key, str]
) -> dict[Key, Answer]:
    """
    The answers about what is applied, and about what counts as empty: it comes back.

    Those about other texts than a snapshot has are left out.
    """
    texts = {
        key: record.blob
        for one in snapshots
        for key, record in one.records().items()
        if record.blob and rows.get(key) == record.at
    }
    return {
        key: answer
        for key, answer in answers.items()
        if answer.is_due(rows, key)
        if texts.get(key, answer.text) == answer.text
    }


def _with_projects(snapshot: Snapshot, begun: Collection[Snapshot]) -> Snapshot:
    """A snapshot with the trees that were recorded when its migrations were begun."""
    found = {
        (key, record.blob): record.project
        for one in begun
        for key, record in one.applied.items()
        if record.project
    }

    def completed(records: Mapping[Key, Record]) -> Mapping[Key, Record]:
        return {
            key: record._replace(project=record.project or found.get((key, record.blob)))
            for key, record in records.items()
        }

    if not found:
        return snapshot
    return snapshot._replace(
        applied=completed(snapshot.applied), obsolete=completed(snapshot.obsolete)
    )


def _projects(contents: Contents) -> set[str]:
    """All trees that a file names."""
    every = [snapshot for found in contents.snapshots.values() for snapshot in found.values()]
    every += [one for found in contents.begun.values() for one in found]
    every += [one.before for one in contents.last.values()]
    return {
        record.project
        for snapshot in every
        for records in (snapshot.applied, snapshot.obsolete)
        for record in records.values()
        if record.project
    }


def _to_json(contents: Contents) -> dict[str, Any]:
    data: dict[str, Any] = {
        "format": FORMAT,
        "databases": {
            database: {branch: _snapshot_to_json(found[branch]) for branch in sorted(found)}
            for database, found in sorted(contents.snapshots.items())
            if found
        },
    }
    others = {
        "begun": _by_database(contents.begun, _begun_to_json),
        "irreversible": _by_database(contents.answers, _answers_to_json),
        "last_switch": _by_database(contents.last, _switch_to_json),
    }
    return data | {name: found for name, found in others.items() if found}


def _by_database(found: Mapping[str, Any], to_json: Callable[[Any], Any]) -> dict[str, Any]:
    return {database: to_json(one) for database, one in sorted(found.items()) if one}


def _begun_to_json(begun: Iterable[Snapshot]) -> list[Any]:
    return [[one.branch, _snapshot_to_json(one)] for one in begun]


def _switch_to_json(switch: LastSwitch) -> dict[str, Any]:
    after: dict[str, dict[str, str]] | None = None
    if switch.after is not None:
        after = {}
        for (app, name), at in switch.after.items():
            after.setdefault(app, {})[name] = at
    return {
        "at": switch.at,
        "before": [switch.before.branch, _snapshot_to_json(switch.before)],
        "notes": [*switch.notes],
        "after": after,
        "is_done": switch.is_done,
    }


def _answers_to_json(answers: Mapping[Key, Answer]) -> dict[str, dict[str, list[str]]]:
    result: dict[str, dict[str, list[str]]] = {}
    for (app, name), answer in sorted(answers.items()):
        result.setdefault(app, {})[name] = [*answer]
    return result


def _snapshot_to_json(snapshot: Snapshot) -> dict[str, Any]:
    data: dict[str, Any] = {
        "commit": snapshot.commit,
        "taken": snapshot.taken,
        "packages": dict(sorted(snapshot.packages.items())),
        "applied": _records_to_json(snapshot.applied),
        "obsolete": _records_to_json(snapshot.obsolete),
    }
    if projects := _projects_to_json(snapshot.records()):
        data["projects"] = projects
    return data


def _projects_to_json(records: Mapping[Key, Record]) -> dict[str, dict[str, list[str]]]:
    result: dict[str, dict[str, list[str]]] = {}
    for (app, name), record in sorted(records.items()):
        if record.project:
            result.setdefault(record.project, {}).setdefault(app, []).append(name)
    return result


def _records_to_json(records: Mapping[Key, Record]) -> dict[str, dict[str, list[str | None]]]:
    result: dict[str, dict[str, list[str | None]]] = {}
    for (app, name), record in sorted(records.items()):
        result.setdefault(app, {})[name] = [record.blob, record.at]
    return result


def _from_json(data: dict[str, Any]) -> Contents:
    if type(data["format"]) is not int or data["format"] != FORMAT:
        raise ValueError(f"not a format: {data['format']!a:.60}")
    snapshots = {
        database: {
            branch: _snapshot_from_json(branch, snapshot) for branch, snapshot in found.items()
        }
        for database, found in data["databases"].items()
    }
    begun = {
        database: [_snapshot_from_json(branch, snapshot) for branch, snapshot in found]
        for database, found in data.get("begun", {}).items()
    }
    answers = {
        database: _answers_from_json(found)
        for database, found in data.get("irreversible", {}).items()
    }
    last = {
        database: _switch_from_json(**switch)
        for database, switch in data.get("last_switch", {}).items()
    }
    return Contents(snapshots, begun, answers, last)


def _switch_from_json(
    at: Any, before: Any, notes: Any, after: Any, is_done: Any, **more: Any
) -> LastSwitch:
    branch, snapshot = before
    rows = None
    if after is not None:
        rows = {
            (_text(app), _text(name)): _text(applied)
            for app, names in after.items()
            for name, applied in names.items()
        }
    notes = [str(note) for note in notes]
    return LastSwitch(_text(at), _snapshot_from_json(branch, snapshot), notes, rows, bool(is_done))


def _answers_from_json(data: dict[str, Any]) -> dict[Key, Answer]:
    return {
        (_text(app), _text(name)): _answer(*answer)
        for app, migrations in data.items()
        for name, answer in migrations.items()
    }


def _answer(choice: Any, text: Any, at: Any) -> Answer:
    if choice not in ("keep", "noop"):
        raise ValueError(f"not an answer: {choice!a:.60}")
    return Answer(choice, text and _object_id(text), _text(at))


def _snapshot_from_json(branch: str, data: dict[str, Any]) -> Snapshot:
    projects = _projects_from_json(data.get("projects", {}))
    return Snapshot(
        branch=_text(branch),
        commit=None if data["commit"] is None else _object_id(data["commit"]),
        taken=_text(data["taken"]),
        packages={_text(app): _dotted(package) for app, package in data["packages"].items()},
        applied=_records_from_json(data["applied"], projects),
        obsolete=_records_from_json(data["obsolete"], projects),
    )


def _projects_from_json(data: dict[str, Any]) -> dict[Key, str]:
    return {
        (_text(app), _text(name)): _object_id(project)
        for project, apps in data.items()
        for app, names in apps.items()
        for name in names
    }


def _records_from_json(data: dict[str, Any], projects: Mapping[Key, str]) -> dict[Key, Record]:
    records = {}
    for app, migrations in data.items():
        for name, (blob, at) in migrations.items():
            key = _text(app), _text(name)
            blob_id = None if blob is None else _object_id(blob)
            records[key] = Record(blob_id, _text(at), projects.get(key))
    return records


def _is_line(text: str) -> bool:
    # The first is quicker, and rejects some lines, too, such as those with a no-break space.
    return text.isprintable() or not re.search(_UNPRINTABLE, text)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not _is_line(value):
        raise ValueError(f"not a line of text: {value!a:.60}")
    return value


def _dotted(value: Any) -> str:
    # Python also imports modules whose names are no identifiers.
    if not all(_text(value).split(".")):
        raise ValueError(f"not a module: {value!a:.60}")
    return _text(value)


def _object_id(value: Any) -> str:
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", _text(value)):
        raise ValueError(f"not a git object: {value!a:.60}")
    return _text(value)
