"""Git with no settings but the user's own that tell which files are ignored."""

from pathlib import Path

import pytest

from django_devtools.branches.sources.git import GitError, Repository
from django_devtools.branches.sources.plain_git import _excluded, _settings
from tests.project import Project

pytestmark = pytest.mark.once


def test_settings_of_the_user(project: Project) -> None:
    repository = Repository.find(project.path)
    assert repository
    for name in _settings(repository):
        project.git("config", "--unset", name)
    assert _settings(repository) == {}
    project.git("config", "core.excludesFile", "mine")
    project.git("config", "core.fsmonitor", "a program")
    assert _settings(repository) == {"core.excludesfile": "mine"}


def test_files_of_what_is_ignored(tmp_path: Path) -> None:
    file = tmp_path / "exclude"
    assert _excluded(file) == b""
    assert _excluded(tmp_path) == b""
    assert _excluded(file / "below") == b""
    file.write_bytes(b"secrets\n")
    assert _excluded(file / "below") == b""
    assert _excluded(file) == b"secrets\n"


def test_a_file_that_can_not_be_read(tmp_path: Path) -> None:
    """What it has ignored might be recorded."""
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(GitError, match=r"loop can't be read: "):
        _excluded(loop)
