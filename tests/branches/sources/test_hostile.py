"""
Repositories that mean harm: nothing of them runs, and nothing of the user's is touched.

What somebody else can put into a clone by a fetch, and what a clone may have in its work tree, git
directory, configuration and environment. A seed chooses some of it, so that it meets; each program
and each text writes its name into a file if it is run.
"""

import json
import os
import random
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from django_devtools.branches.sources.git import SOURCES_REF, GitError, Repository
from django_devtools.branches.sources.trees import (
    LEFT_OUT,
    PROJECTS_REF,
    check_out,
    keep,
    write_tree,
)
from django_devtools.branches.sources.worktrees import work_tree
from tests.branches.shop import PRODUCT, make_shop
from tests.processes import TIMEOUT
from tests.project import ENVIRONMENT, Project, Zygote

pytestmark = [pytest.mark.long, pytest.mark.no_cover, pytest.mark.once]

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "default")
REPOSITORIES = {"quick": 3, "default": 10, "thorough": 300}[PROFILE]

HOOKS = [
    "fsmonitor-watchman",
    "post-checkout",
    "post-commit",
    "post-index-change",
    "post-merge",
    "post-rewrite",
    "pre-auto-gc",
    "pre-commit",
    "reference-transaction",
]
NAMES = [
    "-x",
    "--output=harm",
    "$(touch${IFS}harm)",
    "`touch${IFS}harm`",
    "';harm;'",
    "\u202egnp.exe",
    "\u009b2J",
    "\u2028",
    "👩‍💻",
    "x" * 200,
    "HEAD",
    "main",
    "feature",
    "heads/main",
    "refs/heads/main",
    "refs/remotes/origin/HEAD",
    "main-worktree/HEAD",
    "stash",
    SOURCES_REF,
]
ENTRIES = [
    "..",
    ".",
    ".git",
    ".GIT",
    "git~1",
    ".git\u200c",
    "/etc",
    "a/b",
    "..\\x",
    "-rf",
    "a\nb",
    "a\tb",
    "\x01" + "0" * 40,
    "\x1b[2J",
    "\udcff\udcfe",
    ".gitmodules",
    ".gitattributes",
    LEFT_OUT,
    "y" * 300,
]
DEEP = "not " * 10_000 + "1"
# What a record has is run, so these are when the file of the records itself was forged.
TEXTS = ("0003_theirs", "app", "apps", "entry", "migrations", "models", "settings")
# What `git status` itself may run: the user's own. It is not run for a record.
OF_STATUS = ("clean", "process")


def _without_git(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith("GIT_")}


@dataclass
class World:
    """A project, and somebody who means harm to it."""

    project: Project
    dice: random.Random
    ran: Path
    """Each program and text that was run has written its name in here."""
    outside: Path
    """A directory of the user's that is none of our business."""
    trees: list[str] = field(default_factory=list)
    """Hostile trees, of which some are to be checked out."""

    @property
    def top(self) -> Path:
        return self.project.path

    def git(self, *arguments: str | bytes, stdin: bytes = b"") -> str:
        """Run git as the attacker does, without all that is laid out here for the user."""
        output = subprocess.run(
            [
                "git",
                "-c",
                f"core.hooksPath={os.devnull}",
                "-c",
                "core.fsmonitor=false",
                *arguments,
            ],
            cwd=self.top,
            env=_without_git(os.environ) | ENVIRONMENT,
            input=stdin,
            check=True,
            capture_output=True,
            timeout=TIMEOUT,
        ).stdout
        return output.decode(errors="surrogateescape").strip()

    def program(self, name: str) -> str:
        """The path of a program that leaves its name."""
        file = self.ran.parent / f"programs/{name}"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f'#!/bin/sh\necho {name} >> "{self.ran}"\ncat\n')
        file.chmod(0o755)
        return str(file)

    def text(self, name: str) -> bytes:
        """Python that leaves its name."""
        return f"open({str(self.ran)!r}, 'a').write({name!r} + chr(10))\n".encode()

    def blob(self, content: bytes) -> str:
        return self.git("hash-object", "-w", "--stdin", "--no-filters", stdin=content)

    def tree(self, *entries: tuple[str, str, str]) -> str:
        """A tree with entries as they are given: mode, name, id."""
        content = b"".join(
            mode.encode() + b" " + os.fsencode(name) + b"\0" + bytes.fromhex(one)
            for mode, name, one in entries
        )
        tree = self.git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", stdin=content)
        self.trees.append(tree)
        return tree

    def theirs(self) -> str:
        """A commit with the text of shop.0003_theirs, which has a row here, and much besides."""
        text = self.text("0003_theirs") + self.dice.choice(
            [
                b"class Migration:\n    operations = [migrations.RunSQL('\x1b[2J', '')]\n",
                b"operations = [" + DEEP.encode() + b"]\n",
                b"# -*- coding: harm -*-\n",
                b"\0\xff\n",
            ]
        )
        migrations = self.tree(
            ("100644", "0003_theirs.py", self.blob(text)),
            ("100644", "__init__.py", self.blob(self.text("migrations"))),
        )
        label = self.dice.choice([b"", b"label = 'shop'\n", b"x = " + DEEP.encode()])
        app = self.tree(
            ("100644", "__init__.py", self.blob(self.text("app"))),
            ("100644", "apps.py", self.blob(self.text("apps") + label)),
            ("100644", "models.py", self.blob(self.text("models"))),
            ("40000", "migrations", migrations),
        )
        config = self.tree(("100644", "settings.py", self.blob(self.text("settings"))))
        entries = [
            ("40000", self.dice.choice(["shop", *ENTRIES]), app),
            ("40000", "config", config),
        ]
        entries.append(self.hostile_entry())
        tree = self.tree(*sorted(entries, key=lambda entry: os.fsencode(entry[1])))
        who = "theirs <t@example.com> 1900000000 +0000"
        commit = f"tree {tree}\nauthor {who}\ncommitter {who}\n\nHarm\n".encode()
        return self.git(
            "hash-object", "-w", "-t", "commit", "--literally", "--stdin", stdin=commit
        )

    def hostile_entry(self) -> tuple[str, str, str]:
        name = self.dice.choice(ENTRIES)
        if self.dice.random() < 0.5:
            return "100644", name, self.blob(self.text("entry"))
        target = self.dice.choice([str(self.outside), "..", "/", name, ".git/hooks"])
        return "120000", name, self.blob(os.fsencode(target))

    def ref(self, name: str, value: str) -> None:
        # Some names can't be, or not beside others.
        with suppress(subprocess.CalledProcessError):
            self.git("update-ref", name, value)


# What a fetch can bring


def their_branches(world: World) -> None:
    place = world.dice.choice(["remotes/origin", "remotes/heads", "remotes", "pull", "notes"])
    world.ref(f"refs/{place}/{world.dice.choice(NAMES)}", world.theirs())


def their_tags(world: World) -> None:
    commit = world.theirs()
    world.ref(f"refs/tags/{world.dice.choice(NAMES)}", commit)
    for name in ("main", "feature", "HEAD"):
        world.ref(f"refs/tags/{name}", commit)
        world.ref(f"refs/tags/{world.git('rev-parse', 'refs/heads/main')[:10]}", commit)


def their_replacements(world: World) -> None:
    commit, blob = world.theirs(), world.blob(world.text("replaced"))
    commits = world.git("rev-list", "refs/heads/main", "refs/heads/feature").split()
    files = ("main:shop/migrations/0002_longer_name.py", "feature:shop/helpers.py")
    blobs = [world.git("rev-parse", f"refs/heads/{name}") for name in files]
    for name, other in {**dict.fromkeys(commits, commit), **dict.fromkeys(blobs, blob)}.items():
        world.ref(f"refs/replace/{name}", other)


def their_stash(world: World) -> None:
    """Without a log, as a fetch of all refs writes it where nothing was ever stashed."""
    world.ref("refs/stash", world.theirs())


def their_private_refs(world: World) -> None:
    commit = world.theirs()
    value = world.dice.choice([commit, world.dice.choice(world.trees), world.blob(b"")])
    name = world.dice.choice([SOURCES_REF, f"{SOURCES_REF}/x", PROJECTS_REF, f"{PROJECTS_REF}/x"])
    for ref in world.git("for-each-ref", "--format=%(refname)", "refs/django-devtools").split():
        world.git("update-ref", "-d", ref)
    world.ref(name, value)


# What a clone has beside its commits


def configuration(world: World) -> None:
    programs = {
        "alias.log": "!alias",
        "alias.rev-parse": "!alias",
        "core.editor": "editor",
        "core.fsmonitor": "fsmonitor",
        "core.pager": "pager",
        "core.sshCommand": "ssh",
        "credential.helper": "credential",
        "diff.evil.command": "diff",
        "diff.evil.textconv": "textconv",
        "diff.external": "diff",
        "filter.evil.clean": "clean",
        "filter.evil.process": "process",
        "filter.evil.smudge": "smudge",
        "gpg.program": "gpg",
        "merge.evil.driver": "merge",
        "uploadpack.packObjectsHook": "pack",
    }
    config = world.top / ".git/config"
    if world.dice.random() < 0.3:
        world.git("config", "include.path", "../included")
        config = world.top / "included"
    for name in world.dice.sample(sorted(programs), 6):
        bang = "!" if programs[name].startswith("!") else ""
        program = world.program(programs[name].removeprefix("!"))
        world.git("config", "--file", str(config), name, bang + program)
    for name in ("log.showSignature", "diff.renames", "submodule.recurse", "core.splitIndex"):
        world.git("config", "--file", str(config), name, "true")
    world.git("config", f"url.ext::{world.program('ext')}.insteadOf", "https://")


def hooks(world: World) -> None:
    directory = world.top / ".git/hooks"
    if world.dice.random() < 0.5:
        directory = world.ran.parent / "hooks"
        world.git("config", "core.hooksPath", str(directory))
    directory.mkdir(exist_ok=True)
    for name in HOOKS:
        shutil.copy(world.program(name), directory / name)


def environment(world: World) -> None:
    programs = ("GIT_EXTERNAL_DIFF", "GIT_PAGER", "GIT_SSH_COMMAND", "GIT_ASKPASS", "GIT_EDITOR")
    found = {name: world.program(name) for name in programs} | {
        "GIT_DIR": str(world.outside),
        "GIT_WORK_TREE": str(world.outside),
        "GIT_INDEX_FILE": str(world.outside / "index"),
        "GIT_OBJECT_DIRECTORY": str(world.outside / "objects"),
        "GIT_REPLACE_REF_BASE": "refs/heads",
        "GIT_NAMESPACE": "harm",
        "GIT_GRAFT_FILE": str(world.outside / "grafts"),
        "GIT_LITERAL_PATHSPECS": "1",
    }
    for name in world.dice.sample(sorted(found), 4):
        world.project.environment[name] = found[name]


def attributes(world: World) -> None:
    text = "* filter=evil diff=evil merge=evil text eol=crlf ident export-subst\n"
    place = world.dice.choice([".gitattributes", "shop/.gitattributes", ".git/info/attributes"])
    (world.top / place).parent.mkdir(exist_ok=True)
    (world.top / place).write_text(text)
    if world.dice.random() < 0.5:
        world.project.models("shop", PRODUCT + "# $Id$ $Format:%H$\r\n")


def submodules(world: World) -> None:
    nested = world.top / "nested"
    subprocess.run(
        ["git", "init", "--quiet", str(nested)], check=True, env=os.environ | ENVIRONMENT
    )
    for name in ("core.fsmonitor", "core.sshCommand", "diff.external"):
        world.git("config", "--file", str(nested / ".git/config"), name, world.program("nested"))
    (nested / "__init__.py").write_bytes(world.text("nested"))
    (world.top / ".gitmodules").write_text(
        f'[submodule "nested"]\n\tpath = nested\n\turl = ext::{world.program("ext")}\n'
        f"\tupdate = !{world.program('update')}\n"
    )
    if world.dice.random() < 0.5:
        entry = f"160000,{world.git('rev-parse', 'refs/heads/main')},nested"
        world.git("update-index", "--add", "--cacheinfo", entry)


def links(world: World) -> None:
    for name in world.dice.sample([".gitattributes", ".gitmodules", LEFT_OUT, "loop", "out"], 3):
        target = world.dice.choice([str(world.outside / "kept"), "/dev/null", "..", name])
        with suppress(FileExistsError):
            (world.top / name).symlink_to(target)
    if world.dice.random() < 0.5:
        # In the path of files that git tracks.
        (world.top / "docs").rename(world.ran.parent / "docs")
        (world.top / "docs").symlink_to(world.ran.parent / "docs")


def files(world: World) -> None:
    for name in world.dice.sample([*ENTRIES, *NAMES], 6):
        file = world.top / "odd" / name.replace("/", "_") / "x.py"
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(world.text("odd"))
    os.mkfifo(world.top / "pipe")
    left_out = world.dice.choice(["[" * 100_000, '["../x", "/etc", "\\u0000", ""]', "{}", "1"])
    with suppress(OSError):
        (world.top / LEFT_OUT).write_text(left_out)


def git_directory(world: World) -> None:
    directory = world.top / ".git"
    parent = world.theirs()
    junk = world.dice.choice(["--output=harm", f"{parent}\n", "\0\xff", "main..x", "[" * 99999])
    for name in world.dice.sample(["in-step", "failed", "left-out"], 2):
        (directory / "django-devtools" / name).write_text(junk)
    kind = world.dice.randrange(4)
    main = world.git("rev-parse", "refs/heads/main")
    if kind == 0:
        (directory / "objects/info/alternates").write_text(f"{world.outside}\n")
    elif kind == 1:
        (directory / "shallow").write_text(f"{main}\n")
    elif kind == 2:
        (directory / "info/exclude").unlink(missing_ok=True)
        (directory / "info/exclude").symlink_to(world.outside / "kept")
    else:
        (directory / "FETCH_HEAD").write_text(f"{parent}\t\tbranch 'main' of ext::harm\n")


def records(world: World) -> None:
    """A snapshot whose trees and texts are not what they were."""
    file = world.top / ".git/django-devtools/snapshots.json"
    data = json.loads(file.read_text())
    world.theirs()
    for branches in data["databases"].values():
        for snapshot in branches.values():
            projects = snapshot.get("projects", {})
            snapshot["projects"] = {
                world.dice.choice(world.trees): one for one in projects.values()
            }
    file.write_text(json.dumps(data))


def unborn(world: World) -> None:
    world.git("symbolic-ref", "HEAD", "refs/heads/unborn")


HARM: list[Callable[[World], None]] = [
    their_branches,
    their_tags,
    their_replacements,
    their_stash,
    their_private_refs,
    configuration,
    hooks,
    environment,
    attributes,
    submodules,
    links,
    files,
    git_directory,
    records,
    unborn,
]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, zygote: Zygote) -> Path:
    """On main: with a recorded phantom whose helper is gone, and one that nobody had here."""
    directory = tmp_path_factory.mktemp("template")
    project = Project.make(directory / "project", _database(directory / "project"), zygote)
    project.write("docs/page.md", "A page\n")
    make_shop(project)
    project.checkout("-b", "feature")
    project.write("shop/helpers.py", "def helped(apps, editor): pass\n")
    project.migration(
        "shop",
        "0003_colour",
        "migrations.RunPython(helped, helped),",
        [("shop", "0002_longer_name")],
        before="from shop.helpers import helped",
    )
    project.settings('DJANGO_DEVTOOLS = {"AUTO_SNAPSHOT": True}')
    project.manage("migrate")
    project.commit("Colour")
    project.checkout("main")
    with sqlite3.connect(project.path / "db.sqlite3") as connection:
        connection.execute(
            "INSERT INTO django_migrations (app, name, applied) "
            "VALUES ('shop', '0003_theirs', '2026-01-01 00:00:00')"
        )
    return project.path


def _database(top: Path) -> dict[str, object]:
    """In the project, so that it is copied along."""
    return {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(top / "db.sqlite3")}}


@pytest.fixture
def make_world(template: Path, tmp_path: Path, zygote: Zygote) -> Callable[[int], World]:
    def make(seed: int) -> World:
        top = Path(shutil.copytree(template, tmp_path / "project", symlinks=True))
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "kept").write_text("* filter=evil\n")
        snapshots = top / ".git/django-devtools/snapshots.json"
        snapshots.write_text(snapshots.read_text().replace(str(template), str(top)))
        project = Project(top, _database(top), zygote)
        return World(project, random.Random(seed), tmp_path / "ran", outside)

    return make


def what_is_the_users(world: World) -> object:
    """Index, refs, stash, HEAD and files; and what lies outside."""
    index = world.top / ".git/index"
    below = [path for path in world.top.rglob("*") if not _is_ours(path.relative_to(world.top))]
    return (
        index.read_bytes(),
        (world.top / ".git/HEAD").read_text(),
        [ref for ref in world.git("for-each-ref").splitlines() if "/django-devtools/" not in ref],
        {str(path): _look(path) for path in below},
        {str(path): _look(path) for path in world.outside.rglob("*")},
        sorted(path.name for path in world.ran.parent.iterdir() if path != world.ran),
    )


def _is_ours(path: Path) -> bool:
    return path.parts[0] == ".git" or path.name in ("db.sqlite3", "__pycache__")


def _look(path: Path) -> object:
    if path.is_symlink():
        return path.readlink()
    return path.read_bytes() if path.is_file() else path.stat().st_mode


def what_ran(world: World) -> set[str]:
    return set(world.ran.read_text().split()) if world.ran.exists() else set()


@pytest.mark.parametrize("seed", range(REPOSITORIES))
def test_nothing_hostile_runs(
    make_world: Callable[[int], World],
    seed: int,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = make_world(seed)
    harm = world.dice.sample(HARM, world.dice.randint(2, 6))
    for do in sorted(harm, key=HARM.index):
        do(world)
    harmed = [one.__name__ for one in harm]
    before = what_is_the_users(world)
    scratch = tmp_path_factory.mktemp("scratch")
    world.project.environment["TMPDIR"] = str(scratch)
    said = []

    for command in (
        ("migrations_status", "--json"),
        ("migrations_switch", "--plan"),
        world.dice.choice(
            [
                ("migrations_hook", "run"),
                ("migrations_switch", "--no-input", "--irreversible=keep"),
            ]
        ),
    ):
        result = world.project.manage(*command, status=None)
        said.append(result)
        assert "Traceback" not in result.stderr, (command, harmed, result.stderr)
        for text in (result.stdout, result.stderr):
            assert text.replace("\n", "").isprintable(), (command, text)
        assert what_is_the_users(world) == before, command
    allowed = {*OF_STATUS, *(TEXTS if "records" in harmed else ())}
    assert what_ran(world) <= allowed, harmed
    if said[0].status == 0:
        found = {row["name"]: row for row in json.loads(said[0].stdout)}
        assert "git history" not in str(found.get("0003_theirs"))

    world.ran.unlink(missing_ok=True)
    for name, value in (ENVIRONMENT | world.project.environment).items():
        if name.startswith("GIT_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    record_and_check_out(world, scratch)
    assert what_ran(world) == set(), harmed
    assert what_is_the_users(world) == before
    assert list(scratch.iterdir()) == []


def record_and_check_out(world: World, scratch: Path) -> None:
    """What is done with records, in this process. Git may refuse it."""
    repository = Repository.find(world.top)
    assert repository
    steps: list[Callable[[], object]] = [
        lambda: world.trees.append(write_tree(repository, repository.commit()).id),
        lambda: keep(repository, "test", world.trees),
        lambda: repository.store({repository.blob_id(b"x"): b"x"}),
    ]
    for step in steps:
        with suppress(GitError):
            step()
    some = world.dice.sample(world.trees, min(3, len(world.trees)))
    for trees in (*([tree] for tree in some[1:]), some):
        if not trees:
            continue
        with suppress(GitError), work_tree(repository, trees):
            pass
        there = scratch / "there"
        there.mkdir()
        with suppress(GitError):
            check_out(repository, trees[0], there, lambda name: True)
        shutil.rmtree(there)
