"""
What users want of a switch, and of the migrations that can't be unapplied.

What they have said of one before is in the snapshot file, as ``sources/remembered.py`` has it.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

from django_devtools.branches.errors import SwitchError
from django_devtools.branches.sources.git import Repository
from django_devtools.branches.sources.snapshots import Key
from django_devtools.conf import fault, option

GIT_SETTING = "django-devtools.irreversible"


class Irreversible(StrEnum):
    """What to do about a migration that can't be unapplied."""

    FAIL = "fail"
    KEEP = "keep"
    NOOP = "noop"
    ASK = "ask"
    """As FAIL where nobody can be asked; and what was answered before does not count."""


class Options(NamedTuple):
    """What the user wants of a switch."""

    target: str | None = None
    irreversible: Irreversible | None = None
    """For all that can't be unapplied; None for what is remembered of each, or configured."""
    roll_back_shared: bool = False
    rerun: bool = False
    forget_interrupted: bool = False
    stash: bool = True
    """Whether data is saved in the stash before it is dropped."""
    trusted: tuple[str, ...] = ()
    """Refs whose code may be run although it was only fetched."""
    undo: bool = False
    """Whether to go where the database was before the last switch."""
    answers: Mapping[Key, Irreversible] = {}
    """What the user has said of single migrations that can't be unapplied."""


def switch_command(options: Options, *more: str) -> str:
    """The command that goes where ``options`` say, with ``more`` options, as it is typed."""
    import shlex  # only for messages

    undo = "--undo" if options.undo else None
    words = ["manage.py", "migrations_switch", options.target, undo, *more]
    return shlex.join(word for word in words if word)


class Policy:
    """What to do about each migration that can't be unapplied."""

    def __init__(
        self,
        rest: Irreversible | Callable[[], Irreversible] = Irreversible.FAIL,
        answers: Mapping[Key, Irreversible] | None = None,
    ) -> None:
        """``rest`` is for all that ``answers`` don't name, and called once, if it is needed."""
        self._rest_or_callable = rest
        self._answers = answers or {}

    def of(self, key: Key) -> Irreversible:
        """What to do about ``key``, if it can't be unapplied. Raises as ``configured`` does."""
        return self._answers.get(key) or self._rest

    def leaves(self, key: Key) -> bool:
        """Whether a person has said that ``key`` stays: so it can't be unapplied."""
        return self._answers.get(key) is Irreversible.KEEP

    @cached_property
    def _rest(self) -> Irreversible:
        rest = self._rest_or_callable
        return rest if isinstance(rest, Irreversible) else rest()


def configured(repository: Repository | None) -> Irreversible:
    """
    What git, or else the settings, say about all of which no answer is remembered.

    Raises SwitchError if git has another value, and ImproperlyConfigured if the settings have.
    """
    value = repository.config(GIT_SETTING) if repository else None
    if value is None:
        return Irreversible(option("IRREVERSIBLE") or Irreversible.FAIL)
    if words := fault("IRREVERSIBLE", value):
        raise SwitchError(
            f"The setting {GIT_SETTING} of git {words} To remove it, run `git config --unset-all "
            f"{GIT_SETTING}`."
        )
    return Irreversible(value)
