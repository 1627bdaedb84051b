"""Packages that only some parts of this app need, and the line to type where they are missing."""

from functools import cache
from importlib.util import find_spec

# The oldest versions of what jobs need. The extra "jobs" asks for the same.
# django-rq before 4.0 reads RQ_QUEUES once, when it is imported, so a fake comes too late.
JOBS = {"django-rq": (4, 0), "rq": (2, 6, 1)}
FAKES = "fakeredis"


def has_jobs() -> bool:
    """Whether what ``django_devtools.jobs`` needs is installed, in whatever version."""
    return all(map(_is_installed, JOBS))


def can_fake() -> bool:
    """Whether a fake Redis can answer for queues."""
    return _is_installed(FAKES) and supports_jobs()


def supports_jobs() -> bool:
    """Whether what ``django_devtools.jobs`` needs is installed, in versions that it works with."""
    return has_jobs() and not _outdated()


def require_jobs() -> None:
    """Raise ImportError, with the line to type, where ``has_jobs`` is false."""
    missing = [name for name in JOBS if not _is_installed(name)]
    if missing:
        raise ImportError(
            f"django_devtools.jobs needs {' and '.join(missing)}: "
            'pip install "django-devtools-kit[jobs]"'
        )


def require_supported_jobs() -> None:
    """Raise ImportError, with the line to type, where ``supports_jobs`` is false."""
    require_jobs()
    if outdated := _outdated():
        raise ImportError(
            f"django_devtools.jobs does not work with {', '.join(outdated)}: "
            'pip install --upgrade "django-devtools-kit[jobs]"'
        )


@cache
def _is_installed(name: str) -> bool:
    """Whether a distribution can be imported. Does not import it."""
    return find_spec(name.replace("-", "_")) is not None


def is_older(name: str, version: tuple[int, ...]) -> bool:
    """Whether the version of a distribution that is installed comes before another one."""
    from django.utils.version import get_version_tuple

    return get_version_tuple(version_of(name)) < version


def version_of(name: str) -> str:
    """The version of a distribution that is installed."""
    # Slow to import, and needed by no process that has to do with branches.
    from importlib.metadata import version

    return version(name)


@cache
def _outdated() -> list[str]:
    return [
        f"{name} {version_of(name)} (before {'.'.join(map(str, oldest))})"
        for name, oldest in JOBS.items()
        if is_older(name, oldest)
    ]
