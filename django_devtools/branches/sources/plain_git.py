"""
Git on the objects of a repository, and on nothing else of it.

The configuration of a user can make git run programs wherever it reads or writes files: filters of
attributes (Git LFS), hooks, a file system monitor. So the work of this module has a temporary git
directory of its own, which has neither hooks nor filters, and shares only the object database.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .git import GitError, Repository

# All files are bytes: nothing is filtered, and no line end or encoding is changed. This file wins
# over every .gitattributes.
_ATTRIBUTES = "* -text -ident -filter !eol !working-tree-encoding\n"

# What tells git how the file system behaves, and which files are ignored.
_SETTINGS = (
    r"^core\.(checkstat|excludesfile|filemode|ignorecase|precomposeunicode|symlinks|trustctime)$"
)


@dataclass(frozen=True)
class PlainGit:
    """Git with a directory and an index of its own."""

    repository: Repository
    directory: Path
    environment: dict[str, str]

    @property
    def index(self) -> Path:
        return self.directory / "index"

    def git(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """The output of ``git ARGUMENTS``. Raises GitError if it fails."""
        return self.run(*arguments, stdin=stdin)[0]

    def run(self, *arguments: str, stdin: bytes = b"") -> tuple[bytes, bytes]:
        """The same, with what git complains of although it does not fail."""
        return self.repository.run(*arguments, stdin=stdin, environment=self.environment)


@contextmanager
def plain_git(repository: Repository, work_tree: Path) -> Iterator[PlainGit]:
    """Git on the files below ``work_tree`` and the objects of ``repository``. Raises GitError."""
    settings = _settings(repository)
    with repository.objects_only() as (directory, environment):
        (directory / "info/attributes").write_text(_ATTRIBUTES)
        exclude = _excluded(repository.common_dir / "info/exclude")
        (directory / "info/exclude").write_bytes(exclude)
        environment |= {
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_CONFIG_COUNT": str(len(settings)),
            "GIT_INDEX_FILE": str(directory / "index"),
            "GIT_WORK_TREE": str(work_tree),
        }
        for number, (key, value) in enumerate(settings.items()):
            environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        yield PlainGit(repository, directory, environment)


def _settings(repository: Repository) -> dict[str, str]:
    try:
        output = repository.git("config", "-z", "--get-regexp", _SETTINGS)
    except GitError:  # None of them is set.
        output = b""
    # The last value counts. A name without a value means that it is on.
    entries = [entry.partition("\n") for entry in os.fsdecode(output).split("\0") if entry]
    return {key: value if mark else "true" for key, mark, value in entries}


def _excluded(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return b""
    except OSError as error:  # Secrets may be ignored by it.
        raise GitError(f"{file} can't be read: {error.strerror}") from error
