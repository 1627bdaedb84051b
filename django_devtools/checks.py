"""System checks. Their ids are documented in docs/pages/checks.md."""

import sys
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

from django_devtools.conf import OPTIONS, SETTINGS_NAME, fault

# Commands whose warnings people read.
WATCHED = ("check", "runserver")


def register_all() -> None:
    register(check_options)
    register(check_databases, Tags.database)
    register(check_branches)


def register_jobs() -> None:
    register(check_queues)
    register(check_worker)
    register(check_production, Tags.security, deploy=True)


def check_options(**options: Any) -> Iterable[CheckMessage]:
    """Check that the setting of this app has known keys, and right values."""
    given = getattr(settings, SETTINGS_NAME, {})
    if not isinstance(given, dict):
        yield Error(f"{SETTINGS_NAME} must be a dict, not {given!r}.", id="django_devtools.E001")
        return
    for key, value in given.items():
        if key not in OPTIONS:
            close = get_close_matches(str(key), OPTIONS, n=1)
            known = f"Did you mean {close[0]!r}?" if close else f"It has {', '.join(OPTIONS)}."
            yield Error(
                f"{SETTINGS_NAME} has no key {key!r}.",
                hint=known,
                id="django_devtools.E002",
            )
        elif words := fault(key, value):
            yield Error(f"{SETTINGS_NAME}[{key!r}] {words}", id="django_devtools.E003")


def check_databases(
    databases: Iterable[str] | None = None, **options: Any
) -> Iterable[CheckMessage]:
    """Check that the databases hold only what this checkout has."""
    if not (settings.DEBUG and databases):
        return []
    from django_devtools.branches.checks import about_databases

    return about_databases(databases)


def check_branches(**options: Any) -> Iterable[CheckMessage]:
    """Check that the git hooks work. Under runserver, check the databases, too."""
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if not settings.DEBUG or command not in WATCHED:
        return []
    from django.db import connections

    from django_devtools.branches.checks import about_databases, about_hooks

    return [*about_hooks(), *about_databases(connections if command == "runserver" else ())]


def check_queues(**options: Any) -> Iterable[CheckMessage]:
    """Check that each task names a queue of RQ_QUEUES."""
    from django_devtools.jobs.checks import about_queues

    return about_queues()


def check_worker(**options: Any) -> Iterable[CheckMessage]:
    """Check that a worker that starts has jobs to wait for."""
    from django_devtools.jobs.checks import about_worker

    return about_worker()


def check_production(**options: Any) -> Iterable[CheckMessage]:
    """Check that no job would be thrown away in production."""
    from django_devtools.jobs.checks import about_production

    return about_production()
