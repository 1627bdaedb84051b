"""The ids of texts, and the migrations that recorded texts define."""

import re
from hashlib import sha1

from django.db.migrations import Migration

from .git import Repository
from .loader import Code, Source, UnusableSource, load, variant
from .snapshots import Key

_OBJECT_ID = "[0-9a-f]{40,64}"


class Texts:
    """The texts of migrations, by the ids that git gives to them."""

    def __init__(self, repository: Repository | None, disk: Code) -> None:
        self._repository = repository
        self._disk = disk
        self._contents: dict[str, bytes] = {}
        """What has an id already, so that git is not asked for it."""
        self._sources: dict[tuple[Key, str], Source | None] = {}
        self._migrations: dict[tuple[Key, str], Migration | None] = {}

    def id(self, source: Source | None) -> str:
        """The id of a text; empty if there is none."""
        if source is None:
            return ""
        text = self._id(source.content)
        self._contents[text] = source.content
        return text

    def source(self, key: Key, text: str) -> Source | None:
        """The text of a migration by its id; None if it is not to be had any more."""
        if (key, text) not in self._sources:
            self._sources[key, text] = self._read(key, text)
        return self._sources[key, text]

    def migration(self, key: Key, text: str) -> Migration | None:
        """The migration that a text defines; None if it is gone, or can't be executed here."""
        if (key, text) not in self._migrations:
            self._migrations[key, text] = self._load(key, text)
        return self._migrations[key, text]

    def remember(self, key: Key, source: Source, migration: Migration) -> None:
        """``migration`` is what ``source`` defines, so that it is not executed again."""
        # Receivers of pre_migrate insert operations into those of a plan.
        operations = list(migration.operations)
        self._migrations[key, self.id(source)] = variant(migration, operations=operations)

    def _id(self, content: bytes) -> str:
        if self._repository is not None:
            return self._repository.blob_id(content)
        return sha1(content, usedforsecurity=False).hexdigest()

    def _read(self, key: Key, text: str) -> Source | None:
        content = self._contents.get(text) or self._from_git(text)
        if content is None:
            return None
        package = self._disk.packages.get(key[0], f"{key[0]}.migrations")
        return Source(f"{package}.{key[1]}", content, "snapshot")

    def _from_git(self, text: str) -> bytes | None:
        if self._repository is None or not re.fullmatch(_OBJECT_ID, text):
            return None
        return self._repository.contents([text]).get(text)

    def _load(self, key: Key, text: str) -> Migration | None:
        source = self.source(key, text)
        if source is None:
            return None
        try:
            return load(key, source)
        except UnusableSource:
            return None
