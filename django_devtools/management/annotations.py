"""What `--check` says is out of step, in words or as annotations of GitHub Actions."""

import os
from pathlib import Path

from django_devtools.branches.decision import Workspace
from django_devtools.branches.sources.snapshots import Key

# https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
_IN_TEXTS = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_IN_PROPERTIES = {**_IN_TEXTS, **str.maketrans({":": "%3A", ",": "%2C"})}


def runs_on_github() -> bool:
    """Whether GitHub Actions reads what is printed, or something that asks for the same form."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def annotation(text: str, file: Path | None = None) -> str:
    """The line that makes GitHub Actions show an error, next to ``file`` if that is known."""
    place = f" file={file.as_posix().translate(_IN_PROPERTIES)},line=1" if file else ""
    return f"::error{place}::{text.translate(_IN_TEXTS)}"


def file_of(workspace: Workspace, key: Key) -> Path | None:
    """
    The file of a migration, relative to the top of the repository.

    Other branches may have it, and this checkout not. None if it is part of no app of the project.
    """
    directory = workspace.disk.directories().get(key[0])
    if directory is None or workspace.repository is None:
        return None
    file, top = directory / f"{key[1]}.py", workspace.repository.top.resolve()
    return file.relative_to(top) if file.is_relative_to(top) else None
