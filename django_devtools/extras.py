"""Packages that only some parts of this app need, and the line to type where they are missing."""

from functools import cache
from importlib.util import find_spec

JOBS = ("django_rq", "rq")
FAKES = "fakeredis"


def has_jobs() -> bool:
    """Whether all that ``django_devtools.jobs`` needs is installed."""
    return all(map(is_installed, JOBS))


def has_fakes() -> bool:
    """Whether what a fake Redis needs is installed."""
    return is_installed(FAKES)


def require_jobs() -> None:
    """Raise ImportError, with the line to type, where ``has_jobs`` is false."""
    missing = [package for package in JOBS if not is_installed(package)]
    if missing:
        raise ImportError(
            f"django_devtools.jobs needs {' and '.join(missing)}: "
            'pip install "django-devtools-kit[jobs]"',
            name=missing[0],
        )


@cache
def is_installed(package: str) -> bool:
    """Whether a package can be imported. Does not import it."""
    return find_spec(package) is not None
