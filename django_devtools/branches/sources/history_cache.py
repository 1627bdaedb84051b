"""
What git says of the history of commits, kept from one command to the next.

To list what all commits have changed takes git half a second in a repository of 15,000 commits.
A commit never changes, nor does what came before it. So an answer holds for good, unless the user
tells git to see another history than the commits have: then git is asked each time.

A commit on top makes another history. There, git is asked for what is new.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from django_devtools.branches.files import read_text, write_aside

from .git import Incomplete, Repository, Version

_KEPT = 32
"""How many answers are kept: those to the latest questions."""

_KEPT_OF_ONE = 2
"""How many of them to one question, each of another history."""

_OTHER_HISTORIES = ("shallow", "info/grafts")
"""Files of a git directory that cut off what came before a commit, or put other commits there."""

Answer = list[list[str]]


class Kept(NamedTuple):
    """An answer that is kept."""

    question: str
    commits: list[str]
    """Those in whose history it was found."""
    answer: Answer


NOTHING = Kept("", [], [])


class HistoryCache:
    """What git answers on the history of commits. Raises GitError where git does."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def versions(self, names: Collection[str], commits: Collection[str]) -> list[Version]:
        """The same as those of ``Repository``."""
        if not names or not commits:
            return []

        def ask(known: Kept) -> Answer:
            found = self._repository.versions(names, commits, known.commits)
            new = [[one.commit, str(one.path), one.blob, one.ref] for one in found]
            return self._joined(new, known.answer, commits)

        answer = self._answer(["versions", *sorted(names)], commits, ask, size=4)
        return [Version(commit, PurePosixPath(path), *rest) for commit, path, *rest in answer]

    def mentions(self, pattern: str, path: str, commits: Collection[str]) -> bool:
        """The same as ``mentions`` of ``Repository``; False if a partial clone can't tell."""

        def ask(known: Kept) -> Answer:
            is_there = self._repository.mentions
            if known.answer or is_there(pattern, path, commits, known.commits):
                return [[]]
            return []

        with suppress(Incomplete):
            return bool(self._answer(["mentions", pattern, path], commits, ask, size=0))
        return False

    def nearest_branches(
        self, commits: Collection[str], branches: Mapping[str, str]
    ) -> dict[str, str]:
        """The same as those of ``Repository``. The tips of all local ``branches`` are given."""

        def ask(_: Kept) -> Answer:
            found = self._repository.nearest_branches(commits, ["heads"])
            return [[commit, name] for commit, name in found.items()]

        if not commits:
            return {}
        tips = [f"{tip} {name}" for name, tip in sorted(branches.items())]
        question = ["nearest", *sorted(commits), *tips]
        found = dict(self._answer(question, branches.values(), ask, size=2))
        others = [commit for commit in commits if commit not in found]
        return found | self._repository.nearest_branches(others, ["remotes"])

    def _joined(self, new: Answer, known: Answer, commits: Collection[str]) -> Answer:
        """Versions of both, in the order of the history of ``commits``."""
        if not (new and known):
            return new or known
        by_commit: dict[str, Answer] = {}
        for fields in [*new, *known]:
            found = by_commit.setdefault(fields[0], [])
            if fields not in found:
                found.append(fields)
        order = self._repository.in_order(by_commit.keys(), commits)
        return [fields for commit in order for fields in by_commit[commit]]

    def _answer(
        self,
        question: Sequence[str],
        commits: Collection[str],
        ask: Callable[[Kept], Answer],
        size: int,
    ) -> Answer:
        """
        The answer that is kept, or else that of ``ask``, which is kept from then on.

        It is asked for what came since one that is kept: each commit makes another history.
        ``size`` is that of a line of the answer.
        """
        if not (all(map(_is_id, commits)) and self._holds_for_good()):
            return ask(NOTHING)
        asked = sha256(json.dumps(question).encode()).hexdigest()
        kept = self._read()
        earlier = [one for one in reversed(kept) if one.question == asked and _is_sound(one, size)]
        for one in earlier:
            if set(one.commits) == set(commits):
                return one.answer
        # Of what is not in this history any more, nothing may be known.
        are_in_history = self._repository.are_in_history
        known = next((one for one in earlier if are_in_history(one.commits, commits)), NOTHING)
        answer = ask(known)
        self._write([*kept, Kept(asked, sorted(commits), answer)])
        return answer

    def _holds_for_good(self) -> bool:
        directory = self._repository.common_dir
        return not any((directory / name).exists() for name in _OTHER_HISTORIES)

    def _read(self) -> list[Kept]:
        """The answers that are kept, oldest first; none if that file is damaged."""
        with suppress(OSError, ValueError, RecursionError):
            kept = json.loads(read_text(self._file))
            if isinstance(kept, list) and all(map(_is_kept, kept)):
                return [Kept(*fields) for fields in kept]
        return []

    def _write(self, kept: Sequence[Kept]) -> None:
        alike = [one for one in kept if one.question == kept[-1].question]
        latest = [one for one in kept if one not in alike[:-_KEPT_OF_ONE]][-_KEPT:]
        # Where the directory can't be written, git is asked the next time as well.
        with suppress(OSError):
            write_aside(self._file, json.dumps(latest))

    @property
    def _file(self) -> Path:
        return self._repository.common_dir / "django-devtools" / "history.json"


def _is_id(commit: Any) -> bool:
    """Whether this is the id of a commit. A ref names another commit tomorrow."""
    return isinstance(commit, str) and re.fullmatch("[0-9a-f]{40,64}", commit) is not None


def _is_kept(value: Any) -> bool:
    return isinstance(value, list) and list(map(type, value)) == [str, list, list]


def _is_sound(kept: Kept, size: int) -> bool:
    """Whether its parts are what they should be. Of all that are kept, one or two are needed."""
    return all(map(_is_id, kept.commits)) and all(_is_line(line, size) for line in kept.answer)


def _is_line(value: Any, size: int) -> bool:
    if not (isinstance(value, list) and len(value) == size):
        return False
    return all(isinstance(field, str) for field in value)
