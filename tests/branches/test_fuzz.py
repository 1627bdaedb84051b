"""Hostile files and names: no traceback, no harm, and nothing overwritten."""

import copy
import json
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from django_devtools.branches.sources.snapshot_file import SnapshotFile
from django_devtools.branches.sources.snapshots import Record, Snapshot, SnapshotError
from tests.branches.shop import columns, make_shop, make_shop_with_feature
from tests.project import Project

pytestmark = [pytest.mark.long, pytest.mark.once]

BLOB = "ab" * 20
SNAPSHOT = Snapshot(
    "main",
    "cd" * 20,
    "2026-01-02T03:04:05+00:00",
    {"shop": "shop.migrations", "auth": "django.contrib.auth.migrations"},
    {("shop", "0001_initial"): Record(BLOB, "now"), ("auth", "0001_initial"): Record(None, "now")},
    {("shop", "0001_old"): Record(BLOB, "2025-01-01T00:00:00")},
)
NASTY: list[Any] = [
    None,
    True,
    0,
    -1,
    2,
    10**400,
    1e308,
    float("inf"),
    float("nan"),
    "",
    " ",
    "\0",
    "\x1b]0;title\x07",
    "\ud800",
    "\u2028",
    "\u202e",
    "👩‍💻",
    "x" * 10_000,
    "..",
    "--output=x",
    "HEAD",
    BLOB,
    [],
    {},
    [[]],
    {"shop": {}},
    [BLOB, "now"],
    {BLOB: 1, "now": 2},
]


@pytest.fixture
def snapshot_file(tmp_path: Path) -> SnapshotFile:
    snapshot_file = SnapshotFile(tmp_path / "kept" / "snapshots.json", tmp_path / "locks")
    snapshot_file.update("sqlite:/srv/db.sqlite3", [SNAPSHOT, Snapshot("feature", None, "now")])
    snapshot_file.update("postgresql://localhost:5432/shop", [SNAPSHOT])
    return snapshot_file


def check(snapshot_file: SnapshotFile, content: bytes) -> bool:
    """Whether ``content`` can be read; asserts that it is left alone where not."""
    snapshot_file.path.write_bytes(content)
    found, problem = attempt(snapshot_file.read)
    if problem is None:
        snapshot_file.update("new", [SNAPSHOT])
        filled = {database: branches for database, branches in found.items() if branches}
        assert snapshot_file.read() == filled | {"new": {"main": SNAPSHOT}}
        return True
    assert str(snapshot_file.path) in problem
    assert problem.isprintable()
    assert len(problem) < 5000
    assert attempt(lambda: snapshot_file.update("new", [SNAPSHOT])) == (None, problem)
    assert snapshot_file.path.read_bytes() == content
    assert list(snapshot_file.path.parent.iterdir()) == [snapshot_file.path]
    return False


def attempt(action: Callable[[], Any]) -> tuple[Any, str | None]:
    """What ``action`` returns, or what its SnapshotError says; nothing else may come of it."""
    try:
        return action(), None
    except SnapshotError as error:
        return None, str(error)


def change_bytes(content: bytes, dice: random.Random) -> bytes:
    """Flip, insert, cut out, double or truncate some bytes."""
    changed = bytearray(content)
    for _ in range(dice.choice((1, 1, 2, 10))):
        place = dice.randrange(len(changed) + 1)
        kind = dice.randrange(5)
        if kind == 0 and place < len(changed):
            changed[place] ^= 1 << dice.randrange(8)
        elif kind == 1:
            changed[place:place] = dice.choice((b"\0", b"\xff", b"\xed\xa0\x80", b"[" * 99, b'"'))
        elif kind == 2:
            del changed[place : place + dice.randrange(1, 40)]
        elif kind == 3:
            changed[place:place] = changed[place : place + dice.randrange(1, 40)]
        else:
            del changed[place:]
    return bytes(changed)


def change_values(content: bytes, dice: random.Random) -> bytes:
    """Put something nasty in the place of a value or a key, or leave one out."""
    data = {"": json.loads(content)}
    for _ in range(dice.choice((1, 1, 2, 5))):
        places = list(containers(data))
        container = dice.choice(places)
        if not container:
            continue
        keys = list(container) if isinstance(container, dict) else list(range(len(container)))
        key = dice.choice(keys)
        kind = dice.randrange(3)
        if kind == 0 or container is data:
            container[key] = copy.deepcopy(dice.choice(NASTY))
        elif kind == 1:
            del container[key]
        elif isinstance(container, dict):
            container[str(dice.choice(NASTY))] = container.pop(key)
    return json.dumps(data[""]).encode()


def containers(data: Any) -> Any:
    """Every dict and list in ``data``."""
    if isinstance(data, dict | list):
        yield data
        for value in data.values() if isinstance(data, dict) else data:
            yield from containers(value)


@pytest.mark.parametrize("change", [change_bytes, change_values])
@pytest.mark.parametrize("seed", range(5))
def test_mutations_of_a_real_file(
    snapshot_file: SnapshotFile, change: Callable[[bytes, random.Random], bytes], seed: int
) -> None:
    dice = random.Random(seed)
    content = snapshot_file.path.read_bytes()

    readable = [check(snapshot_file, change(content, dice)) for _ in range(200)]

    assert readable.count(False) > 50


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("place", ["FORMAT", "DATABASES", "TAKEN", "COMMIT", "BLOB", "APPLIED"])
def test_deep_nesting(snapshot_file: SnapshotFile, place: str, opening: str, closing: str) -> None:
    """Wherever the depth is that json still reads and something else does not."""
    values = {
        "FORMAT": "1",
        "DATABASES": '{"sqlite:x": {"main": SNAPSHOT}}',
        "TAKEN": '"now"',
        "COMMIT": "null",
        "BLOB": "null",
        "APPLIED": '{"shop": {"0001": [BLOB, "now"]}}',
    }
    text = '{"format": FORMAT, "databases": DATABASES}'
    snapshot = '{"commit": COMMIT, "taken": TAKEN, "packages": {}, "applied": APPLIED, '
    snapshot += '"obsolete": {}}'
    for depth in (1, 50, *range(300, 6000, 150), 100_000):
        nested = opening * depth + "1" + closing * depth
        content = text
        for name, value in (values | {place: nested}).items():
            content = content.replace(name, value).replace("SNAPSHOT", snapshot)
        assert not check(snapshot_file, content.encode())


def test_deep_nesting_in_managestate(snapshot_file: SnapshotFile) -> None:
    for depth in range(300, 6000, 150):
        snapshot_file.path.write_text(
            '{"updated_at": "now", "main": %s}' % ("[" * depth + "]" * depth)
        )
        with pytest.raises(SnapshotError, match=r"has no state 'main'|is damaged"):
            snapshot_file.read_managestate("main")


@pytest.mark.parametrize("seed", range(3))
def test_mutations_of_managestate(snapshot_file: SnapshotFile, seed: int) -> None:
    dice = random.Random(seed)
    content = b'{"updated_at": "now", "main": {"shop": "0002", "auth": "zero"}, "default": {}}'
    results = []
    for _ in range(200):
        snapshot_file.path.write_bytes(dice.choice((change_bytes, change_values))(content, dice))
        state, problem = attempt(lambda: snapshot_file.read_managestate("main"))
        assert problem is None or (str(snapshot_file.path) in problem and problem.isprintable())
        results.append(state)
    assert {"shop": "0002", "auth": "zero"} in results


# Through manage.py

DAMAGED = [
    b"",
    b"\0" * 100,
    b"\xff\xfe{\0",
    b"null",
    b"{}",
    b"[" * 100_000,
    b'{"format": 1, "databases": {"sqlite:x"',
    b'{"format": 99, "databases": {}}',
    b'{"format": %s, "databases": {}}' % (b"9" * 4000),
    b'{"format": 1, "databases": {"x": {"\\ud800": {}}}}',
    b'{"format": 1, "databases": {"x": {"\\u001b[2J": {}}}}',
    b'{"format": 1, "databases": {"x": {"main": {"commit": %s}}}}' % (b"[" * 2000 + b"]" * 2000),
]
COMMANDS = [
    ("migrations_snapshot",),
    ("migrations_snapshot", "--list"),
    ("migrations_snapshot", "--delete=main"),
    ("migrations_switch", "--no-input"),
    ("migrations_switch", "--plan", "main"),
    ("migrations_status",),
]


def test_commands_leave_damaged_files_alone(project: Project) -> None:
    make_shop(project)
    project.manage("migrate")
    file = project.path / ".git/django-devtools/snapshots.json"
    file.parent.mkdir(exist_ok=True)
    for content in DAMAGED:
        for command in COMMANDS:
            file.write_bytes(content)
            result = project.manage(*command, status=1)
            assert f"CommandError: {file} " in result.stderr, (content[:80], command)
            assert result.stdout == ""
            assert file.read_bytes() == content
            names = {path.name for path in file.parent.iterdir()}
            assert names <= {"snapshots.json", "snapshots.lock", "switch.lock"}


def test_commands_survive_files_that_only_look_right(project: Project) -> None:
    """What can be read, and yet names what does not exist or is none of what it should be."""
    make_shop_with_feature(project)
    project.manage("migrations_snapshot")
    file = project.path / ".git/django-devtools/snapshots.json"
    real = json.loads(file.read_text())
    (database,) = real["databases"]
    snapshot = real["databases"][database]["feature"]
    tree = project.git("rev-parse", "HEAD^{tree}").strip()
    when = snapshot["applied"]["shop"]["0003_colour"][1]
    project.checkout("main")
    hostile: list[dict[str, Any]] = [
        {"commit": "0" * 40},
        {"commit": tree},
        {"commit": "12" * 32},
        {"applied": {"shop": {"0003_colour": ["0" * 40, when]}}},
        {"applied": {"shop": {"0003_colour": [tree, when]}}},
        {"applied": {"shop": {"../../0003": [tree, when]}, "": {"": [tree, when]}}},
        {"packages": {"shop": "no.such.package"}},
        {"packages": {"shop": "os"}},
        {"applied": {}, "packages": {}},
    ]
    for changes in hostile:
        for name in ("feature", "gone"):
            real["databases"][database] = {name: snapshot | changes}
            file.write_text(json.dumps(real))
            for command in (
                ("migrations_snapshot", "--list"),
                ("migrations_switch", "--plan"),
                ("migrations_switch", "--plan", "--", name),
                ("migrations_status",),
            ):
                result = project.manage(*command, status=None)
                assert "Traceback" not in result.stderr, (changes, name, command, result.stderr)
                assert result.status in (0, 1)


NAMES = [
    "a b",
    "it's",
    '"quoted"',
    "-x",
    "--output=harm",
    "--help",
    "..",
    "../../harm",
    "/tmp/harm",
    "a..b",
    "@{-1}",
    "@",
    "HEAD",
    "HEAD~99",
    "main@{u}",
    ":/harm",
    "$(touch harm)",
    "`touch harm`",
    "; touch harm",
    "| touch harm",
    "> harm",
    "%s%n",
    "{0.__class__}",
    "👩‍💻",
    "שלום\u202e",
    "mit Umläuten",
    "x" * 3000,
]
UNUSABLE_NAMES = [" ", "a\nb", "a\rb", "\x1b[2J", "a\u2028b", "\x85", "caf\udce9"]


def everything(project: Project) -> set[str]:
    """The files of the project, and next to it, without git's own."""
    return {
        str(path.relative_to(project.path.parent))
        for path in project.path.parent.rglob("*")
        if ".git/objects" not in str(path)
    }


@pytest.mark.no_cover
def test_names_of_snapshots(project: Project) -> None:
    make_shop(project)
    project.manage("migrate")
    project.manage("migrations_snapshot", "first")
    before = everything(project)
    for name in NAMES:
        taken = project.manage("migrations_snapshot", "--", name).stdout
        assert taken.startswith(f"Snapshot of {name} in database 'default': ")
        plan = project.manage("migrations_switch", "--plan", "--", name).stdout
        target = "HEAD (" if name == "HEAD" else f"the snapshot of branch {name}:\n  No planned"
        assert f"to {target}" in plan
    listed = project.manage("migrations_snapshot", "--list").stdout
    assert [name for name in NAMES if f"  {name}: " not in listed] == []
    project.manage("migrations_snapshot", "--delete=--output=harm")
    assert everything(project) == before


def test_names_that_no_snapshot_can_have(project: Project) -> None:
    make_shop(project)
    project.manage("migrate")
    for name in UNUSABLE_NAMES:
        result = project.manage("migrations_snapshot", "--", name, status=1)
        assert result.stderr == (
            f"CommandError: {name!r} can't name a snapshot: give one line of visible text.\n"
        )
    assert not (project.path / ".git/django-devtools").exists()


@pytest.mark.no_cover
def test_targets_that_do_not_exist(project: Project) -> None:
    make_shop(project)
    project.manage("migrate")
    before = everything(project)
    for name in ["", *(set(NAMES) - {"@", "HEAD"}), *UNUSABLE_NAMES, "^main", "main..main"]:
        result = project.manage("migrations_switch", "--plan", "--", name, status=1)
        assert result.stderr.startswith(
            f"CommandError: {name!r} is neither a branch that has a snapshot in this database "
            "(these have: none) nor a git ref."
        ), name
    assert everything(project) == before


@pytest.mark.no_cover
def test_real_branches_of_these_names(project: Project) -> None:
    """Where git takes the name: snapshots are taken of it, and switches go to it."""
    make_shop(project)
    project.manage("migrate")
    before = everything(project)
    done = set()
    names = [*(name.replace(" ", "${IFS}") for name in NAMES), "x" * 200, "/".join(["x" * 99] * 4)]
    for name in names:
        try:
            project.git("update-ref", f"refs/heads/{name}", "HEAD")
        except subprocess.CalledProcessError:
            continue
        project.git("symbolic-ref", "HEAD", f"refs/heads/{name}")
        taken = project.manage("migrations_snapshot").stdout
        assert taken.startswith(f"Snapshot of {name} in database 'default': ")
        assert f"* {name}: " in project.manage("migrations_snapshot", "--list").stdout
        project.manage("migrations_snapshot", f"--delete={name}")
        # Git's own commands take no branch that begins with a dash either.
        target = () if name.startswith("-") else ("--", name)
        switched = project.manage("migrations_switch", "--no-input", *target).stdout
        assert f"database 'default' is in step with branch {name}." in switched
        done.add(name)
    assert {"it's", "--output=harm", "$(touch${IFS}harm)", "👩‍💻", "-x"} <= done
    new = {path for path in everything(project) - before if "/.git/" not in path}
    assert new == set()


@pytest.mark.parametrize("name", ["line\u2028separator", "c1\x85control"])
def test_real_branch_that_no_snapshot_can_be_named_after(project: Project, name: str) -> None:
    """Git takes these. The file of the others' snapshots must stay readable."""
    make_shop_with_feature(project)
    project.manage("migrations_snapshot")
    file = project.path / ".git/django-devtools/snapshots.json"
    before = json.loads(file.read_text())["databases"]
    project.checkout("-b", name, "main")

    result = project.manage("migrations_snapshot", status=1)
    assert f"CommandError: {name!r} can't name a snapshot" in result.stderr
    result = project.manage("migrations_switch", "--no-input", status=1)
    assert f"can't be written: not a line of text: {name!a}." in result.stderr

    assert json.loads(file.read_text())["databases"] == before
    project.manage("migrations_snapshot", "--list")
    assert project.states() == {}


def test_a_branch_that_no_snapshot_can_be_named_after_is_left(project: Project) -> None:
    name = "c1\x85control"
    make_shop_with_feature(project)
    project.git("branch", "-m", "feature", name)
    project.checkout("main")
    project.switch()
    assert columns(project) == {"id", "name"}
