"""The settings of this app, and where the project has its files."""

import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.creation import TEST_DATABASE_PREFIX

SETTINGS_NAME = "DJANGO_DEVTOOLS"

TABLE_PREFIX = "django_devtools_"
"""What the names of all our tables begin with."""

_names: dict[str, str] = {}
"""The names of the databases in the settings, by their aliases."""

OPTIONS: dict[str, tuple[type | str, ...]] = {
    "AUTO_SNAPSHOT": (bool,),
    "HOOK_ROWS": (int,),
    "HOOK_SECONDS": (int,),
    "IRREVERSIBLE": ("fail", "keep", "noop"),
    "SNAPSHOT_FILE": (str, Path),
}
"""The keys of the setting, and the types of their values, or else the values."""


def option(name: str) -> Any:
    """
    The value of one key of ``settings.DJANGO_DEVTOOLS``, None if it is not set.

    Raises ImproperlyConfigured if the setting is not a dict, or the value is wrong.
    """
    options = getattr(settings, SETTINGS_NAME, {})
    if not isinstance(options, dict):
        raise ImproperlyConfigured(f"{SETTINGS_NAME} must be a dict, not {options!r}.")
    value = options.get(name)
    if value is not None and (words := fault(name, value)):
        raise ImproperlyConfigured(f"{SETTINGS_NAME}[{name!r}] {words}")
    return value


def fault(name: str, value: Any) -> str | None:
    """What is wrong with a value of one key of the setting; None if nothing is."""
    types = tuple(kind for kind in OPTIONS[name] if isinstance(kind, type))
    if isinstance(value, types) or value in OPTIONS[name]:
        return None
    if types:
        names = " or ".join(kind.__name__ for kind in types)
        return f"must be of type {names}, not {value!r}."
    return f"must be one of {', '.join(map(repr, OPTIONS[name]))}, not {value!r}."


def takes_snapshots() -> bool:
    """
    Whether snapshots are taken: with DEBUG, or as AUTO_SNAPSHOT says; never in tests.

    Raises ImproperlyConfigured as ``option`` does.
    """
    chosen = option("AUTO_SNAPSHOT")
    return bool(settings.DEBUG if chosen is None else chosen) and not in_tests()


def note_databases() -> None:
    """Note which databases the settings name, before tests have others in their place."""
    _names.update(_databases())


def in_tests() -> bool:
    """Whether databases are those of tests, which are gone soon."""
    # Django's test runners put the outbox there. `testserver` has but another database.
    return hasattr(mail, "outbox") or any(
        _is_that_of_tests(settings.DATABASES[alias], name, now)
        for alias, now in _databases().items()
        if (name := _names.get(alias, now)) != now
    )


def _is_that_of_tests(configuration: Mapping[str, Any], name: str, now: str) -> bool:
    """Whether ``now`` is what Django calls a database for tests. Projects may rename it, too."""
    chosen = configuration.get("TEST", {}).get("NAME")
    return (chosen is not None and now == str(chosen)) or now.startswith(
        (TEST_DATABASE_PREFIX + name, "file:memorydb_")
    )


def _databases() -> dict[str, str]:
    """The names of the databases that are connected to, by their aliases."""
    return {alias: str(one.get("NAME") or "") for alias, one in settings.DATABASES.items()}


def settings_file() -> Path | None:
    """The file of the settings module, None if settings were configured by hand."""
    name = getattr(settings, "SETTINGS_MODULE", None)
    if not name:
        return None
    file = getattr(sys.modules.get(name) or import_module(name), "__file__", None)
    if not file:
        return None
    path = Path(file).absolute()
    # The file may be a link. What counts is the directory that it is imported from.
    root = path.parents[min(_depth(path), len(path.parents) - 1)]
    return root.resolve() / path.relative_to(root)


def project_root() -> Path:
    """
    The directory that the settings module is imported from, usually that of manage.py.

    The current directory if settings were configured by hand.
    """
    file = settings_file()
    if file is None:
        return Path.cwd()
    return file.parents[min(_depth(file), len(file.parents) - 1)]


def database_files(*more: Mapping[str, Any]) -> list[Path]:
    """The files of the databases that are files: those of DATABASES, and ``more`` like them."""
    names = [
        str(one["NAME"]).removeprefix("file:").partition("?")[0]
        for one in (*settings.DATABASES.values(), *more)
        if one["ENGINE"].endswith(("sqlite3", "spatialite"))
    ]
    return [Path(name).absolute() for name in names if name and ":memory:" not in name]


def _depth(settings_file: Path) -> int:
    depth: int = settings.SETTINGS_MODULE.count(".")
    return depth + (settings_file.name == "__init__.py")
