"""The ids of texts, and the migrations that recorded texts define."""

import re
from hashlib import sha1

from django.db.migrations import Migration

from .git import Repository
from .loader import Code, Source, UnusableSource, load
from .snapshots import Key

_OBJECT_ID = re.compile("[0-9a-f]{40,64}")


class Texts:
    """The texts of migrations, by the ids that git gives to them."""

    def __init__(self, repository: Repository | None, disk: Code) -> None:
        self._repository = repository
        self._disk = disk
        self._sources: dict[tuple[Key, str], Source | None] = {}
        self._migrations: dict[tuple[Key, str], Migration | None] = {}

    def id(self, source: Source | None) -> str:
        """The id of a text; empty if there is none."""
        if source is None:
            return ""
        if self._repository is not None:
            return self._repository.blob_id(source.content)
        return sha1(source.content, usedforsecurity=False).hexdigest()

    def source(self, key: Key, text: str) -> Source | None:
        """The text of a migration by its id; None if git does not have it any more."""
        if (key, text) not in self._sources:
            self._sources[key, text] = self._read(key, text)
        return self._sources[key, text]

    def migration(self, key: Key, text: str) -> Migration | None:
        """The migration that a text defines; None if it is gone, or can't be executed here."""
        if (key, text) not in self._migrations:
            self._migrations[key, text] = self._load(key, text)
        return self._migrations[key, text]

    def _read(self, key: Key, text: str) -> Source | None:
        if self._repository is None or not _OBJECT_ID.fullmatch(text):
            return None
        content = self._repository.contents([text]).get(text)
        if content is None:
            return None
        package = self._disk.packages.get(key[0], f"{key[0]}.migrations")
        return Source(f"{package}.{key[1]}", content, "snapshot")

    def _load(self, key: Key, text: str) -> Migration | None:
        source = self.source(key, text)
        if source is None:
            return None
        try:
            return load(key, source)
        except UnusableSource:
            return None
