"""The file that holds the snapshots, and its locks."""

import hashlib
import json
import os
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

from django.core.files import locks

from django_devtools.branches.files import write_aside
from django_devtools.conf import option, project_root

from .git import Repository
from .remembered import Answer, LastSwitch, still_due
from .snapshot_json import FORMAT, Contents, from_json, line_of, to_json
from .snapshots import Key, Record, Snapshot, SnapshotError, Snapshots, now

MANAGESTATE_TIME = "updated_at"


class NotWritten(SnapshotError):
    """The file can't be written."""


class NotOurs(SnapshotError):
    """The file is JSON, but not one of our snapshot files."""


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
        return self.read_all().snapshots

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
            return from_json(data)
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
            return {line_of(app): line_of(last) for app, last in state.items()}
        except ValueError as error:
            raise self._error(f"is damaged ({error})") from None

    def update(
        self,
        database: str,
        snapshots: Iterable[Snapshot] = (),
        delete: str | None = None,
        rows: Mapping[Key, str] | None = None,
        began: str | None = None,
        is_done: bool = True,
        interrupted: Mapping[Key, str] | None = None,
        pace: float = 0.0,
    ) -> None:
        """
        Add ``snapshots`` of ``database``, and delete the snapshot of the branch ``delete``.

        ``rows`` are its applied migrations, if no process is migrating it: then all is forgotten
        that was begun and did not become a row, or is in a snapshot now, and answers about what
        is not applied. ``began`` says when the switch began that ends with these rows, and
        ``is_done`` whether it has done all of its work. What was ``interrupted`` has no row, and
        is not forgotten. ``pace`` is how many rows a second it has copied, if it was enough to
        tell. Raises SnapshotError as ``read`` does, and if the file can't be written.
        """
        with self._changing() as contents:
            branches = contents.snapshots.setdefault(database, {})
            begun = contents.begun.setdefault(database, [])
            branches.update({one.branch: _with_projects(one, begun) for one in snapshots})
            if delete is not None:
                branches.pop(delete, None)
            if rows is not None:
                begun[:] = _unsaid(begun, branches.values(), {**rows, **(interrupted or {})})
                answers = contents.answers.get(database, {})
                contents.answers[database] = still_due(answers, branches.values(), rows)
                if last := contents.last.get(database):
                    ended = _ended(last, rows, began, is_done)
                    contents.last[database] = ended._replace(pace=pace or ended.pace)

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
                switch = switch.going_on_with(earlier)
            pace = earlier.pace if earlier else 0.0
            contents.last[database] = switch._replace(pace=pace)

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
            data = to_json(contents)
            try:
                from_json(data)
            except ValueError as error:  # The file could not be read again.
                raise SnapshotError(f"{self.path} can't be written: {error}.") from None
            after = _projects(contents)
            # None of them is ever in the file and not kept.
            if after - before:
                self._keep(before | after)
            self._write(json.dumps(data, ensure_ascii=True))
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


def _ended(
    last: LastSwitch, rows: Mapping[Key, str], began: str | None, is_done: bool
) -> LastSwitch:
    """The last switch, when that which ``began`` then, or something else, ends with ``rows``."""
    if last.at == began:
        return last._replace(after=rows, is_done=is_done)
    # It was killed, and what came after that has brought the database to an end.
    return last._replace(is_done=True) if last.after is None else last


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
