"""
Which commits may be run: what was checked out here, and what a person trusts.

Whoever one fetches from can write remote-tracking branches, tags, notes and refs such as
``refs/pull/1/head``. So text that only these have is read, named, and never run. Local branches,
the commits that HEAD was at and the git stash are written here, and their history counts with
them: who merges a branch takes its history in.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection
from functools import cached_property

from django_devtools.branches.errors import DevtoolsError

from .git import STASH, Repository


class TrustError(DevtoolsError):
    """There is no such ref to be trusted."""


class Trust:
    """The commits of a repository whose history may be run."""

    def __init__(self, repository: Repository, refs: Collection[str] = ()) -> None:
        """``refs``: what a person trusts besides. Raises TrustError if one names no commit."""
        self._repository = repository
        self.of_person = [_commit(repository, ref) for ref in refs]
        """The commits that a person trusts."""

    @cached_property
    def branches(self) -> dict[str, str]:
        """The commits of the local branches."""
        return self._repository.branch_tips()

    @cached_property
    def commits(self) -> list[str]:
        """Every trusted commit, or one that has it in its history."""
        repository = self._repository
        head = repository.commit()
        visited = [commit for visits in self._visits.values() for _, commit in visits]
        stashed = [commit for _, commit in self._logs.get(STASH, [])]
        found = [head or "", *self.branches.values(), *visited, *stashed, *self.of_person]
        return [commit for commit in dict.fromkeys(found) if commit]

    def checked_out_at(self, second: int) -> list[str]:
        """
        The commits that were checked out in a second, in any work tree.

        The reflog knows no parts of seconds: of all that it has in that second, and of the last
        before it, each may be the one.
        """
        found: dict[str, None] = {}
        for visits in self._visits.values():
            moments = [moment for moment, _ in visits]
            first = max(bisect_left(moments, second) - 1, 0)
            last = bisect_right(moments, second)
            found |= dict.fromkeys(commit for _, commit in visits[first:last])
        return list(found)

    @cached_property
    def _logs(self) -> dict[str, list[tuple[int, str]]]:
        return self._repository.reflogs()

    @cached_property
    def _visits(self) -> dict[str, list[tuple[int, str]]]:
        """When HEAD came to which commit, oldest first, in each work tree."""
        return {name: _by_time(log) for name, log in self._logs.items() if name != STASH}


def _by_time(log: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Oldest first; those of one second as the reflog has them, which begins with the newest."""
    oldest_first = log[::-1]
    return sorted(oldest_first, key=lambda visit: visit[0])


def _commit(repository: Repository, ref: str) -> str:
    commit = repository.resolve(ref)
    if commit is None:
        raise TrustError(f"{ref!r} is no git ref. `git branch --all` lists the branches.")
    return commit
