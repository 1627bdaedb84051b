"""What git has of migrations."""

from pathlib import PurePosixPath

import pytest

from django_devtools.branches.sources.git import GitError, Version
from django_devtools.branches.sources.history import History, _alike, label_in
from django_devtools.branches.sources.loader import Code, Source


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (b"class C(AppConfig):\n    label = 'opinions'\n", "opinions"),
        (b"class C(AppConfig):\n    name = 'reviews'\n", None),
        (b"<<<<<<< HEAD", None),
        (b"x = " + b"not " * 100_000 + b"1", None),
    ],
    ids=["label", "name", "conflict", "deep"],
)
def test_labels(text: bytes, label: str | None) -> None:
    assert label_in(text) == label


def test_asking_for_git_where_there_is_none() -> None:
    history = History(None, Code({}, {}))
    with pytest.raises(GitError, match="There is no git repository"):
        history.module(PurePosixPath("shop/migrations/0001_initial.py"))


def test_no_settings_named_a_package_where_there_is_no_repository() -> None:
    history = History(None, Code({}, {}))
    assert not history.was_installed("shop.migrations", ["a" * 40])


def test_a_file_outside_a_migrations_directory_is_no_migration() -> None:
    version = Version("a" * 40, PurePosixPath("shop/sql/0001_initial.py"), "b" * 40)
    history = History(None, Code({}, {}))
    assert list(history._labelled_elsewhere([version], [("shop", "0001_initial")])) == []


def test_a_text_that_is_no_python_is_like_no_other() -> None:
    good, broken = (Source("shop.migrations.m", text, "file") for text in (b"a = 1", b"a ="))
    assert _alike(good, Source("shop.migrations.m", b"a =  1", "file"))
    assert not _alike(good, broken)
