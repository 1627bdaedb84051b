"""What a switch says when it refuses: what it would do, to which thing, and what to type."""

from collections.abc import Collection, Mapping

from django_devtools.branches.planning.plan import Irreversible
from django_devtools.branches.schema.changes import DataLoss
from django_devtools.branches.sources.git import Repository
from django_devtools.branches.sources.snapshots import Key


def missing_sources(
    keys: Collection[Key], repository: Repository | None, ambiguous: Mapping[Key, list[str]]
) -> str:
    several = [key for key in keys if key in ambiguous]
    if several:
        return "\n".join(
            f"Which text {'.'.join(key)} was applied from is not recorded, and these branches "
            f"have different ones: {', '.join(ambiguous[key])}. Check out the one it came from, "
            "run `manage.py migrations_snapshot`, and come back."
            for key in several
        )
    names = ", ".join(f"{app}.{name}" for app, name in keys)
    cut = repository is not None and repository.is_shallow()
    fetch = " (`git fetch --unshallow` brings the history that this clone lacks)" if cut else ""
    return (
        f"The source of {names} was not found: not on disk, not in a snapshot, not in the git "
        f"history of any ref{fetch}. Put the file back, fetch the branch or install the "
        "version of the package that has it, or leave it applied with --irreversible=keep."
    )


def broken(losses: Collection[DataLoss]) -> str:
    what = ", ".join(f"{loss} (by {'.'.join(loss.migration)})" for loss in losses)
    return (
        f"The rows of django_migrations don't add up with the target: what counts as applied "
        f"there would be dropped, and nothing would bring it back: {what}. Compare with "
        "`manage.py migrations_status`, and correct the rows with `manage.py migrate --fake`."
    )


def parentless(rows: Mapping[DataLoss, int]) -> str:
    what = ", ".join(
        f"{loss.table}.{loss.column} is NULL in {count} row{'s' * (count != 1)}, which only "
        f"{'.'.join(loss.migration)} allows"
        for loss, count in rows.items()
    )
    return (
        f"{what}. It refers to another table, and nothing else can stand there. Let these rows "
        "refer to something, or delete them."
    )


def unfit_keys(losses: Collection[DataLoss]) -> str:
    what = ", ".join(
        f"{loss.table}.{loss.column} has values that are only sure to fit with "
        f"{'.'.join(loss.migration)}"
        for loss in losses
    )
    return (
        f"{what}. It is part of the primary key, and nothing else can stand there: rows are known "
        "by it. Give these rows other keys, or delete them."
    )


def unseen(losses: Collection[DataLoss]) -> str:
    what = ", ".join(f"{loss} (by {'.'.join(loss.migration)})" for loss in losses)
    return (
        f"{what} would be dropped and can't be kept: the database lists no table of this name. "
        "Save what is in it, and then use --no-stash, which keeps nothing. If it is gone already: "
        "`manage.py migrate --fake`."
    )


def shared(losses: Collection[DataLoss]) -> str:
    what = ", ".join(f"{loss} (by {'.'.join(loss.migration)})" for loss in losses)
    return (
        f"What the target has, too, would be dropped with what is in it: {what}. "
        "Without --no-stash it is kept. If it may go: --roll-back-shared."
    )


def remade(keys: Collection[Key]) -> str:
    names = ", ".join(f"{app}.{name}" for app, name in keys)
    return (
        f"{names} was deleted and made anew, and unapplying it would empty tables that the target "
        "has, too. If their rows may go: --roll-back-shared. If the database is right as it is: "
        "`manage.py migrate --fake` and `manage.py migrate --prune`."
    )


def irreversible(keys: Collection[Key], policy: Irreversible) -> str:
    lines = [f"{app}.{name} can't be unapplied: it has no reverse." for app, name in keys]
    noop = ", or treat RunPython and RunSQL as empty with --irreversible=noop"
    cure = "Leave it applied with --irreversible=keep"
    return "\n".join([*lines, cure + ("" if policy is Irreversible.NOOP else noop) + "."])
