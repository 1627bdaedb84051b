"""How many rows a switch copies, as far as that can be told at once."""

from .decision import Decision

HOOK_ROWS = 1_000_000
"""Up to how many rows hooks copy, unless the settings have another limit."""


def rows_to_copy(decision: Decision, most: int) -> int:
    """
    How many rows a switch would save and restore, about; exactly is not needed beyond ``most``.

    Raises SwitchError where a work tree can't tell.
    """
    outlook = decision.outlook
    tables = outlook.stash.tables
    lost = {loss.table for loss in outlook.losses() if loss.table in tables.names}
    saved = sum(tables.dialect.estimated_rows(table, most + 1) for table in lost)
    if not decision.has_stash:
        return saved
    in_stash = sum(entry.rows for entry in outlook.stash.entries())
    if saved + in_stash <= most:
        return saved + in_stash
    # Which of them come back takes longer to find out.
    return saved + sum(entry.rows for entry in outlook.expected().restored)
