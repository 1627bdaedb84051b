"""The databases of jobs that run within the transaction of a test, as a worker has them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any
from unittest.mock import patch

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

# Where a statement that fails undoes itself alone. Elsewhere it ends the whole transaction.
UNDOING_ONE_STATEMENT = ("mysql", "oracle", "sqlite")

_numbers = count(1)


@contextmanager
def autocommit() -> Iterator[None]:
    """
    Run jobs as if the transactions that are open were not there.

    In the connection of a worker, each statement is committed, and ``atomic()`` begins a
    transaction that its end commits. Here these are savepoints. All else is left to Django, which
    believes that it is in autocommit mode: callbacks of ``on_commit``, ``durable``, errors.
    """
    with ExitStack() as stack:
        for connection in connections.all(initialized_only=True):
            # What a test has broken by itself stays broken.
            if connection.in_atomic_block and not connection.needs_rollback:
                stack.enter_context(_Autocommit(connection).pretended())
        yield


class _Autocommit:
    """One connection, and the savepoint that stands for its transaction while it has one."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection: Any = connection
        self._savepoint: str | None = None

    @contextmanager
    def pretended(self) -> Iterator[None]:
        outside: dict[str, Any] = {
            "atomic_blocks": [],
            "autocommit": True,
            "commit_on_exit": True,
            "in_atomic_block": False,
            "needs_rollback": False,
            "run_commit_hooks_on_set_autocommit_on": False,
            "run_on_commit": [],
            "savepoint_ids": [],
        }
        methods: dict[str, Any] = {
            "_commit": self._commit,
            "_rollback": self._rollback,
            "_set_autocommit": self._set_autocommit,
            "_start_transaction_under_autocommit": self._begin,
            # The next statement of a job opens another, which here would lack the test's rows.
            "close": self._rollback,
        }
        with patch.multiple(self._connection, create=True, **outside, **methods):
            try:
                with self._connection.execute_wrapper(self._execute):
                    yield
            finally:
                self._rollback()

    def _execute(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any
    ) -> Any:
        if self._savepoint or self._connection.vendor in UNDOING_ONE_STATEMENT:
            return execute(sql, params, many, context)
        self._begin()
        try:
            result = execute(sql, params, many, context)
        except BaseException:
            self._rollback()
            raise
        self._commit()
        return result

    def _set_autocommit(self, autocommit: bool) -> None:
        if autocommit:
            self._commit()
        else:
            self._begin()

    def _begin(self) -> None:
        if self._savepoint is None:
            self._savepoint = f"django_devtools_{next(_numbers)}"
            self._tell(self._connection._savepoint, self._savepoint)

    def _commit(self) -> None:
        if self._savepoint:
            self._tell(self._connection._savepoint_commit, self._savepoint)
            self._savepoint = None

    def _rollback(self) -> None:
        if self._savepoint:
            self._tell(self._connection._savepoint_rollback, self._savepoint)
            self._commit()

    def _tell(self, statement: Callable[[str], None], savepoint: str) -> None:
        """Those who watch or count the statements of a job don't see ours."""
        with patch.multiple(self._connection, execute_wrappers=[], force_debug_cursor=False):
            statement(savepoint)
