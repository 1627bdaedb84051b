"""Temporary work trees, and what they borrow from the checkout."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.test import override_settings

from django_devtools.branches.sources.git import GitError
from django_devtools.branches.sources.trees import LEFT_OUT, keep, write_tree
from django_devtools.branches.sources.worktrees import work_tree
from tests.project import ENVIRONMENT

from .test_git import commit, found, git, write
from .test_trees import as_owner

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    for name in [name for name in ENVIRONMENT if name.startswith("GIT_")]:
        monkeypatch.setenv(name, ENVIRONMENT[name])
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A repository with a commit of two files."""
    top = tmp_path / "repository"
    git(tmp_path, "init", "--quiet", "--initial-branch=main", str(top))
    commit(top, "a.py", "pkg/b.py")
    return top


@contextmanager
def opened(top: Path) -> Iterator[Path]:
    """A work tree of the project as it is now."""
    repository = found(top)
    head = repository.commit()
    tree = write_tree(repository, head).id
    with work_tree(repository, [tree], head) as path:
        yield path


def names(directory: Path) -> set[str]:
    files = (path.relative_to(directory).as_posix() for path in directory.rglob("*"))
    return {name for name in files if not name.startswith(".git/")}


def test_what_was_recorded(top: Path) -> None:
    write(top, "new.py", "untracked\n")
    with opened(top) as path:
        assert names(path) == {".git", "a.py", "new.py", "pkg"}
        assert (path / "pkg/b.py").read_text() == "pkg/b.py\n"
        assert (path / "new.py").read_text() == "untracked\n"
    assert not path.parent.exists()


def test_a_commit(top: Path) -> None:
    with work_tree(found(top), [git(top, "rev-parse", "HEAD")]) as path:
        assert names(path) == {".git", "a.py", "pkg"}


def test_files_of_several_trees(top: Path) -> None:
    write(top, "one.py")
    write(top, "deep/one.py")
    write(top, "both.py", "one\n")
    one = write_tree(found(top), found(top).commit()).id
    for name in ("one.py", "deep/one.py", "both.py"):
        (top / name).unlink()
    (top / "deep").rmdir()
    write(top, "deep")
    write(top, "both.py", "two\n")
    write(top, "pkg/two.py")
    two = write_tree(found(top), found(top).commit()).id
    (top / "pkg/two.py").unlink()
    with work_tree(found(top), [two, one]) as path:
        assert names(path) == {
            *(".git", "a.py", "both.py", "deep", "one.py", "pkg", "pkg/b.py", "pkg/two.py")
        }
        assert (path / "both.py").read_text() == "two\n"


def test_it_is_gone_after_an_error(top: Path) -> None:
    with pytest.raises(RuntimeError, match="inside"), opened(top) as path:
        raise RuntimeError("inside")
    assert not path.parent.exists()


def test_a_tree_that_is_not_there(top: Path) -> None:
    with pytest.raises(GitError), work_tree(found(top), ["0" * 40]):
        pass
    assert not any(Path(tempfile.gettempdir()).iterdir())


def test_no_place_for_it(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(top / "nowhere"))
    with pytest.raises(GitError, match=r"nowhere.* can't be written: No such file"), opened(top):
        pass


def test_directories_that_can_not_be_read(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are in the record as git has them, and the checkout has nothing to add."""
    monkeypatch.setattr(tempfile, "tempdir", None)  # Where other users may write, too.
    with as_owner(top) as there:
        (there / "pkg").chmod(0)
        with opened(there) as path:
            assert (path / "pkg/b.py").read_text() == "pkg/b.py\n"
        (there / "pkg").chmod(0o700)


def test_refs_in_tables(tmp_path: Path) -> None:
    """The format of refs that newer versions of git have."""
    top = tmp_path / "tables"
    try:
        git(tmp_path, "init", "--quiet", "--ref-format=reftable", str(top))
    except subprocess.CalledProcessError:
        pytest.skip("this git has no reftable")
    head = commit(top, "a.py")
    write(top, "new.py")
    with opened(top) as path:
        assert names(path) == {".git", "a.py", "new.py"}
        assert git(path, "rev-parse", "HEAD") == head
        assert git(path, "rev-parse", "--show-toplevel") == str(path)
    keep(found(top), "file", {write_tree(found(top), head).id})
    assert [*found(top).reflogs()] == ["main-worktree/HEAD"]


def test_settings_may_ask_git_there(top: Path) -> None:
    head = git(top, "rev-parse", "HEAD")
    git(top, "tag", "1.0")
    with opened(top) as path:
        assert git(path, "rev-parse", "HEAD") == head
        assert git(path, "describe", "--tags") == "1.0"
        assert git(path, "rev-parse", "--show-toplevel") == str(path)
        git(path, "add", "--all")
    assert git(top, "worktree", "list").count("\n") == 0
    assert git(top, "status", "--porcelain") == ""


def test_before_the_first_commit(tmp_path: Path) -> None:
    top = tmp_path / "repository"
    git(tmp_path, "init", "--quiet", str(top))
    write(top, "a.py")
    with opened(top) as path:
        assert names(path) == {".git", "a.py"}
        assert git(path, "status", "--porcelain") == "?? a.py"


# What is borrowed


def test_directories_that_are_the_same(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not those of settings and apps, which look for files beside their own."""
    write(top, "shelf/__init__.py", "")
    commit(top, "same/deep/a.py", "shelf/migrations/a.py", "shelf/same/a.py", "other/a.py")
    tree = write_tree(found(top), found(top).commit()).id
    write(top, "other/b.py")
    monkeypatch.syspath_prepend(top)
    with override_settings(INSTALLED_APPS=["shelf"]), work_tree(found(top), [tree]) as path:
        links = {name for name in names(path) if (path / name).is_symlink()}
        assert links == {"pkg", "same", "shelf/same"}
        assert (path / "same/deep/a.py").read_text() == "same/deep/a.py\n"
        assert not (path / "other/b.py").exists()


def test_a_sparse_checkout(top: Path) -> None:
    commit(top, "other/c.py")
    tree = write_tree(found(top), found(top).commit()).id
    git(top, "sparse-checkout", "set", "--cone", "pkg")
    with work_tree(found(top), [tree]) as path:
        assert (path / "other/c.py").exists()


def test_what_git_ignores(top: Path) -> None:
    write(top, ".gitignore", "local_settings.py\n.env\n/media/\n__pycache__\n")
    for name in (".env", "pkg/local_settings.py", "media/deep/x.jpg", "pkg/__pycache__/b.pyc"):
        write(top, name)
    tree = write_tree(found(top), found(top).commit()).id
    write(top, "pkg/b.py", "of this checkout\n")
    with work_tree(found(top), [tree]) as path:
        assert (path / ".env").readlink() == top / ".env"
        assert (path / "pkg/local_settings.py").readlink() == top / "pkg/local_settings.py"
        assert (path / "media").readlink() == top / "media"
        assert not (path / "pkg/__pycache__").exists()
    assert (top / "media/deep/x.jpg").exists()


def test_in_a_directory_that_the_project_lacks(top: Path) -> None:
    tree = write_tree(found(top), found(top).commit()).id
    write(top, ".gitignore", "*.local\n")
    commit(top, "var/tracked.py")
    write(top, "var/x.local")
    with work_tree(found(top), [tree]) as path:
        assert names(path) >= {"var/x.local"}
        assert not (path / "var/tracked.py").exists()


def test_never_over_a_file_of_the_project(top: Path) -> None:
    write(top, "conf/local.py", "recorded\n")
    write(top, "one", "recorded\n")
    tree = write_tree(found(top), found(top).commit()).id
    (top / "one").unlink()
    write(top, ".gitignore", "/conf/\n/one/\n")
    write(top, "conf/local.py", "of this checkout\n")
    write(top, "conf/other.py", "of this checkout\n")
    write(top, "conf/__pycache__/other.pyc")
    write(top, "one/two")
    with work_tree(found(top), [tree]) as path:
        assert (path / "conf/local.py").read_text() == "recorded\n"
        assert (path / "conf/other.py").readlink() == top / "conf/other.py"
        assert (path / "one").read_text() == "recorded\n"
        assert not (path / "conf/__pycache__").exists()


def test_links_that_lead_out_of_it(top: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (top / "conf").symlink_to(outside)
    tree = write_tree(found(top), found(top).commit()).id
    (top / "conf").unlink()
    write(top, ".gitignore", "*.local\n")
    write(top, "conf/x.local")
    with work_tree(found(top), [tree]) as path:
        assert (path / "conf").is_symlink()
    assert not any(outside.iterdir())


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "a/../../escaped", ".git/escaped"])
def test_a_hostile_list_of_what_was_left_out(top: Path, tmp_path: Path, name: str) -> None:
    write(tmp_path, "escaped")
    write(top, ".git/escaped")
    write(top, LEFT_OUT, json.dumps([name]))
    with opened(top) as path:
        assert names(path.parent) - {"worktree"} == {
            f"worktree/{one}" for one in names(path) | {".git/commondir", ".git/HEAD"}
        }


@pytest.mark.parametrize("text", ["nonsense", "1", "[1]", '{"a": {}}', "[" * 100_000])
def test_a_file_of_the_same_name(top: Path, text: str) -> None:
    write(top, LEFT_OUT, text)
    with opened(top) as path:
        assert (path / LEFT_OUT).read_text() == text


def test_a_directory_of_the_same_name(top: Path) -> None:
    write(top, f"{LEFT_OUT}/file")
    with opened(top) as path:
        assert (path / LEFT_OUT / "file").exists()


def test_a_link_of_the_same_name_without_an_end(top: Path) -> None:
    (top / LEFT_OUT).symlink_to("/dev/zero")
    with opened(top) as path:
        assert (path / LEFT_OUT).is_symlink()


def test_an_ignored_directory_that_can_not_be_read(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of a database in a container, where an old commit has a file."""
    monkeypatch.setattr(tempfile, "tempdir", None)  # Its owner may not read that of the others.
    write(top, ".gitignore", "data/\n")
    write(top, "data/.gitkeep")
    git(top, "add", "--force", "data")
    old = commit(top)
    git(top, "rm", "--quiet", "--cached", "-r", "data")
    commit(top)
    with as_owner(top) as there:
        (there / "data").chmod(0)
        with work_tree(found(there), [old]) as path:
            assert (path / "data/.gitkeep").exists()
        (there / "data").chmod(0o700)


def test_what_could_not_be_recorded(top: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    git(tmp_path, "init", "--quiet", "--initial-branch=main", str(library))
    commit(library, "code.py")
    allow = ("-c", "protocol.file.allow=always")
    git(top, *allow, "submodule", "--quiet", "add", str(library), "lib")
    git(tmp_path, "clone", "--quiet", str(library), str(top / "nested"))
    (top / "big.bin").write_bytes(b"\0" * 2_000_000)
    with opened(top) as path:
        for name in ("lib/code.py", "nested/code.py", "big.bin"):
            assert (path / name).read_bytes() == (top / name).read_bytes()


# What killed processes have left


def test_it_is_removed(top: Path, tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    write(tmp_path, f"temporary/django-devtools-project-{process.pid}-abc/worktree/a.py")
    with opened(top) as path:
        assert list(Path(tempfile.gettempdir()).iterdir()) == [path.parent]


def test_others_are_left_alone(top: Path, tmp_path: Path) -> None:
    running = tmp_path / f"temporary/django-devtools-project-{os.getppid()}-abc/worktree"
    strange = tmp_path / "temporary/django-devtools-project-mine"
    write(running, "a.py")
    write(strange, "a.py")
    with opened(top):
        pass
    assert (running / "a.py").exists()
    assert (strange / "a.py").exists()
