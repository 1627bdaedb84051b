"""Texts by their ids, in a real repository."""

import subprocess
from pathlib import Path

import pytest
from django.db.migrations import RunSQL

from django_devtools.branches.sources.git import Repository
from django_devtools.branches.sources.loader import Code, Source, load
from django_devtools.branches.sources.text_ids import Texts

KEY = ("shop", "0001_initial")
TEXT = b"from django.db.migrations import Migration as Migration\n"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    found = Repository.find(tmp_path)
    assert found
    return found


def source(content: bytes) -> Source:
    return Source("shop.migrations.0001_initial", content, "file")


def test_what_has_an_id_is_there_although_git_lacks_it(repository: Repository) -> None:
    texts = Texts(repository, Code({}, {}))
    text = texts.id(source(TEXT))
    assert text == repository.blob_id(TEXT)
    found = texts.source(KEY, text)
    assert found
    assert found.content == TEXT
    migration = texts.migration(KEY, text)
    assert migration
    assert (migration.app_label, migration.name) == KEY


def test_what_was_executed_once_is_not_executed_again() -> None:
    texts = Texts(None, Code({}, {}))
    migration = load(KEY, source(TEXT))
    texts.remember(KEY, source(TEXT), migration)
    assert isinstance(migration.operations, list)
    migration.operations.append(RunSQL("inserted by a receiver of pre_migrate"))
    found = texts.migration(KEY, texts.id(source(TEXT)))
    assert type(found) is type(migration)
    assert found.operations == []


def test_what_git_has_is_read_by_its_id(repository: Repository) -> None:
    text = repository.blob_id(TEXT)
    repository.store({text: TEXT})
    found = Texts(repository, Code({}, {"shop": "store.migrations"})).source(KEY, text)
    assert found == Source("store.migrations.0001_initial", TEXT, "snapshot")


def test_a_text_that_is_nowhere_is_none(repository: Repository) -> None:
    texts = Texts(repository, Code({}, {}))
    for text in ("", "--help", repository.blob_id(b"never stored")):
        assert texts.source(KEY, text) is None
        assert texts.migration(KEY, text) is None


def test_a_text_that_can_t_be_executed_has_no_migration(repository: Repository) -> None:
    texts = Texts(repository, Code({}, {}))
    text = texts.id(source(b"import nowhere_to_be_found\n"))
    assert texts.source(KEY, text)
    assert texts.migration(KEY, text) is None


def test_without_a_repository_texts_have_ids_all_the_same() -> None:
    texts = Texts(None, Code({}, {}))
    text = texts.id(source(TEXT))
    assert texts.migration(KEY, text)
    assert texts.source(KEY, text[::-1]) is None
    assert texts.id(None) == ""
