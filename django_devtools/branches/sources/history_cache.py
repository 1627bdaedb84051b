"""
What git says of the history of commits, kept from one command to the next.

To list what all commits have changed takes git half a second in a repository of 15,000 commits.
A commit never changes, nor does what came before it. So an answer holds for good, unless the user
tells git to see another history than the commits have: then git is asked each time.
"""

import json
import re
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from django_devtools.branches.files import read_text, write_aside

from .git import Incomplete, Repository, Version

_KEPT = 32
"""How many answers are kept: those to the latest questions."""

_OTHER_HISTORIES = ("shallow", "info/grafts")
"""Files of a git directory that cut off what came before a commit, or put other commits there."""


class HistoryCache:
    """What git answers on the history of commits. Raises GitError where git does."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def versions(self, names: Collection[str], commits: Collection[str]) -> list[Version]:
        """The same as those of ``Repository``."""
        if not names or not commits:
            return []

        def ask() -> list[list[str]]:
            found = self._repository.versions(names, commits)
            return [[one.commit, str(one.path), one.blob, one.ref] for one in found]

        answer = self._answer(["versions", *sorted(names)], commits, ask)
        return [Version(commit, PurePosixPath(path), *rest) for commit, path, *rest in answer]

    def mentions(self, pattern: str, path: str, commits: Collection[str]) -> bool:
        """The same as ``mentions`` of ``Repository``; False if a partial clone can't tell."""

        def ask() -> list[list[str]]:
            return [[]] if self._repository.mentions(pattern, path, commits) else []

        with suppress(Incomplete):
            return bool(self._answer(["mentions", pattern, path], commits, ask))
        return False

    def _answer(
        self,
        question: Sequence[str],
        commits: Collection[str],
        ask: Callable[[], list[list[str]]],
    ) -> list[list[str]]:
        """The answer that is kept, or else that of ``ask``, which is kept from then on."""
        if not (all(map(_is_id, commits)) and self._holds_for_good()):
            return ask()
        asked = json.dumps([question, sorted(commits)])
        key = sha256(asked.encode()).hexdigest()
        kept = self._read()
        if key not in kept:
            kept[key] = ask()
            self._write(kept)
        return kept[key]

    def _holds_for_good(self) -> bool:
        directory = self._repository.common_dir
        return not any((directory / name).exists() for name in _OTHER_HISTORIES)

    def _read(self) -> dict[str, list[list[str]]]:
        """The answers that are kept, oldest first; none if that file is damaged."""
        with suppress(OSError, ValueError, RecursionError):
            kept = json.loads(read_text(self._file))
            if isinstance(kept, dict) and all(map(_is_answer, kept.values())):
                return kept
        return {}

    def _write(self, kept: dict[str, list[list[str]]]) -> None:
        latest = dict([*kept.items()][-_KEPT:])
        # Where the directory can't be written, git is asked the next time as well.
        with suppress(OSError):
            write_aside(self._file, json.dumps(latest))

    @property
    def _file(self) -> Path:
        return self._repository.common_dir / "django-devtools" / "history.json"


def _is_id(commit: str) -> bool:
    """Whether this is the id of a commit. A ref names another commit tomorrow."""
    return re.fullmatch("[0-9a-f]{40,64}", commit) is not None


def _is_answer(value: Any) -> bool:
    if not isinstance(value, list):
        return False
    return all(isinstance(one, list) and _is_version_or_empty(one) for one in value)


def _is_version_or_empty(fields: list[Any]) -> bool:
    return len(fields) in (0, 4) and all(isinstance(field, str) for field in fields)
