from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db.backends.base.base import BaseDatabaseWrapper

from django_devtools.branches.decision import Workspace
from django_devtools.branches.planning.classify import State
from django_devtools.branches.planning.comparison import compare
from django_devtools.branches.planning.recording import snapshot_of
from django_devtools.branches.schema.dialects import database_id
from django_devtools.branches.schema.tenants import name_of
from django_devtools.branches.sources.rows import local
from django_devtools.branches.sources.snapshots import Key, Snapshot, check_name
from django_devtools.management.base import BranchesCommand
from django_devtools.management.tenants import work_for_all


class Command(BranchesCommand):
    help = (
        "Records which migrations a branch has applied in the databases, and from which sources."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "branch",
            nargs="?",
            metavar="BRANCH",
            help="The name of the snapshot. Defaults to the branch that is checked out.",
        )
        parser.add_argument("--list", action="store_true", help="Lists the snapshots.")
        parser.add_argument("--delete", metavar="BRANCH", help="Deletes the snapshot of a branch.")
        parser.add_argument(
            "--accept",
            action="store_true",
            help="Records edited migrations as applied in their present form.",
        )
        parser.add_argument("--json", action="store_true", help="Outputs JSON.")

    def work(self, options: dict[str, Any]) -> None:
        workspace = self.workspace(options)
        work_for_all(self, options, lambda: self._work(workspace, options))

    def _work(self, workspace: Workspace, options: dict[str, Any]) -> None:
        connections = self.connections(options)
        if options["list"]:
            self._list(workspace, connections, options["json"])
        elif options["delete"] is not None:
            self._delete(workspace, connections, options["delete"])
        else:
            taken = [(c, self._take(workspace, c, options)) for c in connections]
            if options["json"]:
                self._print_json(taken)

    def _take(
        self, workspace: Workspace, connection: BaseDatabaseWrapper, options: dict[str, Any]
    ) -> Snapshot:
        repository = workspace.repository
        current = repository.branch() if repository else None
        branch = check_name(options["branch"] or current or self._no_name(workspace))
        found = compare(connection, repository, workspace.snapshot_file, workspace.disk)
        states = found.states()
        left_out = [key for key, state in states.items() if state is State.PHANTOM]
        if branch != current:
            # The name was given by hand: it is for all that is applied.
            states = {**states, **dict.fromkeys(left_out, State.APPLIED)}
            left_out = []
        snapshot, texts = snapshot_of(found, branch, found.rows, states, options["accept"])
        if repository:
            repository.store(texts)
        workspace.snapshot_file.update(database_id(connection), [snapshot])
        self._notice_gaps(workspace, branch, left_out)
        if self.verbosity >= 1 and not options["json"]:
            count = self.style.SUCCESS(f"{len(snapshot.applied)} migrations")
            self.stdout.write(f"Snapshot of {branch} in database '{connection.alias}': {count}")
        return snapshot

    def _notice_gaps(self, workspace: Workspace, branch: str, left_out: list[Key]) -> None:
        """Say what the snapshot does not have."""
        if workspace.repository is None:
            why = "Git can't be run" if self.lacks_git else "There is no git repository"
            fix = "make git available" if self.lacks_git else "run `git init`"
            self.notice(
                f"{why}, so the snapshot has the names of the migrations but "
                "not their sources: they can only be unapplied as long as their files exist. To "
                f"record sources, {fix} and take the snapshot again."
            )
        if left_out:
            names = ", ".join(f"{app}.{name}" for app, name in left_out)
            self.notice(
                f"Left out, because they are not part of {branch}: {names}. "
                "`manage.py migrations_switch` unapplies them."
            )

    def _no_name(self, workspace: Workspace) -> str:
        if workspace.repository:
            raise CommandError(
                "HEAD is detached, so the snapshot needs a name: "
                "`manage.py migrations_snapshot NAME`."
            )
        why = "Git can't be run" if self.lacks_git else "There is no git repository"
        raise CommandError(
            f"{why} to take the name of the branch from. Give the snapshot a "
            "name: `manage.py migrations_snapshot NAME`."
        )

    def _list(
        self, workspace: Workspace, connections: list[BaseDatabaseWrapper], as_json: bool
    ) -> None:
        snapshots = workspace.snapshot_file.read()
        found = [
            (connection, snapshot)
            for connection in connections
            for _, snapshot in sorted(snapshots.get(database_id(connection), {}).items())
        ]
        if as_json:
            self._print_json(found)
            return
        if not found:
            self.stdout.write("No snapshots. `manage.py migrations_snapshot` takes one.")
            return
        current = workspace.repository.branch() if workspace.repository else None
        for connection, snapshot in found:
            is_current = snapshot.branch == current
            what = (
                f": {len(snapshot.applied):,} migrations in database '{connection.alias}'"
                f"{f', at {snapshot.commit[:10]}' if snapshot.commit else ''}"
                f", {local(snapshot.taken)}"
            )
            mark = "* " if is_current else "  "
            line = mark + self.shortened(snapshot.branch, len(mark + what)) + what
            self.stdout.write(self.style.SUCCESS(line) if is_current else line)

    def _delete(
        self, workspace: Workspace, connections: list[BaseDatabaseWrapper], branch: str
    ) -> None:
        snapshots = workspace.snapshot_file.read()
        having = [c for c in connections if branch in snapshots.get(database_id(c), {})]
        if not having:
            raise CommandError(
                f"There is no snapshot of {branch!r}. `manage.py migrations_snapshot --list` "
                "lists those there are."
            )
        for connection in having:
            workspace.snapshot_file.update(database_id(connection), delete=branch)
            if self.verbosity >= 1:
                self.stdout.write(
                    f"Deleted the snapshot of {branch} in database '{connection.alias}'."
                )

    def _print_json(self, found: list[tuple[BaseDatabaseWrapper, Snapshot]]) -> None:
        rows = [
            {
                "database": name_of(connection),
                "branch": snapshot.branch,
                "commit": snapshot.commit,
                "taken": snapshot.taken,
                "migrations": [
                    {"app": app, "name": name, "blob": record.blob}
                    for (app, name), record in sorted(snapshot.applied.items())
                ],
            }
            for connection, snapshot in found
        ]
        self.print_json(rows)
