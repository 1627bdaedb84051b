"""Targets without a repository, or with settings outside of it."""

from pathlib import Path

from django_devtools.branches.sources.git import Repository
from django_devtools.branches.sources.provenance import Past
from django_devtools.branches.sources.target import _past_of_state, _strings_in_settings


def test_a_state_has_no_past_without_a_repository() -> None:
    assert _past_of_state("main", None) == Past(None, None)


def test_settings_outside_the_repository_name_no_apps(tmp_path: Path) -> None:
    repository = Repository(tmp_path, tmp_path / ".git", "sha1")
    assert _strings_in_settings(repository, "a" * 40, []) == set()
