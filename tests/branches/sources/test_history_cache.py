"""What is kept of git's answers holds while the history of a commit is what the commit says."""

import json
import os
import subprocess
from pathlib import Path, PurePosixPath

import pytest

from django_devtools.branches.sources.git import NoGit, Repository, Version
from django_devtools.branches.sources.history_cache import _KEPT, HistoryCache
from tests.processes import TIMEOUT
from tests.project import ENVIRONMENT

pytestmark = pytest.mark.once

NAME = "0001_initial.py"
FILE = f"shop/migrations/{NAME}"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    for name in [name for name in ENVIRONMENT if name.startswith("GIT_")]:
        monkeypatch.setenv(name, ENVIRONMENT[name])


def git(directory: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments],
        cwd=directory,
        check=True,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    ).stdout.strip()


def commit(repository: Repository, text: str) -> str:
    """Commit a migration and settings that have a text in them."""
    for name in (FILE, "config/settings.py"):
        file = repository.top / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")
    git(repository.top, "add", "--all")
    git(repository.top, "commit", "--quiet", "--message=Work")
    return git(repository.top, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository with two versions of a migration."""
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    found = Repository.find(tmp_path)
    assert found
    commit(found, "first")
    commit(found, "second")
    return found


@pytest.fixture
def head(repository: Repository) -> str:
    return repository.commit() or ""


@pytest.fixture
def no_git(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Where this is used, what has to ask git raises NoGit: ``no_git.setenv("PATH", "")``."""
    return monkeypatch


def kept(repository: Repository) -> Path:
    return repository.common_dir / "django-devtools/history.json"


def test_the_versions_are_those_of_git(repository: Repository, head: str) -> None:
    found = HistoryCache(repository).versions([NAME], [head])
    assert [one.path for one in found] == [PurePosixPath(FILE)] * 2
    assert found == repository.versions([NAME], [head])


def test_git_is_not_asked_twice(
    repository: Repository, head: str, no_git: pytest.MonkeyPatch
) -> None:
    versions = HistoryCache(repository).versions([NAME], [head])
    assert HistoryCache(repository).mentions("first", "config", [head])
    assert not HistoryCache(repository).mentions("third", "config", [head])

    no_git.setenv("PATH", "")
    assert HistoryCache(repository).versions([NAME], [head]) == versions
    assert all(isinstance(one, Version) for one in versions)
    assert HistoryCache(repository).mentions("first", "config", [head])
    assert not HistoryCache(repository).mentions("third", "config", [head])


def test_other_commits_and_other_names_are_another_question(
    repository: Repository, head: str
) -> None:
    HistoryCache(repository).versions([NAME], [head])
    assert HistoryCache(repository).versions(["0002.py"], [head]) == []
    third = commit(repository, "third")
    assert len(HistoryCache(repository).versions([NAME], [third])) == 3


def test_nothing_is_kept_of_a_ref(repository: Repository) -> None:
    assert len(HistoryCache(repository).versions([NAME], ["main"])) == 2
    commit(repository, "third")
    assert len(HistoryCache(repository).versions([NAME], ["main"])) == 3
    assert not kept(repository).exists()


def test_nothing_is_asked_of_nothing(repository: Repository, head: str) -> None:
    assert HistoryCache(repository).versions([], [head]) == []
    assert HistoryCache(repository).versions([NAME], []) == []
    assert not kept(repository).exists()


def test_a_history_with_grafts(repository: Repository, head: str) -> None:
    assert len(HistoryCache(repository).versions([NAME], [head])) == 2
    (repository.common_dir / "info").mkdir(exist_ok=True)
    (repository.common_dir / "info/grafts").write_text(f"{head}\n")
    assert len(HistoryCache(repository).versions([NAME], [head])) == 1


def test_a_history_that_is_shallow(repository: Repository, head: str, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--depth=1", repository.top.as_uri(), "clone")
    shallow = Repository.find(tmp_path / "clone")
    assert shallow
    assert len(HistoryCache(shallow).versions([NAME], [head])) == 1
    git(shallow.top, "fetch", "--quiet", "--unshallow")
    assert len(HistoryCache(shallow).versions([NAME], [head])) == 2


def test_a_partial_clone_that_lacks_what_is_asked(
    repository: Repository, head: str, tmp_path: Path
) -> None:
    git(repository.top, "config", "uploadpack.allowFilter", "true")
    clone = ("clone", "--quiet", "--no-checkout", "--filter=blob:none")
    git(tmp_path, *clone, repository.top.as_uri(), "clone")
    partial = Repository.find(tmp_path / "clone")
    assert partial
    assert not HistoryCache(partial).mentions("first", "config", [head])
    git(partial.top, "log", "-p")  # Fetches the rest.
    assert HistoryCache(partial).mentions("first", "config", [head])


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        "{}",
        '{"QUESTION": []}',
        "[1]",
        '["QUESTION"]',
        '[["QUESTION", 1, []]]',
        '[["QUESTION", ["COMMIT"], [1]]]',
        '[["QUESTION", ["COMMIT"], [["a"]]]]',
        '[["QUESTION", ["COMMIT"], [["a", "b"]]]]',
        '[["QUESTION", ["--all"], []]]',
        '[["QUESTION", [1], []]]',
        "[" * 100_000,
    ],
)
def test_a_file_that_is_damaged(repository: Repository, head: str, damage: str) -> None:
    answer = HistoryCache(repository).versions([NAME], [head])
    ((question, (known,), _),) = json.loads(kept(repository).read_text())
    assert known == head
    kept(repository).write_text(damage.replace("QUESTION", question).replace("COMMIT", head))
    assert HistoryCache(repository).versions([NAME], [head]) == answer


def test_git_is_asked_for_what_is_new(repository: Repository, head: str) -> None:
    first = HistoryCache(repository).versions([NAME], [head])
    assert not HistoryCache(repository).mentions("third", "config", [head])
    commit(repository, "third")
    git(repository.top, "checkout", "--quiet", "-b", "side", head)
    side = commit(repository, "side")
    git(repository.top, "checkout", "--quiet", "main")
    git(repository.top, "merge", "--quiet", "--strategy=ours", "side")
    tip = commit(repository, "last")
    # What is kept says so: nobody has listed the old history again.
    text = kept(repository).read_text()
    kept(repository).write_text(text.replace(first[0].blob, first[0].blob[::-1]))
    found = HistoryCache(repository).versions([NAME], [tip, head, side])
    expected = repository.versions([NAME], [tip])
    assert [one.commit for one in found] == [one.commit for one in expected]
    assert [one.blob for one in found if one.commit == head] == [first[0].blob[::-1]]
    assert HistoryCache(repository).mentions("third", "config", [tip])


def test_what_is_new_is_in_the_order_of_the_history(
    repository: Repository, head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = git(repository.top, "rev-parse", "HEAD~")
    git(repository.top, "checkout", "--quiet", "-b", "side", old)
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2001-01-01T00:00:00Z")
    side = commit(repository, "side")
    HistoryCache(repository).versions([NAME], [head])
    found = HistoryCache(repository).versions([NAME], [head, side])
    assert found == repository.versions([NAME], [head, side])
    assert [one.commit for one in found] == [head, side, old]


def test_the_nearest_branches_are_those_of_git(
    repository: Repository, head: str, no_git: pytest.MonkeyPatch
) -> None:
    nearest = HistoryCache(repository).nearest_branches
    assert nearest([], {}) == {}
    assert nearest([head], repository.branch_tips()) == {head: "main"}
    with no_git.context() as there:
        there.setenv("PATH", "")
        assert nearest([head], {"main": head}) == {head: "main"}
    git(repository.top, "branch", "--move", "main", "trunk")
    assert nearest([head], repository.branch_tips()) == {head: "trunk"}
    git(repository.top, "checkout", "--quiet", "--detach")
    git(repository.top, "branch", "--quiet", "--delete", "--force", "trunk")
    assert nearest([head], repository.branch_tips()) == {}
    git(repository.top, "update-ref", "refs/remotes/origin/main", head)
    assert nearest([head], repository.branch_tips()) == {head: "origin/main"}


def test_what_has_left_the_history_is_not_known_any_more(
    repository: Repository, head: str
) -> None:
    third = commit(repository, "third")
    assert len(HistoryCache(repository).versions([NAME], [third])) == 3
    assert HistoryCache(repository).mentions("third", "config", [third])
    git(repository.top, "reset", "--quiet", "--hard", head)
    fourth = commit(repository, "fourth")
    found = HistoryCache(repository).versions([NAME], [fourth])
    assert found == repository.versions([NAME], [fourth])
    assert third not in [one.commit for one in found]
    assert not HistoryCache(repository).mentions("third", "config", [fourth])


def test_what_git_has_collected_is_not_known_any_more(repository: Repository, head: str) -> None:
    third = commit(repository, "third")
    HistoryCache(repository).versions([NAME], [third])
    git(repository.top, "reset", "--quiet", "--hard", head)
    git(repository.top, "reflog", "expire", "--expire=now", "--all")
    git(repository.top, "gc", "--quiet", "--prune=now")
    assert len(HistoryCache(repository).versions([NAME], [head])) == 2


def test_a_directory_that_can_not_be_written(repository: Repository, head: str) -> None:
    kept(repository).parent.write_text("A file.")
    assert len(HistoryCache(repository).versions([NAME], [head])) == 2
    assert len(HistoryCache(repository).versions([NAME], [head])) == 2


def test_what_git_refuses_is_not_kept(
    repository: Repository, head: str, no_git: pytest.MonkeyPatch
) -> None:
    with no_git.context() as there:
        there.setenv("PATH", "")
        with pytest.raises(NoGit):
            HistoryCache(repository).versions([NAME], [head])
    assert len(HistoryCache(repository).versions([NAME], [head])) == 2


def test_of_one_question_the_answers_about_two_histories_are_kept(repository: Repository) -> None:
    for number in range(4):
        HistoryCache(repository).versions([NAME], [commit(repository, f"more {number}")])
    assert len(json.loads(kept(repository).read_text())) == 2


def test_only_the_latest_answers_are_kept(
    repository: Repository, head: str, no_git: pytest.MonkeyPatch
) -> None:
    answers = HistoryCache(repository)
    answers.versions([NAME], [head])
    for number in range(_KEPT):
        answers.versions([f"{number}.py"], [head])
    assert len(json.loads(kept(repository).read_text())) == _KEPT
    no_git.setenv("PATH", "")
    assert answers.versions(["0.py"], [head]) == []
    with pytest.raises(NoGit):
        answers.versions([NAME], [head])
