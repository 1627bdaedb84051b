"""What a database and its target have, compared in process and without git."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder
from pytest_django.plugin import DjangoDbBlocker

from django_devtools.branches.planning.classify import State
from django_devtools.branches.planning.comparison import compare
from django_devtools.branches.planning.recording import snapshot_of
from django_devtools.branches.sources.loader import Code, Source
from django_devtools.branches.sources.provenance import Origin
from django_devtools.branches.sources.snapshots import (
    DETACHED,
    Record,
    Snapshot,
    SnapshotFile,
    database_id,
)
from tests.branches.planning.values import History, add, create, key, keys, line

DISK = line(m1=create(), n2=add("b"))


@pytest.fixture
def connection(django_db_blocker: DjangoDbBlocker) -> Iterator[BaseDatabaseWrapper]:
    """A database that has applied m1 and m2 of the shop."""
    found = connections["default"]
    with django_db_blocker.unblock():
        recorder = MigrationRecorder(found)
        for name in ("m1", "m2"):
            recorder.record_applied("shop", name)
        yield found
        with found.schema_editor() as editor:
            editor.delete_model(MigrationRecorder.Migration)


@pytest.fixture
def snapshot_file(tmp_path: Path, connection: BaseDatabaseWrapper) -> SnapshotFile:
    """A file with a snapshot of the branch feature, which has applied m2."""
    file = SnapshotFile(tmp_path / "snapshots.json", tmp_path)
    records = {key("m2"): Record(None, "2026-01-01T00:00:00")}
    file.update(database_id(connection), [Snapshot("feature", None, "now", {}, records)])
    return file


def code(migrations: History) -> Code:
    """Migrations whose texts are empty files."""
    sources = {found: Source(f"shop.migrations.{found[1]}", b"", "file") for found in migrations}
    return Code(migrations, {"shop": "shop.migrations"}, sources=sources)


def test_the_log_says_where_rows_come_from(
    connection: BaseDatabaseWrapper,
    snapshot_file: SnapshotFile,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG, "django_devtools.branches"):
        found = compare(connection, None, snapshot_file, code(DISK))
    assert caplog.messages == ["shop.m2: another branch has it (source: not found)"]
    assert found.traces[key("m2")].origin is Origin.OTHER
    assert found.held == {key("m1"): DISK[key("m1")]}
    assert found.states() == {
        key("m1"): State.APPLIED,
        key("m2"): State.PHANTOM,
        key("n2"): State.PENDING,
    }


def test_what_is_on_disk_is_held_as_it_is_there(
    connection: BaseDatabaseWrapper, snapshot_file: SnapshotFile
) -> None:
    disk = line(m1=create(), m2=add("a"))
    found = compare(connection, None, snapshot_file, code(disk))
    assert found.in_step()
    assert found.held == disk
    assert found.not_rerun() == []


def test_a_snapshot_has_no_phantoms_and_tells_obsolete_ones_apart(
    connection: BaseDatabaseWrapper, snapshot_file: SnapshotFile
) -> None:
    found = compare(connection, None, snapshot_file, code(DISK))
    rows = {**found.rows, key("m3"): "2026-02-02T00:00:00"}
    states = dict(zip(rows, (State.APPLIED, State.PHANTOM, State.OBSOLETE), strict=True))
    snapshot, texts = snapshot_of(found, DETACHED, rows, states)
    assert list(snapshot.applied) == keys("m1")
    assert snapshot.obsolete == {key("m3"): Record(None, "2026-02-02T00:00:00")}
    assert snapshot.packages == {"shop": "shop.migrations"}
    assert (snapshot.branch, snapshot.commit, texts) == (DETACHED, None, {})


def test_a_comparison_without_a_snapshot_file_writes_none(
    connection: BaseDatabaseWrapper, tmp_path: Path
) -> None:
    file = SnapshotFile(tmp_path / "none.json", tmp_path)
    found = compare(connection, None, file, code(DISK))
    assert found.traces[key("m2")].origin is Origin.MISSING
    assert not list(tmp_path.iterdir())
