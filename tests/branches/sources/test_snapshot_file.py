import json
import os
import resource
import subprocess
import sys
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import IO, Any

import pytest
from django.core.files import locks

from django_devtools.branches.sources.git import Repository
from django_devtools.branches.sources.remembered import Answer, LastSwitch
from django_devtools.branches.sources.snapshot_file import SnapshotFile
from django_devtools.branches.sources.snapshots import Record, Snapshot, SnapshotError, check_name
from django_devtools.branches.sources.trees import PROJECTS_REF, write_tree
from django_devtools.conf import project_root
from tests.processes import read_until, started
from tests.project import ENVIRONMENT

from .test_git import kept_by

pytestmark = pytest.mark.once

BLOB = "ab" * 20
KEY = ("shop", "0001_initial")
DATABASE = "sqlite:/srv/db.sqlite3"
MAIN = Snapshot(
    branch="main",
    commit="cd" * 20,
    taken="2026-01-02T03:04:05+00:00",
    packages={"shop": "shop.migrations"},
    applied={
        ("shop", "0001_initial"): Record(BLOB, "2026-01-01T00:00:00"),
        ("shop", "0002_longer_name"): Record(None, "2026-01-01T00:00:01"),
    },
    obsolete={("shop", "0001_old"): Record("ef" * 32, "2025-01-01T00:00:00")},
)


@pytest.fixture
def snapshot_file(tmp_path: Path) -> SnapshotFile:
    return SnapshotFile(tmp_path / "kept" / "snapshots.json", tmp_path / "locks")


def as_json(**changes: Any) -> dict[str, Any]:
    """What a file with one snapshot holds, and with ``changes`` to that snapshot."""
    snapshot = {
        "commit": None,
        "taken": "2026-01-02T03:04:05+00:00",
        "packages": {"shop": "shop.migrations"},
        "applied": {"shop": {"0001_initial": [BLOB, "2026-01-01T00:00:00"]}},
        "obsolete": {},
    }
    return {"format": 1, "databases": {DATABASE: {"main": snapshot | changes}}}


def in_another_process(
    snapshot_file: SnapshotFile, code: str
) -> AbstractContextManager["subprocess.Popen[str]"]:
    return started(
        [sys.executable, "-c", code, str(snapshot_file.path), str(snapshot_file.lock_directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"},
    )


# Reading and writing


def test_without_a_file(snapshot_file: SnapshotFile) -> None:
    assert snapshot_file.read() == {}


def test_reads_what_was_written(snapshot_file: SnapshotFile) -> None:
    snapshot_file.update(DATABASE, [MAIN])

    assert snapshot_file.read() == {DATABASE: {"main": MAIN}}
    assert list(MAIN.records()) == [
        ("shop", "0001_old"),
        ("shop", "0001_initial"),
        ("shop", "0002_longer_name"),
    ]


def test_the_file_reads_well(snapshot_file: SnapshotFile) -> None:
    snapshot_file.update(DATABASE, [MAIN])

    assert json.loads(snapshot_file.path.read_text()) == {
        "format": 1,
        "databases": {
            "sqlite:/srv/db.sqlite3": {
                "main": {
                    "commit": "cd" * 20,
                    "taken": "2026-01-02T03:04:05+00:00",
                    "packages": {"shop": "shop.migrations"},
                    "applied": {
                        "shop": {
                            "0001_initial": [BLOB, "2026-01-01T00:00:00"],
                            "0002_longer_name": [None, "2026-01-01T00:00:01"],
                        }
                    },
                    "obsolete": {"shop": {"0001_old": ["ef" * 32, "2025-01-01T00:00:00"]}},
                }
            }
        },
    }


def test_keeps_what_else_is_in_the_file(snapshot_file: SnapshotFile) -> None:
    snapshot_file.update(DATABASE, [MAIN])
    feature = Snapshot("feature", None, "now")

    snapshot_file.update(DATABASE, [feature])
    snapshot_file.update("postgresql://localhost:5432/shop", [feature])

    assert snapshot_file.read() == {
        DATABASE: {"main": MAIN, "feature": feature},
        "postgresql://localhost:5432/shop": {"feature": feature},
    }


def test_deletes(snapshot_file: SnapshotFile) -> None:
    feature = Snapshot("feature", None, "now")
    snapshot_file.update(DATABASE, [MAIN, feature])

    snapshot_file.update(DATABASE, delete="feature")
    snapshot_file.update(DATABASE, delete="no such")
    assert snapshot_file.read() == {DATABASE: {"main": MAIN}}

    snapshot_file.update(DATABASE, delete="main")
    assert snapshot_file.read() == {}


PROJECT = "12" * 20


def test_the_projects_of_migrations(snapshot_file: SnapshotFile) -> None:
    records = {
        ("shop", "0001_initial"): Record(BLOB, "2026-01-01T00:00:00", PROJECT),
        ("shop", "0002_more"): Record(BLOB, "2026-01-01T00:00:01"),
        ("auth", "0001_initial"): Record(None, "2026-01-01T00:00:02", PROJECT),
    }
    snapshot = MAIN._replace(applied=records)
    snapshot_file.update(DATABASE, [snapshot])
    assert snapshot_file.read() == {DATABASE: {"main": snapshot}}
    data = json.loads(snapshot_file.path.read_text())
    assert data["databases"][DATABASE]["main"]["projects"] == {
        PROJECT: {"auth": ["0001_initial"], "shop": ["0001_initial"]}
    }


def test_a_snapshot_takes_the_project_of_what_was_begun(snapshot_file: SnapshotFile) -> None:
    at = "2026-01-01T00:00:00"
    begun = MAIN._replace(applied={KEY: Record(BLOB, at, PROJECT)}, obsolete={})
    snapshot_file.write_down(DATABASE, begun)
    other = ("shop", "0002_more")
    records = {KEY: Record(BLOB, at), other: Record(BLOB, at)}
    snapshot_file.update(DATABASE, [MAIN._replace(applied=records, obsolete={})], rows={})
    found = snapshot_file.read()[DATABASE]["main"].applied
    assert found == {KEY: Record(BLOB, at, PROJECT), other: Record(BLOB, at)}


def test_projects_are_kept_as_long_as_their_snapshots(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    file = SnapshotFile.find(repository, tmp_path / "snapshots.json")
    trees = []
    for name in ("one", "two"):
        (tmp_path / name).touch()
        trees.append(write_tree(repository, None).id)

    def take(branch: str, tree: str) -> None:
        records = {KEY: Record(BLOB, "2026-01-01T00:00:00", tree)}
        file.update(DATABASE, [MAIN._replace(branch=branch, applied=records, obsolete={})])

    def kept() -> set[str]:
        refs = repository.git("for-each-ref", "--format=%(refname)", PROJECTS_REF).decode()
        return {tree for ref in refs.split() for tree in kept_by(tmp_path, ref)}

    take("main", trees[0])
    take("feature", trees[1])
    assert kept() == set(trees)
    file.update(DATABASE, delete="main")
    assert kept() == {trees[1]}
    take("feature", trees[0])
    assert kept() == {trees[0]}
    file.update(DATABASE, delete="feature")
    assert kept() == set()


def make_repository(top: Path) -> Repository:
    subprocess.run(["git", "init", "--quiet", str(top)], check=True, env=os.environ | ENVIRONMENT)
    repository = Repository.find(top)
    assert repository
    return repository


def test_package_whose_name_is_no_identifier(snapshot_file: SnapshotFile) -> None:
    snapshot = Snapshot("main", None, "now", {"shop": "my-shop.db-migrations"})
    snapshot_file.update(DATABASE, [snapshot])
    assert snapshot_file.read() == {DATABASE: {"main": snapshot}}


def test_other_users_may_read_what_the_umask_lets_them(snapshot_file: SnapshotFile) -> None:
    before = os.umask(0o022)
    try:
        snapshot_file.update(DATABASE, [MAIN])
    finally:
        os.umask(before)
    assert snapshot_file.path.stat().st_mode & 0o777 == 0o644


def test_writes_through_a_symlink(snapshot_file: SnapshotFile, tmp_path: Path) -> None:
    snapshot_file.path.parent.mkdir()
    snapshot_file.path.symlink_to(tmp_path / "elsewhere.json")

    snapshot_file.update(DATABASE, [MAIN])

    assert snapshot_file.path.is_symlink()
    assert snapshot_file.read() == {DATABASE: {"main": MAIN}}


def test_synced_before_it_is_renamed(
    snapshot_file: SnapshotFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot_file.update(DATABASE, [MAIN])
    before = snapshot_file.path.read_bytes()
    seen = []

    def fsync(descriptor: int) -> None:
        (aside,) = snapshot_file.path.parent.glob(".snapshots.json.*")
        seen.append(aside.read_text())
        assert snapshot_file.path.read_bytes() == before

    monkeypatch.setattr(os, "fsync", fsync)
    snapshot_file.update(DATABASE, delete="main")

    assert seen == ['{"format": 1, "databases": {}}\n']
    assert snapshot_file.path.read_text() == seen[0]


def test_a_crash_leaves_the_old_file(
    snapshot_file: SnapshotFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot_file.update(DATABASE, [MAIN])

    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        snapshot_file.update(DATABASE, delete="main")

    assert snapshot_file.read() == {DATABASE: {"main": MAIN}}
    assert list(snapshot_file.path.parent.iterdir()) == [snapshot_file.path]


def test_a_full_disk_leaves_the_old_file(snapshot_file: SnapshotFile) -> None:
    snapshot_file.update(DATABASE, [MAIN])
    before = snapshot_file.path.read_bytes()
    many = Snapshot("big", None, "now", {f"app{i}": "a.migrations" for i in range(1000)})

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(SnapshotError) as caught:
            snapshot_file.update(DATABASE, [many])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert str(caught.value) == f"{snapshot_file.path} can't be written: File too large."
    assert snapshot_file.path.read_bytes() == before
    assert list(snapshot_file.path.parent.iterdir()) == [snapshot_file.path]


@pytest.mark.parametrize(
    ("snapshot", "message"),
    [
        (Snapshot("a\u2028b", None, "now"), r"not a line of text: 'a\u2028b'"),
        (Snapshot("caf\udce9", None, "now"), r"not a line of text: 'caf\udce9'"),
        (
            Snapshot("main", None, "now", applied={("shop", "0001\n"): Record(None, "now")}),
            r"not a line of text: '0001\n'",
        ),
    ],
)
def test_never_writes_what_it_could_not_read(
    snapshot_file: SnapshotFile, snapshot: Snapshot, message: str
) -> None:
    snapshot_file.update(DATABASE, [MAIN])

    with pytest.raises(SnapshotError) as caught:
        snapshot_file.update(DATABASE, [snapshot])

    assert str(caught.value) == f"{snapshot_file.path} can't be written: {message}."
    assert snapshot_file.read() == {DATABASE: {"main": MAIN}}


# Files that are not as they should be

ADVICE = "It was not changed. Move it away, or name another file with --file."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is damaged (Expecting value: line 1 column 1 (char 0))"),
        (b'{"format": 1, "data', "is damaged (Unterminated string starting at: line 1 column 15"),
        (b'{"format": 1, "databases": "\xff"}', "is damaged ('utf-8' codec can't decode byte"),
        (b"[" * 200_000, "is damaged ("),
        (b'{"format": %s}' % (b"9" * 5000), "is damaged (Exceeds the limit (4300 digits)"),
        (b"[]", "is not a snapshot file of django_devtools."),
        (b"null", "is not a snapshot file of django_devtools."),
        (b'{"updated_at": "now"}', "is not a snapshot file of django_devtools."),
        (b'{"format": 1}', "is damaged ('databases')."),
        (b'{"format": 0, "databases": {}}', "is damaged (not a format: 0)."),
        (b'{"format": "2", "databases": {}}', "is damaged (not a format: '2')."),
        (b'{"format": 1.5, "databases": {}}', "is damaged (not a format: 1.5)."),
        (b'{"format": true, "databases": {}}', "is damaged (not a format: True)."),
        (b'{"format": null, "databases": {}}', "is damaged (not a format: None)."),
        (b'{"format": 1, "databases": []}', "is damaged ('list' object has no attribute 'items')"),
        (
            b'{"format": 1, "databases": {}, "begun": {"d": ["a"]}}',
            "is damaged (not enough values to unpack",
        ),
        (
            b'{"format": 1, "databases": {}, "irreversible": {"d": {"a": {"b": ["x", "", ""]}}}}',
            "is damaged (not an answer: 'x').",
        ),
        (
            b'{"format": 1, "databases": {}, "begun": {"d": [["a", {}]]}}',
            "is damaged ('commit').",
        ),
    ],
)
def test_not_a_snapshot_file(snapshot_file: SnapshotFile, content: bytes, message: str) -> None:
    snapshot_file.path.parent.mkdir()
    snapshot_file.path.write_bytes(content)

    with pytest.raises(SnapshotError) as reading:
        snapshot_file.read()
    with pytest.raises(SnapshotError) as writing:
        snapshot_file.update(DATABASE, [MAIN])

    assert str(reading.value).startswith(f"{snapshot_file.path} {message}")
    assert str(reading.value).endswith(ADVICE)
    assert str(writing.value) == str(reading.value)
    assert snapshot_file.path.read_bytes() == content
    assert list(snapshot_file.path.parent.iterdir()) == [snapshot_file.path]


def test_answers_last_as_long_as_they_are_about_what_is_applied(
    snapshot_file: SnapshotFile,
) -> None:
    keep, noop = Answer("keep", BLOB, "2026-01-01T00:00:00"), Answer("noop", "", "then")
    other = ("shop", "0002_longer_name")
    snapshot_file.remember(DATABASE, {KEY: keep})
    snapshot_file.remember(DATABASE, {other: noop})
    snapshot_file.remember("sqlite:other", {KEY: keep})
    assert snapshot_file.read_all().answers == {
        DATABASE: {KEY: keep, other: noop},
        "sqlite:other": {KEY: keep},
    }

    snapshot_file.update(DATABASE, [MAIN], rows={KEY: keep.at})
    assert snapshot_file.read_all().answers[DATABASE] == {KEY: keep, other: noop}
    # Applied anew, which was another time, and what counts as empty comes again.
    snapshot_file.update(DATABASE, rows={KEY: "2026-01-01T00:00:09"})
    assert snapshot_file.read_all().answers[DATABASE] == {other: noop}
    assert snapshot_file.forget(DATABASE) == {other: noop}
    assert snapshot_file.forget(DATABASE) == {}
    assert snapshot_file.read_all().answers == {"sqlite:other": {KEY: keep}}


def test_answers_are_about_one_text(snapshot_file: SnapshotFile) -> None:
    answer = Answer("noop", "12" * 20, MAIN.applied[KEY].at)
    snapshot_file.remember(DATABASE, {KEY: answer})
    snapshot_file.update(DATABASE, [MAIN], rows={KEY: answer.at})
    assert snapshot_file.read_all().answers == {}


def switched(at: str, **facts: Any) -> LastSwitch:
    """As it is read from the file."""
    empty: dict[str, Any] = {"notes": [], "left": set(), "about": set(), "earlier": []}
    return LastSwitch(at, **{"before": MAIN, **empty, **facts})


def test_a_pace_that_is_no_number(snapshot_file: SnapshotFile) -> None:
    snapshot_file.begin(DATABASE, switched("then"), {})
    snapshot_file.update(DATABASE, rows={}, began="then", pace=5.0)
    assert snapshot_file.read_all().last[DATABASE].pace == 5.0
    text = snapshot_file.path.read_text()
    for pace in ("NaN", "Infinity", "-1", '"fast"'):
        snapshot_file.path.write_text(text.replace('"pace": 5.0', f'"pace": {pace}'))
        with pytest.raises(SnapshotError, match="is damaged"):
            snapshot_file.read()


def test_the_last_switch_is_one_with_those_that_it_finishes(snapshot_file: SnapshotFile) -> None:
    row = {key: record.at for key, record in MAIN.records().items()}
    other = ("a", "b")
    rows = {**row, other: "later"}
    first = switched("1", notes=["a"], about={other, ("a", "c")}, left={KEY}, rerun=True)
    feature = MAIN._replace(branch="feature")
    second = switched("2", before=feature, notes=["b"], about={other})
    both = first._replace(at="2", notes=["a", "b"], earlier=["1"])

    def last() -> LastSwitch:
        return snapshot_file.read_all().last[DATABASE]

    snapshot_file.begin(DATABASE, first, row)
    assert last() == first
    # It was killed.
    snapshot_file.begin(DATABASE, second, rows)
    assert last() == both
    # It failed, and nothing else has changed a row.
    snapshot_file.update(DATABASE, rows=rows, began="2", is_done=False)
    snapshot_file.begin(DATABASE, second._replace(at="3"), rows)
    assert last() == both._replace(at="3", earlier=["1", "2"])
    assert last().times == {"1", "2", "3"}
    # It failed, and something else has.
    snapshot_file.update(DATABASE, rows=rows, began="3", is_done=False)
    snapshot_file.begin(DATABASE, second, row)
    assert last() == second
    # It ended.
    snapshot_file.update(DATABASE, rows=rows, began="2")
    assert last() == second._replace(after=rows, is_done=True)
    snapshot_file.begin(DATABASE, first, rows)
    assert last() == first
    # Nothing ends where nothing has begun.
    snapshot_file.update("sqlite:other", rows=rows, began="1")
    assert snapshot_file.read_all().last.keys() == {DATABASE}


def test_what_comes_later_ends_no_earlier_switch(snapshot_file: SnapshotFile) -> None:
    """As that of the later one could not be written, or there was nothing to do."""
    row = {key: record.at for key, record in MAIN.records().items()}
    failed = switched("1")
    snapshot_file.begin(DATABASE, failed, row)
    snapshot_file.update(DATABASE, rows=row, began="1", is_done=False)
    for began in ("2", None):
        snapshot_file.update(DATABASE, rows={}, began=began)
        assert snapshot_file.read_all().last[DATABASE] == failed._replace(after=row)


def test_a_killed_switch_is_one_only_with_what_follows_directly(
    snapshot_file: SnapshotFile,
) -> None:
    row = {key: record.at for key, record in MAIN.records().items()}
    killed, next_one = switched("1", about={("a", "b")}), switched("2")
    snapshot_file.begin(DATABASE, killed, row)
    snapshot_file.begin(DATABASE, next_one, {**row, ("a", "c"): "later"})
    assert snapshot_file.read_all().last[DATABASE] == next_one
    # Something else has brought the database to an end.
    snapshot_file.begin(DATABASE, killed, {})
    snapshot_file.update(DATABASE, rows=row)
    snapshot_file.begin(DATABASE, next_one, row)
    assert snapshot_file.read_all().last[DATABASE] == next_one


def test_what_something_else_has_changed() -> None:
    key, at = next((key, record.at) for key, record in MAIN.applied.items())
    rows = {one: record.at for one, record in MAIN.records().items()}
    switch = switched("1", about={("a", "b")})
    assert switch.changes({**rows, ("a", "b"): at}) == ([], [])
    assert switch.changes({**rows, key: "later", ("a", "c"): at}) == ([key, ("a", "c")], [])
    assert switch._replace(about={key}).changes({}) == ([], [one for one in rows if one != key])
    assert switch._replace(after={}).changes({("a", "b"): at}) == ([("a", "b")], [])


def test_what_was_begun_stays_where_it_became_a_row(snapshot_file: SnapshotFile) -> None:
    other = ("shop", "0002_longer_name")
    failed, ended = (
        MAIN._replace(branch=branch, applied=dict.fromkeys([KEY, other], Record(BLOB, at)))
        for branch, at in [("b", "2026-01-01T00:00:01"), ("a", "2026-01-01T00:00:02.5")]
    )
    snapshot_file.update(DATABASE, [MAIN])
    snapshot_file.write_down(DATABASE, failed)
    snapshot_file.write_down("sqlite:other", failed)
    snapshot_file.write_down(DATABASE, ended)
    assert snapshot_file.read() == {DATABASE: {"main": MAIN}}
    assert snapshot_file.read_all()[1] == {DATABASE: [failed, ended], "sqlite:other": [failed]}

    row = {KEY: "2026-01-01T00:00:01.2"}
    snapshot_file.update(DATABASE, [MAIN])
    assert snapshot_file.read_all()[1][DATABASE] == [failed, ended]
    snapshot_file.update(DATABASE, rows=row)
    assert snapshot_file.read_all()[1][DATABASE] == [
        failed._replace(applied={KEY: failed.applied[KEY]})
    ]
    said = MAIN._replace(applied={KEY: Record(BLOB, row[KEY])})
    snapshot_file.update(DATABASE, [said], rows=row)
    assert snapshot_file.read_all()[1] == {"sqlite:other": [failed]}
    snapshot_file.update("sqlite:other", rows={})
    assert "begun" not in json.loads(snapshot_file.path.read_text())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"commit": "main"}, "not a git object: 'main'"),
        ({"commit": "--output=x"}, "not a git object: '--output=x'"),
        ({"commit": ["ab" * 20]}, f"not a git object: ['{'ab' * 20}']"),
        ({"taken": 5}, "not a line of text: 5"),
        ({"taken": "now\x1b[2J"}, r"not a line of text: 'now\x1b[2J'"),
        ({"taken": "x\n" * 100}, "not a line of text: '" + r"x\n" * 19 + "x\\"),
        ({"packages": {"shop": ".migrations"}}, "not a module: '.migrations'"),
        ({"packages": {"\0": "shop.migrations"}}, r"not a line of text: '\x00'"),
        ({"applied": {"shop": {"0001": ["HEAD", "now"]}}}, "not a git object: 'HEAD'"),
        ({"applied": {"shop": {"0001": [BLOB + "\n", "now"]}}}, "not a git object: "),
        ({"applied": {"shop": {"0001": [None]}}}, "not enough values to unpack"),
        ({"applied": {"shop": {"\ud800": [None, "now"]}}}, r"not a line of text: '\ud800'"),
        ({"obsolete": None}, "'NoneType' object has no attribute 'items'"),
    ],
)
def test_damaged_snapshot(
    snapshot_file: SnapshotFile, changes: dict[str, Any], message: str
) -> None:
    snapshot_file.path.parent.mkdir()
    snapshot_file.path.write_text(json.dumps(as_json(**changes)))

    with pytest.raises(SnapshotError) as caught:
        snapshot_file.read()

    assert str(caught.value).startswith(f"{snapshot_file.path} is damaged ({message}")


def test_branch_that_no_terminal_should_see(snapshot_file: SnapshotFile) -> None:
    snapshot_file.path.parent.mkdir()
    content = as_json()
    content["databases"][DATABASE]["a\rb"] = content["databases"][DATABASE].pop("main")
    snapshot_file.path.write_text(json.dumps(content))

    with pytest.raises(SnapshotError, match=r"is damaged \(not a line of text: 'a\\rb'\)"):
        snapshot_file.read()


def test_newer_format(snapshot_file: SnapshotFile) -> None:
    snapshot_file.path.parent.mkdir()
    snapshot_file.path.write_text('{"format": 2, "databases": {}, "more": true}')

    with pytest.raises(SnapshotError) as caught:
        snapshot_file.update(DATABASE, [MAIN])

    assert str(caught.value) == (
        f"{snapshot_file.path} has format 2, and this version reads up to 1. "
        "It was not changed. Run `pip install --upgrade django-devtools-kit`."
    )
    assert snapshot_file.path.read_text() == '{"format": 2, "databases": {}, "more": true}'


def test_a_directory(snapshot_file: SnapshotFile) -> None:
    snapshot_file.path.mkdir(parents=True)
    with pytest.raises(SnapshotError) as caught:
        snapshot_file.read()
    assert str(caught.value) == f"{snapshot_file.path} can't be read: Is a directory."


def test_below_a_file(snapshot_file: SnapshotFile) -> None:
    snapshot_file.path.parent.write_text("")
    with pytest.raises(SnapshotError) as caught:
        snapshot_file.update(DATABASE, [MAIN])
    assert str(caught.value) == f"{snapshot_file.path} can't be read: Not a directory."


def test_lock_that_can_not_be_made(snapshot_file: SnapshotFile) -> None:
    snapshot_file.lock_directory.write_text("")
    with pytest.raises(SnapshotError) as caught:
        snapshot_file.update(DATABASE, [MAIN])
    lock = snapshot_file.lock_directory / "snapshots.lock"
    assert str(caught.value) == f"{lock} can't be written: File exists."


# managestate.json of django-extensions


def managestate(snapshot_file: SnapshotFile, data: Any) -> SnapshotFile:
    snapshot_file.path.parent.mkdir()
    snapshot_file.path.write_text(json.dumps(data))
    return snapshot_file


def test_managestate(snapshot_file: SnapshotFile) -> None:
    managestate(snapshot_file, {"updated_at": "now", "default": {"shop": "0002", "auth": "zero"}})
    assert snapshot_file.read_managestate("default") == {"shop": "0002", "auth": "zero"}


@pytest.mark.parametrize("data", [[], {"default": {}}, {"updated_at": "now", "format": 1}])
def test_no_managestate(snapshot_file: SnapshotFile, data: Any) -> None:
    assert managestate(snapshot_file, data).read_managestate("default") is None


def test_no_managestate_at_all(snapshot_file: SnapshotFile) -> None:
    assert snapshot_file.read_managestate("default") is None


@pytest.mark.parametrize(
    ("data", "names"),
    [
        ({}, "none"),
        ({"main": {}, "it's": {}}, "'main', \"it's\""),
        ({"feature": {"shop": 5}}, "'feature'"),
        ({"feature": "0002", "\ud800\x1b": {}}, r"'feature', '\ud800\x1b'"),
    ],
)
def test_managestate_without_that_state(
    snapshot_file: SnapshotFile, data: dict[str, Any], names: str
) -> None:
    managestate(snapshot_file, {"updated_at": "now", **data})

    with pytest.raises(SnapshotError) as caught:
        snapshot_file.read_managestate("feature")

    assert str(caught.value) == f"{snapshot_file.path} has no state 'feature'. It has: {names}."


# Where it lies


def test_beside_the_project_without_git() -> None:
    snapshot_file = SnapshotFile.find(None)
    assert snapshot_file.path == project_root() / ".django-devtools/snapshots.json"
    assert snapshot_file.lock_directory == project_root() / ".django-devtools"


def test_in_the_git_directory(tmp_path: Path) -> None:
    snapshot_file = SnapshotFile.find(Repository(tmp_path, tmp_path / ".git", "sha1"))
    assert snapshot_file.path == tmp_path / ".git/django-devtools/snapshots.json"
    assert snapshot_file.lock_directory == tmp_path / ".git/django-devtools"


def test_where_the_setting_says(tmp_path: Path, settings: Any) -> None:
    settings.DJANGO_DEVTOOLS = {"SNAPSHOT_FILE": "var/branches.json"}
    snapshot_file = SnapshotFile.find(Repository(tmp_path, tmp_path / ".git", "sha1"))
    assert snapshot_file.path == project_root() / "var/branches.json"
    assert snapshot_file.lock_directory == tmp_path / ".git/django-devtools"


def test_where_the_caller_says(tmp_path: Path, settings: Any) -> None:
    settings.DJANGO_DEVTOOLS = {"SNAPSHOT_FILE": "var/branches.json"}
    assert SnapshotFile.find(None, tmp_path / "other.json").path == tmp_path / "other.json"


# Names


@pytest.mark.parametrize("name", ["main", "-x", "..", "👩‍💻", "שלום", "a b", "$(x)", "x" * 300])
def test_good_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\0b", "\x1b[2J", "a\u2028b", "caf\udce9"])
def test_bad_names(name: str) -> None:
    with pytest.raises(SnapshotError) as caught:
        check_name(name)
    assert str(caught.value) == f"{name!r} can't name a snapshot: give one line of visible text."


# The lock

HOLD = """
import sys
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from django_devtools.branches.sources.snapshot_file import SnapshotFile

with SnapshotFile(Path(sys.argv[1]), Path(sys.argv[2])).lock("switch"):
    print("locked", flush=True)
    sys.stdin.read()
"""
WAIT = """
import sys
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from django_devtools.branches.sources.snapshot_file import SnapshotFile

def waiting(who):
    print(who, flush=True)

with SnapshotFile(Path(sys.argv[1]), Path(sys.argv[2])).lock("switch", waiting):
    print("mine", flush=True)
"""


def test_second_process_is_told_who_works_and_waits(snapshot_file: SnapshotFile) -> None:
    with ExitStack() as stack:
        with snapshot_file.lock("switch"):
            other = stack.enter_context(in_another_process(snapshot_file, WAIT))
            assert read_until(other, "since").startswith(f"process {os.getpid()}, since 20")
        assert other.communicate()[0] == "mine\n"
    assert other.returncode == 0


def test_we_are_told_who_works(snapshot_file: SnapshotFile) -> None:
    told: list[str] = []

    def waiting(who: str) -> None:
        told.append(who)
        other.communicate()

    with in_another_process(snapshot_file, HOLD) as other:
        read_until(other, "locked")
        with snapshot_file.lock("switch", waiting):
            text = (snapshot_file.lock_directory / "switch.lock").read_text()
            assert text.startswith(f"process {os.getpid()}, since 20")

    assert told[0].startswith(f"process {other.pid}, since 20")
    assert (snapshot_file.lock_directory / "switch.lock").read_text() == ""


def test_the_lock_of_a_killed_process_is_free(snapshot_file: SnapshotFile) -> None:
    with in_another_process(snapshot_file, HOLD) as other:
        read_until(other, "locked")
        other.kill()
        other.wait()

    with snapshot_file.lock("switch", lambda who: pytest.fail(f"{who} holds it")):
        pass


def test_the_lock_is_free_after_an_error(snapshot_file: SnapshotFile) -> None:
    with pytest.raises(RuntimeError, match="inside"), snapshot_file.lock("switch"):
        raise RuntimeError("inside")
    with snapshot_file.lock("switch", lambda who: pytest.fail(f"{who} holds it")):
        pass


def test_locks_of_other_names_do_not_wait(snapshot_file: SnapshotFile) -> None:
    with snapshot_file.lock("switch"):
        snapshot_file.update(DATABASE, [MAIN])
    assert snapshot_file.read() == {DATABASE: {"main": MAIN}}


UPDATE = """
import sys
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from django_devtools.branches.sources.snapshot_file import SnapshotFile
from django_devtools.branches.sources.snapshots import Snapshot

snapshot_file = SnapshotFile(Path(sys.argv[1]), Path(sys.argv[2]))
name = sys.stdin.readline().strip()
for number in range(20):
    snapshot_file.update("sqlite:x", [Snapshot(f"{name}{number}", None, "now")])
"""


def test_writers_lose_nothing_of_each_other(snapshot_file: SnapshotFile) -> None:
    with ExitStack() as stack:
        writers = [
            stack.enter_context(in_another_process(snapshot_file, UPDATE)) for _ in range(3)
        ]
        for name, writer in zip("abc", writers, strict=True):
            assert writer.stdin
            writer.stdin.write(f"{name}\n")
            writer.stdin.flush()
        for writer in writers:
            writer.communicate()
            assert writer.returncode == 0

    assert len(snapshot_file.read()["sqlite:x"]) == 60


def test_waits_in_silence_unless_told_otherwise(
    snapshot_file: SnapshotFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = locks.lock
    answers: list[bool] = []

    def lock(file: IO[str], flags: int) -> bool:
        if answers:  # The second time it waits, and then the other may go.
            other.communicate()
        answers.append(real(file, flags))
        return answers[-1]

    with in_another_process(snapshot_file, HOLD) as other:
        read_until(other, "locked")
        monkeypatch.setattr(locks, "lock", lock)
        with snapshot_file.lock("switch"):
            assert answers == [False, True]
