"""Asks a database how far a statement is that runs there, by a connection of its own."""

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from threading import Lock

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from django_devtools.branches.progress import Progress
from django_devtools.branches.schema.dialects import dialect_of
from django_devtools.branches.schema.dialects.base import Dialect
from django_devtools.branches.ticker import Action, Sight


@contextmanager
def observed(connection: BaseDatabaseWrapper, progress: Progress, label: str) -> Iterator[None]:
    """Say of what takes long how far the database is with it; ``label`` is all of it."""
    connection.ensure_connection()
    observer = Observer(connection)
    with closing(observer), progress.meanwhile(label, observer):
        yield


class Observer:
    """
    Sees what one connection does, from another thread.

    It connects when it is first asked, and sees nothing where it can't.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._watched = connection
        self._session = dialect_of(connection).session_id()
        self._dialect: Dialect | None = None
        self._lock = Lock()
        self._first: tuple[Action, float, int] | None = None
        """An action, when it was first looked at, and the size of the database then."""

    def __call__(self, action: Action, now: float) -> Sight:
        """How far ``action`` has got."""
        with self._lock:
            if self._session is None:
                return Sight()
            # Whatever is wrong with this connection, the other one does the work.
            with suppress(Exception):
                return self._look(action, now, self._session)
            self._session = None
            return Sight()

    def close(self) -> None:
        """Close the connection. Nothing is seen any more."""
        # Unless the server does not answer.
        if self._lock.acquire(timeout=1):
            self._session = None
            if self._dialect:
                self._dialect.connection.close()
            self._lock.release()

    def _look(self, action: Action, now: float, session: int) -> Sight:
        dialect = self._dialect or self._connect()
        look, rows = dialect.look(session), _rows(dialect, action)
        written = self._written(action, now, look.size)
        # What the same transaction has written before is counted, too.
        done = look.rows if look.rows and rows and look.rows <= rows else None
        fraction = look.fraction
        for part, whole in ((written, action.size), (done, rows)):
            if fraction is None and part and whole:
                fraction = part / whole
        return Sight(fraction, done, rows, written, look.note)

    def _connect(self) -> Dialect:
        other = self._watched.copy()
        # A pool may have no connection left.
        other.settings_dict["OPTIONS"].pop("pool", None)
        # Whoever closes it is in the main thread.
        other.inc_thread_sharing()
        self._dialect = dialect_of(other)
        self._dialect.be_brief()
        return self._dialect

    def _written(self, action: Action, now: float, size: int | None) -> int | None:
        """How many bytes an action has written, about: it was not looked at from its beginning."""
        if size is None:
            return None
        if self._first is None or self._first[0] is not action:
            self._first = action, now, size
        _, then, before = self._first
        if now <= then or size <= before:
            return None
        return int((size - before) * (now - action.began) / (now - then))


def _rows(dialect: Dialect, action: Action) -> int | None:
    """How many rows an action copies, as far as that is known."""
    if action.rows is not None or not action.table:
        return action.rows
    # Nothing is counted: that might take as long as what is watched.
    with suppress(DatabaseError):  # The table may be locked.
        return dialect.estimated_rows(action.table, 0) or None
    return None
