"""What a database and its target have, compared in process and without git."""

import logging
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder

from django_devtools.branches.planning.classify import State
from django_devtools.branches.planning.comparison import Comparison, compare
from django_devtools.branches.planning.recording import snapshot_of
from django_devtools.branches.schema.dialects import database_id
from django_devtools.branches.sources.git import Repository
from django_devtools.branches.sources.loader import Code, Source, load
from django_devtools.branches.sources.provenance import Origin
from django_devtools.branches.sources.rows import read_rows
from django_devtools.branches.sources.snapshot_file import SnapshotFile
from django_devtools.branches.sources.snapshots import DETACHED, Record, Snapshot
from tests.branches.planning.values import History, add, create, key, keys, line

DISK = line(m1=create(), n2=add("b"))


@pytest.fixture
def connection(db: None) -> BaseDatabaseWrapper:
    """A database that has applied m1 and m2 of the shop, and nothing else."""
    found = connections["default"]
    recorder = MigrationRecorder(found)
    recorder.flush()
    for name in ("m1", "m2"):
        recorder.record_applied("shop", name)
    return found


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
    assert found.not_rerun(found.states()) == []


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


TEXT = """
from django.db import migrations, models

def forwards(apps, schema_editor):
    {call}

class Migration(migrations.Migration):
    operations = [
        migrations.CreateModel("Product", [("{field}", models.AutoField(primary_key=True))]),
        {more}
    ]
"""
RUN = "migrations.RunPython(forwards, migrations.RunPython.noop),"


def text(field: str = "id", call: str = "pass", more: str = "") -> bytes:
    """The text of a migration."""
    return TEXT.format(field=field, call=call, more=more).encode()


def edited(
    old: bytes,
    new: bytes,
    connection: BaseDatabaseWrapper,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Comparison:
    """The comparison where m1 was applied from ``old``, and the disk has ``new``."""
    subprocess.run(["git", "init", "--quiet", str(directory)], check=True)
    repository = Repository.find(directory)
    assert repository
    package = ModuleType("shop.migrations")
    package.__path__ = [str(directory / "shop/migrations")]
    (directory / "shop/migrations").mkdir(parents=True)
    (directory / "shop/migrations/m1.py").write_bytes(new)
    monkeypatch.setitem(sys.modules, "shop.migrations", package)

    blob = repository.blob_id(old)
    repository.store({blob: old})
    subprocess.run(["git", "-C", directory, "add", "--all"], check=True)
    project = repository.git("write-tree").decode().strip()
    rows = read_rows(connection)
    records = {key("m1"): Record(blob, rows[key("m1")], project)}
    snapshot = Snapshot("main", None, "now", {"shop": "shop.migrations"}, records)
    snapshot_file = SnapshotFile(directory / "snapshots.json", directory)
    snapshot_file.update(database_id(connection), [snapshot])

    source = Source("shop.migrations.m1", new, "file")
    disk = {key("m1"): load(key("m1"), source), **line(m2=add("a"))}
    sources = {key("m1"): source, key("m2"): Source("shop.migrations.m2", b"", "file")}
    code = Code(disk, {"shop": "shop.migrations"}, sources=sources)
    return compare(connection, repository, snapshot_file, code)


@pytest.mark.parametrize(
    ("old", "new", "changed", "raw_changed"),
    [
        (text(), text() + b"# A comment\n", [], []),
        (text("id"), text("key"), ["m1"], []),
        (text(more=RUN), text(), [], ["m1"]),
        (text("id", more=RUN), text("key"), ["m1"], ["m1"]),
        (text(call="pass", more=RUN), text(call="return", more=RUN), [], ["m1"]),
        (text(call="pass"), text(call="return"), [], []),
    ],
)
def test_what_was_applied_from_another_text(
    connection: BaseDatabaseWrapper,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    old: bytes,
    new: bytes,
    changed: list[str],
    raw_changed: list[str],
) -> None:
    found = edited(old, new, connection, tmp_path, monkeypatch)
    assert set(found.changed) == set(keys(*changed))
    assert set(found.raw_changed) == set(keys(*raw_changed))
    assert found.in_step() is not bool(changed)
    assert not found.incomparable
    source = found.held_source(key("m1"))
    assert source
    is_edit = bool(changed or raw_changed)
    assert source.content == (old if is_edit else new)
    assert (found.held[key("m1")] is found.target.code.migrations[key("m1")]) is not is_edit
    assert found.not_rerun(found.states()) == keys(
        *[name for name in raw_changed if name not in changed]
    )


@pytest.mark.parametrize(
    ("attributes", "is_moved"),
    [
        ('dependencies = [("other", "0001_initial")]', True),
        ('run_before = [["other", "0001_initial"]]', True),
        ("atomic = True", False),
    ],
)
def test_what_was_applied_in_another_place_and_has_the_same_effect(
    connection: BaseDatabaseWrapper,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    attributes: str,
    is_moved: bool,
) -> None:
    def moved(text: bytes) -> bytes:
        return text.replace(b"    operations", f"    {attributes}\n    operations".encode())

    found = edited(text(), moved(text()), connection, tmp_path, monkeypatch)
    assert set(found.moved) == set(keys("m1") if is_moved else ())
    assert found.facts().moved == found.moved
    assert not any(migration.dependencies for migration in found.moved.values())
    assert not found.changed
    # As far as that shows without a graph.
    assert found.in_step()


def test_an_edit_is_more_than_a_move(
    connection: BaseDatabaseWrapper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = text("key").replace(
        b"    operations", b"    run_before = [('other', 'o1')]\n    operations"
    )
    found = edited(text(), new, connection, tmp_path, monkeypatch)
    assert set(found.changed) == set(keys("m1"))
    assert not found.moved


def test_an_old_text_that_can_t_be_executed_is_not_compared(
    connection: BaseDatabaseWrapper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = text(call="import no_such_module")
    found = edited(old, text("key"), connection, tmp_path, monkeypatch)
    assert "no_such_module" in str(found.incomparable[key("m1")])
    assert not found.changed
    assert not found.raw_changed
    assert found.in_step()


MANAGERS = """
from django.db import migrations, models
import {module}

class Migration(migrations.Migration):
    operations = [
        migrations.CreateModel(
            "Product",
            [("id", models.AutoField(primary_key=True))],
            managers=[("objects", {module}.Manager())],
        ),
        {more}
    ]
"""


@pytest.mark.parametrize(
    ("more", "is_said"), [("", False), ("migrations.RunSQL('SELECT 1')", True)]
)
def test_an_import_that_is_gone_and_has_no_effect_is_no_difference(
    connection: BaseDatabaseWrapper,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: str,
    is_said: bool,
) -> None:
    old = MANAGERS.format(module="no_such_module", more=more).encode()
    new = MANAGERS.format(module="django.db.models", more="").encode()
    found = edited(old, new, connection, tmp_path, monkeypatch)
    assert (key("m1") in found.incomparable) is is_said
    assert not found.changed
    assert found.in_step()


def test_a_text_that_fails_without_its_imports_is_not_compared(
    connection: BaseDatabaseWrapper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = text() + b"import no_such_module\nraise ValueError\n"
    found = edited(old, text("key"), connection, tmp_path, monkeypatch)
    assert key("m1") in found.incomparable
