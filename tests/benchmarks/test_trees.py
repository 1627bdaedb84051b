"""What it costs to record the project, against ``git status`` of the same repository.

Run with ``tox run -e bench``. Ten files are changed, and ten are untracked.
"""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from django_devtools.branches.sources.git import Repository
from django_devtools.branches.sources.trees import write_tree

from .generate import git
from .measure import Call, compare_cost, interleave

CHANGED = 10


@pytest.mark.parametrize("number", [5_000, 50_000])
def test_a_tree_against_git_status(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    _make(tmp_path, number)
    repository = Repository.find(tmp_path)
    assert repository
    commit = repository.commit()
    rounds = iter(range(1000))

    def edit() -> None:
        _edit(tmp_path, next(rounds))

    def status() -> Any:
        return subprocess.run(["git", "status"], cwd=tmp_path, check=True, capture_output=True)

    times = interleave(
        {"tree": Call(lambda: write_tree(repository, commit), edit), "status": Call(status, edit)},
        rounds=15,
    )

    allowed = [1.3 * seconds for seconds in times["status"]]
    what = f"a tree of {number} files / 1.3 of git status"
    compare_cost(what, times["tree"], allowed, bound=0.03).check()


def _make(top: Path, number: int) -> None:
    for position in range(number):
        _write(top, position, f"{position}\n" * 20)
    git(top, "init", "--quiet")
    git(top, "add", "--all")
    git(top, "commit", "--quiet", "--message=All")
    for position in range(number, number + CHANGED):
        _write(top, position, "untracked\n")


def _edit(top: Path, turn: int) -> None:
    for position in range(CHANGED):
        _write(top, position, f"{position} in {turn}\n")


def _write(top: Path, position: int, text: str) -> None:
    file = top / f"app{position % 100}/package{position // 100 % 20}/module{position}.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
