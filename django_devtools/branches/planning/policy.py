"""What users want done about migrations that can't be unapplied."""

from enum import StrEnum


class Irreversible(StrEnum):
    """What to do about migrations that can't be unapplied."""

    FAIL = "fail"
    KEEP = "keep"
    NOOP = "noop"
