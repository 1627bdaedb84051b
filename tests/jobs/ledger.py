"""Jobs that write into a table, of the database that a test connects to."""

from functools import partial
from typing import Any, NoReturn

from django.db import connections, transaction
from rq import Callback, Retry, get_current_job
from rq.job import Job

from django_devtools.jobs import async_job
from tests.databases import ALIAS

# What callbacks of on_commit were called with.
committed: list[str] = []


def open_ledger() -> None:
    committed.clear()
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("CREATE TABLE ledger (name varchar(20) NOT NULL UNIQUE)")


def put(name: str) -> None:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("INSERT INTO ledger (name) VALUES (%s)", [name])


def names() -> list[str]:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("SELECT name FROM ledger ORDER BY name")
        return [name for (name,) in cursor.fetchall()]


def atomic(**options: Any) -> transaction.Atomic:
    return transaction.atomic(using=ALIAS, **options)


def on_commit(name: str, robust: bool = False) -> None:
    transaction.on_commit(partial(committed.append, name), using=ALIAS, robust=robust)


def put_failed(job: Job, connection: Any, *exception: Any) -> None:
    put("failed")


@async_job
def enter(*entries: str) -> None:
    """Write names, one after another."""
    for name in entries:
        put(name)


@async_job(on_failure=Callback(put_failed))
def enter_or_note(name: str) -> None:
    put(name)


@async_job(retry=Retry(max=1))
def enter_or_other(name: str, other: str) -> None:
    job = get_current_job()
    assert job
    put(name if job.retries_left else other)


@async_job
def enter_all(*entries: str, **options: Any) -> None:
    """Write all names, or none."""
    with atomic(**options):
        enter(*entries)


@async_job
def enter_by_hand(*entries: str, ends: str = "") -> None:
    """Without ``atomic()``; ``ends`` names what ends the transaction."""
    connection = connections[ALIAS]
    connection.set_autocommit(False)
    # Nothing begins where something has begun.
    connection.set_autocommit(False)
    enter(*entries)
    if ends:
        getattr(connection, ends)()
        connection.set_autocommit(True)


@async_job
def enter_between(before: str, after: str) -> None:
    """Lose the connection in between, as jobs that take long do."""
    put(before)
    connections[ALIAS].close()
    put(after)


@async_job
def call_on_commit() -> None:
    on_commit("at once")
    with atomic():
        on_commit("at the end")
        with atomic():
            on_commit("of a savepoint")
        committed.append("in the transaction")


@async_job
def call_on_rollback() -> None:
    with atomic():
        on_commit("never")
        put("never")
        transaction.set_rollback(True, using=ALIAS)


@async_job
def fail_on_commit() -> None:
    with atomic():
        put("committed")
        on_commit("before")
        transaction.on_commit(fail, using=ALIAS)
        on_commit("behind")


def fail() -> NoReturn:
    """Raise LookupError."""
    raise LookupError("on commit")
