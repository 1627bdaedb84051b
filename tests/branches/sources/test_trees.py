"""Trees of the whole project, written and checked out by real git."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from django_devtools.branches.sources import trees
from django_devtools.branches.sources.git import GitError, Repository
from django_devtools.branches.sources.trees import (
    LEFT_OUT,
    PROJECTS_REF,
    Written,
    check_out,
    keep,
    same_directories,
    write_tree,
)
from tests.project import ENVIRONMENT

from .test_git import commit, found, git, kept_by, write

pytestmark = pytest.mark.once

# Of the user nobody. Root, as which CI may run, is refused nothing.
NOBODY = 65534


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    for name in [name for name in ENVIRONMENT if name.startswith("GIT_")]:
        monkeypatch.setenv(name, ENVIRONMENT[name])


@pytest.fixture
def make_top(tmp_path: Path) -> Callable[..., Path]:
    """A function that makes a repository without commits, and returns its directory."""

    def make(name: str = "repository", *options: str) -> Path:
        top = tmp_path / name
        git(tmp_path, "init", "--quiet", "--initial-branch=main", *options, str(top))
        return top

    return make


@pytest.fixture
def top(make_top: Callable[..., Path]) -> Path:
    """A repository with a commit of two files."""
    top = make_top()
    commit(top, "a.py", "pkg/b.py")
    return top


def written(top: Path, *databases: Path) -> Written:
    repository = found(top)
    return write_tree(repository, repository.commit(), databases)


def files(top: Path, tree: str) -> dict[str, str]:
    """The mode and the content of each file of a tree."""
    found = {}
    for line in output_of(top, "ls-tree", "-r", "-z", tree).split("\0"):
        if line:
            meta, _, path = line.partition("\t")
            mode, kind, name = meta.split()
            content = output_of(top, "cat-file", "blob", name) if kind == "blob" else name
            found[path] = f"{mode} {content}"
    return found


def output_of(top: Path, *arguments: str) -> str:
    """What git prints, to the byte."""
    process = subprocess.run(["git", *arguments], cwd=top, capture_output=True, check=True)
    return os.fsdecode(process.stdout)


def recorded(top: Path, *databases: Path) -> dict[str, str]:
    return files(top, written(top, *databases).id)


def state(top: Path) -> tuple[object, ...]:
    """What a user sees of a repository."""
    index = top / ".git/index"
    return (
        index.read_bytes() if index.exists() else None,
        git(top, "for-each-ref"),
        git(top, "stash", "list"),
        git(top, "--no-optional-locks", "status", "--porcelain", "--ignored"),
        sorted(path.name for path in (top / ".git").iterdir()),
        git(top, "--no-optional-locks", "worktree", "list"),
    )


def objects(top: Path) -> set[str]:
    """The loose objects and packs of a repository."""
    directory = top / ".git/objects"
    return {path.relative_to(directory).as_posix() for path in directory.rglob("*")}


# What is in a tree


def test_what_is_committed_staged_changed_untracked_and_gone(top: Path) -> None:
    commit(top, "gone.py", "dropped.py", "staged.py")
    write(top, "staged.py", "staged\n")
    git(top, "add", "staged.py")
    git(top, "rm", "--quiet", "--cached", "dropped.py")
    (top / "dropped.py").unlink()
    (top / "gone.py").unlink()
    write(top, "pkg/b.py", "changed\n")
    write(top, "new/c.sql", "untracked\n")
    write(top, ".gitignore", "*.log\n")
    write(top, "x.log")
    before = state(top)

    assert recorded(top) == {
        ".gitignore": "100644 *.log\n",
        "a.py": "100644 a.py\n",
        "new/c.sql": "100644 untracked\n",
        "pkg/b.py": "100644 changed\n",
        "staged.py": "100644 staged\n",
    }
    assert state(top) == before


def test_a_clean_work_tree_is_that_of_its_commit(top: Path) -> None:
    assert written(top).id == git(top, "rev-parse", "HEAD^{tree}")


def test_the_same_again_writes_no_object(top: Path) -> None:
    write(top, "new.py")
    tree = written(top)
    before = objects(top)
    assert written(top) == tree
    assert objects(top) == before


def test_nothing_is_committed(make_top: Callable[..., Path]) -> None:
    top = make_top()
    write(top, "a.py", "untracked\n")
    write(top, "b.py", "staged\n")
    git(top, "add", "b.py")
    assert recorded(top) == {"a.py": "100644 untracked\n", "b.py": "100644 staged\n"}


def test_nothing_at_all(make_top: Callable[..., Path]) -> None:
    assert recorded(make_top()) == {}


def test_sha256(make_top: Callable[..., Path]) -> None:
    top = make_top("repository", "--object-format=sha256")
    write(top, "a.py")
    assert recorded(top) == {"a.py": "100644 text\n"}
    commit(top)
    write(top, "a.py", "changed\n")
    assert recorded(top) == {"a.py": "100644 changed\n"}


def test_links_and_permissions(top: Path) -> None:
    (top / "link").symlink_to("pkg")
    (top / "dangling").symlink_to("/nowhere/to be found")
    write(top, "run.sh")
    (top / "run.sh").chmod(0o755)
    found = recorded(top)
    assert found["link"] == "120000 pkg"
    assert found["dangling"] == "120000 /nowhere/to be found"
    assert found["run.sh"] == "100755 text\n"


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", " a ", "umläut", "\udcff", "-x", "*.py"])
def test_odd_names(top: Path, name: str) -> None:
    write(top, f"{name}/{name}")
    assert f"{name}/{name}" in recorded(top)
    commit(top)
    (top / name / name).unlink()
    assert f"{name}/{name}" not in recorded(top)


def test_a_file_where_a_directory_was_and_the_other_way_round(top: Path) -> None:
    (top / "a.py").unlink()
    write(top, "a.py/inner.py")
    shutil.rmtree(top / "pkg")
    write(top, "pkg")
    expected = {"a.py/inner.py": "100644 text\n", "pkg": "100644 text\n"}
    assert recorded(top) == expected
    git(top, "add", "--all")
    assert recorded(top) == expected


def test_a_link_where_a_directory_was(top: Path) -> None:
    (top / "pkg").rename(top / "moved")
    (top / "pkg").symlink_to("moved")
    assert recorded(top) == {
        "a.py": "100644 a.py\n",
        "moved/b.py": "100644 pkg/b.py\n",
        "pkg": "120000 moved",
    }


def test_much_is_given_to_git_in_parts(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "BATCH", 10)
    for number in range(5):
        write(top, f"new{number}.py")
    assert len(recorded(top)) == 7


def test_what_is_ignored_by_other_files(top: Path, tmp_path: Path) -> None:
    write(tmp_path, "ignored", "*.one\n")
    git(top, "config", "core.excludesFile", str(tmp_path / "ignored"))
    write(top, ".git/info/exclude", "*.two\n")
    for name in ("x.one", "x.two", "x.three"):
        write(top, name)
    assert set(recorded(top)) == {"a.py", "pkg/b.py", "x.three"}


def test_excludes_below_the_home(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path, "ignored", "*.one\n")
    git(top, "config", "core.excludesFile", "~/ignored")
    write(top, "x.one")
    assert set(recorded(top)) == {"a.py", "pkg/b.py"}


# What git does not run


def make_programs(top: Path) -> Path:
    """Let the configuration name programs for all that git can call. The file they write to."""
    ran = top.parent / "ran"
    script = top.parent / "script"
    script.write_text(f'#!/bin/sh\necho "$0 $@" >> "{ran}"\ncat\n')
    script.chmod(0o755)
    for name in ("clean", "smudge", "process"):
        git(top, "config", f"filter.evil.{name}", str(script))
    git(top, "config", "core.fsmonitor", str(script))
    hooks = top.parent / "hooks"
    hooks.mkdir()
    for name in ("post-index-change", "reference-transaction", "post-checkout", "pre-auto-gc"):
        shutil.copy(script, hooks / name)
    git(top, "config", "core.hooksPath", str(hooks))
    return ran


def test_no_filter_hook_or_monitor_runs(top: Path, tmp_path: Path) -> None:
    ran = make_programs(top)
    text = "$Id$\r\n"
    attributes = "* filter=evil text eol=crlf ident working-tree-encoding=UTF-16\n"
    write(top, ".gitattributes", attributes)
    (top / "c.py").write_bytes(text.encode())
    (top / "a.py").write_bytes(text.encode())

    directory = tmp_path / "there"
    directory.mkdir()

    tree = written(top)
    check_out(found(top), tree.id, directory, lambda name: True)

    assert files(top, tree.id)["c.py"] == files(top, tree.id)["a.py"] == f"100644 {text}"
    assert (directory / "c.py").read_bytes() == text.encode()
    assert not ran.exists()


@pytest.mark.parametrize("where", ["environment", "global"])
def test_no_monitor_of_elsewhere_runs(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    ran = make_programs(top)
    git(top, "config", "--unset", "core.fsmonitor")
    if where == "environment":
        monkeypatch.setenv("GIT_CONFIG_COUNT", "9")
        for number in range(9):
            monkeypatch.setenv(f"GIT_CONFIG_KEY_{number}", "core.fsmonitor")
            monkeypatch.setenv(f"GIT_CONFIG_VALUE_{number}", str(tmp_path / "script"))
    else:
        write(tmp_path, "config", f"[core]\n\tfsmonitor = {tmp_path / 'script'}\n")
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    tree = written(top)
    assert tree.left_out == {}
    assert not ran.exists()


def test_unchanged_files_stay_as_git_has_stored_them(top: Path) -> None:
    """As those of Git LFS, which are pointers there."""
    git(top, "config", "filter.lfs.clean", "sed s/big/pointer/")
    git(top, "config", "filter.lfs.smudge", "sed s/pointer/big/")
    write(top, ".gitattributes", "*.bin filter=lfs\n*.txt text eol=crlf\n")
    write(top, "x.bin", "big\n")
    (top / "x.txt").write_bytes(b"line\r\n")
    for name in ("x.bin", "x.txt"):
        os.utime(top / name, (0, 0))  # Files as new as the index are looked into.
    git(top, "add", "--all")
    git(top, "commit", "--quiet", "--message=Filtered")
    write(top, "new.py")

    found = recorded(top)

    assert found["x.bin"] == "100644 pointer\n"
    assert found["x.txt"] == "100644 line\n"
    assert (top / "x.bin").read_text() == "big\n"


def test_line_ends_that_git_converts(top: Path) -> None:
    """Those of unchanged files are as git has them, those of others as they are on the disk."""
    git(top, "config", "core.autocrlf", "true")
    for name in ("same.txt", "changed.txt"):
        (top / name).write_bytes(b"line\r\n")
        os.utime(top / name, (0, 0))  # Files as new as the index are looked into.
    git(top, "add", "--all")
    git(top, "commit", "--quiet", "--message=Windows")
    (top / "changed.txt").write_bytes(b"another\r\n")
    (top / "new.txt").write_bytes(b"new\r\n")
    found = recorded(top)
    assert found["same.txt"] == "100644 line\n"
    assert found["changed.txt"] == "100644 another\r\n"
    assert found["new.txt"] == "100644 new\r\n"


def test_a_changed_file_of_lfs_is_recorded_whole(top: Path) -> None:
    git(top, "config", "filter.lfs.clean", "echo pointer")
    write(top, ".gitattributes", "*.bin filter=lfs\n")
    commit(top, "x.bin")
    write(top, "x.bin", "edited\n")
    tree = written(top)
    assert files(top, tree.id)["x.bin"] == "100644 edited\n"
    assert tree.left_out == {}


@pytest.mark.parametrize("value", ["true", "false"])
def test_names_that_differ_in_their_case_only(top: Path, value: str) -> None:
    commit(top, "one/x.py", "One/y.py")
    git(top, "config", "core.ignoreCase", value)
    write(top, "one/x.py", "lower\n")
    write(top, "One/y.py", "upper\n")
    found = recorded(top)
    assert found["one/x.py"] == "100644 lower\n"
    assert found["One/y.py"] == "100644 upper\n"


def test_a_file_that_is_to_be_added_later(top: Path) -> None:
    write(top, "new.py")
    git(top, "add", "--intent-to-add", "new.py")
    assert recorded(top)["new.py"] == "100644 text\n"


# What can't be recorded


def test_big_files(top: Path) -> None:
    commit(top, "tracked.bin")
    sizes = {"a.json": 9, "b.json": 11, "c.bin": 0.9, "d.bin": 1.1, "tracked.bin": 2}
    for name, megabytes in sizes.items():
        (top / name).write_bytes(b"\n" * int(megabytes * 1_000_000))

    tree = written(top)

    assert tree.left_out == {
        "b.json": "over 10 MB",
        "d.bin": "over 1 MB, and not code",
        "tracked.bin": "over 1 MB, and not code",
    }
    found = files(top, tree.id)
    assert json.loads(found.pop(LEFT_OUT).partition(" ")[2]) == tree.left_out
    assert set(found) == {"a.json", "a.py", "c.bin", "pkg/b.py", "tracked.bin"}
    assert found["tracked.bin"] == "100644 tracked.bin\n"


def test_databases(top: Path) -> None:
    for name in ("db.sqlite3", "db.sqlite3-wal", "db.sqlite3-journal", "other.sqlite3"):
        write(top, name)
    tree = written(top, top / "db.sqlite3")
    assert tree.left_out == {
        "db.sqlite3": "a database",
        "db.sqlite3-journal": "a database",
        "db.sqlite3-wal": "a database",
    }
    assert set(files(top, tree.id)) == {"a.py", "pkg/b.py", "other.sqlite3", LEFT_OUT}


@contextmanager
def as_owner(top: Path) -> Iterator[Path]:
    """A copy of a repository, as a user who may not read everything sees it."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(shutil.copytree(top, Path(name, "repository"), symlinks=True))
        if os.geteuid() != 0:
            yield directory
            return
        for path in (Path(name), directory, *directory.rglob("*")):
            os.chown(path, NOBODY, -1, follow_symlinks=False)
        os.seteuid(NOBODY)
        try:
            yield directory
        finally:
            os.seteuid(0)


def test_files_that_can_not_be_read(top: Path) -> None:
    write(top, "secret.py")
    write(top, "pkg/b.py", "changed\n")
    write(top, "new.py")
    with as_owner(top) as there:
        for name in ("secret.py", "pkg/b.py"):
            (there / name).chmod(0)
        tree = written(there)
        found = files(there, tree.id)

    assert tree.left_out == {"secret.py": "can't be read", "pkg/b.py": "can't be read"}
    assert found["pkg/b.py"] == "100644 pkg/b.py\n"
    assert "new.py" in found
    assert "secret.py" not in found


@pytest.mark.parametrize("mode", [0, 0o300, 0o600], ids=["closed", "not-listed", "not-entered"])
def test_directories_that_can_not_be_read(top: Path, mode: int) -> None:
    """Git takes the files in them for unchanged, or leaves the new ones out, without a word."""
    write(top, ".gitignore", "/ignored/\n")
    write(top, "deep/er/c.py")
    commit(top, "pkg/overlooked/d.py")
    git(top, "update-index", "--skip-worktree", "pkg/overlooked/d.py")
    for name in ("pkg/b.py", "deep/er/c.py"):
        write(top, name, "changed\n")
    for name in ("pkg/new.py", "new/er/new.py", "ignored/x.py", "other.py"):
        write(top, name)
    closed = ("pkg", "deep/er", "new/er", "ignored")
    with as_owner(top) as there:
        for name in closed:
            (there / name).chmod(mode)
        tree = written(there)
        found = files(there, tree.id)
        for name in closed:
            (there / name).chmod(0o700)

    assert set(tree.left_out) - {"pkg/b.py"} == {"pkg", "deep/er", "new/er"}
    assert set(tree.left_out.values()) == {"can't be read"}
    assert json.loads(found[LEFT_OUT].partition(" ")[2]) == tree.left_out
    assert "other.py" in found


def test_a_file_that_goes_while_it_is_recorded(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As editors save files: the old one goes, and the new one comes."""
    write(top, "a.py", "changed\n")
    write(top, "new.py")
    write(top, "other.py")
    read = Path.read_bytes

    def read_bytes(self: Path) -> bytes:
        if self.name in ("a.py", "new.py"):
            self.unlink()
        return read(self)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    tree = written(top)

    assert tree.left_out == {}
    assert set(files(top, tree.id)) == {"other.py", "pkg/b.py"}


def test_links_in_a_circle(top: Path) -> None:
    """Where files were, too."""
    shutil.rmtree(top / "pkg")
    (top / "pkg").symlink_to("pkg")
    (top / "one").symlink_to("two")
    (top / "two").symlink_to("one")
    assert recorded(top) == {
        "a.py": "100644 a.py\n",
        "one": "120000 two",
        "pkg": "120000 pkg",
        "two": "120000 one",
    }


def test_what_is_no_file(top: Path) -> None:
    (top / "a.py").unlink()
    os.mkfifo(top / "a.py")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(top)  # The path of a socket must not be long.
        server.bind("socket")
        os.chdir(here)
        tree = written(top)
    assert tree.left_out == {"a.py": "can't be read"}
    assert files(top, tree.id)["a.py"] == "100644 a.py\n"


def test_unmerged_files(top: Path) -> None:
    git(top, "checkout", "--quiet", "-b", "other")
    write(top, "a.py", "other\n")
    write(top, "pkg/b.py", "other\n")
    commit(top)
    git(top, "checkout", "--quiet", "main")
    write(top, "a.py", "main\n")
    git(top, "rm", "--quiet", "pkg/b.py")
    commit(top)
    with pytest.raises(subprocess.CalledProcessError):
        git(top, "merge", "other")
    write(top, "a.py", "half-way\n")
    (top / "pkg/b.py").unlink()
    assert recorded(top) == {"a.py": "100644 half-way\n"}


def test_submodules_and_nested_repositories(top: Path, make_top: Callable[..., Path]) -> None:
    library = make_top("library")
    commit(library, "code.py")
    allow = ("-c", "protocol.file.allow=always")
    git(top, *allow, "submodule", "--quiet", "add", str(library), "lib")
    git(top, "commit", "--quiet", "--message=Submodule")
    write(top, "lib/code.py", "changed\n")
    nested = make_top("repository/nested")
    commit(nested, "inner.py")
    make_top("repository/empty")
    write(top, "new.py")

    tree = written(top)

    assert tree.left_out == {
        "empty": "a repository of its own",
        "lib": "a submodule",
        "nested": "a repository of its own",
    }
    found = files(top, tree.id)
    assert found["lib"].startswith("160000 ")
    assert "new.py" in found


def test_submodules_that_are_not_there(top: Path, make_top: Callable[..., Path]) -> None:
    library = make_top("library")
    commit(library, "code.py")
    allow = ("-c", "protocol.file.allow=always")
    for name in ("deinitialised", "gone"):
        git(top, *allow, "submodule", "--quiet", "add", str(library), name)
    git(top, "commit", "--quiet", "--message=Submodules")
    git(top, "submodule", "--quiet", "deinit", "deinitialised")
    shutil.rmtree(top / "gone")
    tree = written(top)
    assert tree.left_out == dict.fromkeys(("deinitialised", "gone"), "a submodule")


def test_a_work_tree_inside_of_another(top: Path) -> None:
    git(top, "worktree", "add", "--quiet", "--detach", "inner")
    write(top, "inner/new.py")
    tree = written(top)
    assert tree.left_out == {"inner": "a repository of its own"}


# Work trees of all sorts


def test_a_git_directory_elsewhere(make_top: Callable[..., Path], tmp_path: Path) -> None:
    top = make_top("repository", f"--separate-git-dir={tmp_path / 'elsewhere'}")
    commit(top, "a.py")
    write(top, "new.py")
    assert set(recorded(top)) == {"a.py", "new.py"}


def test_a_sparse_checkout_by_patterns(top: Path) -> None:
    commit(top, "other/c.py", "other/d.sql")
    git(top, "sparse-checkout", "set", "--no-cone", "/*", "!*.sql")
    (top / "other/c.py").unlink()
    found = recorded(top)
    assert "other/c.py" not in found
    assert found["other/d.sql"] == "100644 other/d.sql\n"


def test_a_linked_work_tree(top: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    git(top, "worktree", "add", "--quiet", "--detach", str(linked))
    write(linked, "new.py")
    write(top, "other.py")
    assert set(recorded(linked)) == {"a.py", "new.py", "pkg/b.py"}


def test_a_sparse_checkout(top: Path) -> None:
    commit(top, "other/c.py", "other/d.py")
    git(top, "sparse-checkout", "set", "--cone", "--sparse-index", "pkg")
    write(top, "other/c.py", "outside of the cone\n")
    write(top, "pkg/b.py", "inside\n")
    assert recorded(top) == {
        "a.py": "100644 a.py\n",
        "other/c.py": "100644 outside of the cone\n",
        "other/d.py": "100644 other/d.py\n",
        "pkg/b.py": "100644 inside\n",
    }


@pytest.mark.parametrize("option", ["--assume-unchanged", "--skip-worktree"])
def test_changes_that_git_was_told_to_overlook(top: Path, option: str) -> None:
    git(top, "update-index", option, "a.py")
    write(top, "a.py", "for me alone\n")
    assert recorded(top)["a.py"] == "100644 for me alone\n"


def test_a_split_index(top: Path) -> None:
    git(top, "update-index", "--split-index")
    write(top, "new.py")
    git(top, "add", "new.py")
    assert set(recorded(top)) == {"a.py", "new.py", "pkg/b.py"}


def test_a_partial_clone(top: Path, tmp_path: Path) -> None:
    git(top, "config", "uploadpack.allowFilter", "true")
    clone = tmp_path / "clone"
    options = ("--quiet", "--filter=blob:none", "--sparse", "--no-checkout")
    git(tmp_path, "clone", *options, f"file://{top}", str(clone))
    git(clone, "checkout", "--quiet", "main")
    git(top, "config", "uploadpack.allowFilter", "false")
    top.rename(tmp_path / "out of reach")
    write(clone, "new.py")

    tree = written(clone)

    names = git(clone, "ls-tree", "-r", "--name-only", tree.id).split()
    assert names == ["a.py", "new.py", "pkg/b.py"]

    directory = tmp_path / "there"
    directory.mkdir()
    with pytest.raises(GitError) as caught:
        check_out(found(clone), tree.id, directory, lambda name: True)
    assert str(caught.value).endswith(
        ". `git fetch --refetch --no-filter` brings what this clone lacks"
    )


def test_while_git_holds_the_index(top: Path) -> None:
    write(top, ".git/index.lock")
    write(top, "new.py")
    assert "new.py" in recorded(top)


def test_objects_that_can_not_be_written(top: Path) -> None:
    write(top, "new.py")
    shutil.rmtree(top / ".git/objects/pack")
    write(top, ".git/objects/pack")
    with pytest.raises(GitError):
        written(top)


def test_an_index_that_is_damaged(top: Path) -> None:
    write(top, ".git/index", "nonsense")
    with pytest.raises(GitError):
        write_tree(Repository(top, top / ".git", "sha1"), None)


# Checking out


def test_a_tree_in_a_directory(top: Path, tmp_path: Path) -> None:
    write(top, "new.py")
    (top / "new.py").chmod(0o755)
    (top / "link").symlink_to("pkg")
    directory = tmp_path / "there"
    directory.mkdir()

    check_out(found(top), written(top).id, directory, lambda name: name != "pkg/b.py")

    assert sorted(path.name for path in directory.iterdir()) == ["a.py", "link", "new.py"]
    assert (directory / "link").readlink() == Path("pkg")
    assert os.access(directory / "new.py", os.X_OK)
    assert git(top, "--no-optional-locks", "status", "--porcelain") == "?? link\n?? new.py"


def test_a_tree_that_is_not_there(top: Path, tmp_path: Path) -> None:
    with pytest.raises(GitError):
        check_out(found(top), "0" * 40, tmp_path, lambda name: True)


def test_directories_that_are_the_same(top: Path) -> None:
    commit(top, "same/deep/a.py", "other/deep/a.py", "other/same/a.py", "gone/a.py")
    tree = written(top).id
    write(top, "other/deep/b.py")
    shutil.rmtree(top / "gone")
    assert same_directories(found(top), [tree]) == {"pkg", "same", "same/deep", "other/same"}


def test_no_directory_of_a_sparse_checkout_counts_as_the_same(top: Path) -> None:
    commit(top, "other/c.py")
    git(top, "sparse-checkout", "set", "--cone", "pkg")
    assert same_directories(found(top), [written(top).id]) == set()


# Keeping them


def kept(top: Path) -> dict[str, set[str]]:
    """The trees that each private ref keeps."""
    refs = git(top, "for-each-ref", "--format=%(refname:lstrip=3)", PROJECTS_REF).split()
    return {ref: set(kept_by(top, f"{PROJECTS_REF}/{ref}")) for ref in refs}


def test_kept_trees_survive_git_gc(top: Path) -> None:
    write(top, "one.py")
    one = written(top).id
    write(top, "two.py")
    two = written(top).id
    keep(found(top), "file", {one})

    git(top, "gc", "--quiet", "--prune=now")

    assert kept(top) == {"file": {one}}
    assert "one.py" in files(top, one)
    assert git(top, "log", "--all", "--oneline").count("\n") == 0
    with pytest.raises(subprocess.CalledProcessError):
        git(top, "cat-file", "-e", two)


def test_each_name_keeps_its_own(top: Path) -> None:
    tree = written(top).id
    keep(found(top), "one", {tree})
    keep(found(top), "two", {tree})
    keep(found(top), "one", set())
    assert kept(top) == {"two": {tree}}
    keep(found(top), "two", set())
    assert kept(top) == {}


def test_nothing_is_kept_anyway(top: Path) -> None:
    keep(found(top), "one", set())
    assert kept(top) == {}


def test_what_is_gone_or_no_tree_is_not_referred_to(top: Path) -> None:
    """Git would refuse to collect garbage in a repository that has a broken reference."""
    tree = written(top).id
    keep(found(top), "file", {tree, "0" * 40, git(top, "rev-parse", "HEAD:a.py")})
    assert kept(top) == {"file": {tree}}


def test_no_hook_hears_of_it(top: Path) -> None:
    ran = make_programs(top)
    git(top, "config", "--unset", "core.fsmonitor")
    keep(found(top), "file", {written(top).id})
    assert not ran.exists()
