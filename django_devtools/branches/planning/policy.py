"""What users want of a switch."""

from enum import StrEnum
from typing import NamedTuple


class Irreversible(StrEnum):
    """What to do about migrations that can't be unapplied."""

    FAIL = "fail"
    KEEP = "keep"
    NOOP = "noop"


class Options(NamedTuple):
    """What the user wants of a switch."""

    target: str | None = None
    irreversible: Irreversible = Irreversible.FAIL
    roll_back_shared: bool = False
    rerun: bool = False
    forget_interrupted: bool = False
    stash: bool = True
    """Whether data is saved in the stash before it is dropped."""
    trusted: tuple[str, ...] = ()
    """Refs whose code may be run although it was only fetched."""
