"""Where to go: the code of this checkout, a snapshot, a git ref, or a managestate.json."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from django_devtools.branches.errors import DevtoolsError
from django_devtools.conf import settings_file

from .git import Repository
from .loader import Code, Graph, Source, UnusableSource, load_or_outline
from .provenance import Past, Provenance, label_in
from .snapshots import DETACHED, Key, Snapshot


class TargetError(DevtoolsError):
    """There is no such target; the text names it and what could be meant."""


@dataclass
class Target:
    """The migrations that a database should have, and whose past explains others it has."""

    title: str
    past: Past
    code: Code
    unusable: dict[Key, UnusableSource] = field(default_factory=dict)
    """Migrations whose text can't be executed in this checkout."""
    is_complete: bool = True
    """Whether every migration that another depends on should be there."""
    listed_apps: set[str] | None = None
    """The apps that a managestate.json lists; None for other targets."""


def checkout(repository: Repository | None, disk: Code) -> Target:
    """The code of this checkout."""
    branch, commit = repository.head() if repository else (None, None)
    title = f"branch {branch}" if branch else "this checkout"
    # A copy, as what a database holds may add to it.
    return Target(title, Past(branch, commit), replace(disk, migrations=dict(disk.migrations)))


def named(name: str, history: Provenance, rows: Mapping[Key, str]) -> Target:
    """
    The target that ``name`` means: a branch that has a snapshot, else a git ref.

    Raises TargetError when it is neither.
    """
    snapshot = history.snapshots.get(name)
    if snapshot and name != DETACHED:
        return _from_snapshot(snapshot, history, rows)
    repository = history.repository
    branch = name if repository and repository.is_branch(name) else None
    ref = f"refs/heads/{name}" if branch else name
    commit = repository.commit(ref) if repository else None
    if repository is None or commit is None:
        known = ", ".join(sorted(history.snapshots.keys() - {DETACHED})) or "none"
        raise TargetError(
            f"{name!r} is neither a branch that has a snapshot in this database (these have: "
            f"{known}) nor a git ref. `git branch --all` lists the branches, and "
            "`manage.py migrations_snapshot --list` the snapshots."
        )
    title = f"branch {branch}" if branch else f"{name} ({commit[:10]})"
    sources = _tree_sources(repository, commit, history)
    return _target(title, Past(branch, commit), sources, history.disk)


def managestate(
    name: str, last: Mapping[str, str], history: Provenance, held: Code, rows: Mapping[Key, str]
) -> Target:
    """
    What a managestate.json holds as ``name``: the last migration of each app.

    Raises TargetError when one of them is neither on disk nor applied.
    """
    known = Code(
        {**held.migrations, **history.disk.migrations},
        {**held.packages, **history.disk.packages},
        history.disk.unmigrated_apps,
        {**held.sources, **history.disk.sources},
    )
    graph = Graph(known.migrations, (), known.unmigrated_apps)
    ends = {(app, end) for app, end in last.items() if end != "zero"}
    lost = sorted(f"{app}.{end}" for app, end in ends if (app, end) not in known.migrations)
    if lost:
        raise TargetError(
            f"managestate.json names migrations that are neither on disk nor applied: "
            f"{', '.join(lost)}. Check out the branch that has them, and run "
            "`manage.py migrations_switch`."
        )
    later = graph.descendants(ends) - ends
    wanted = graph.ancestors(ends)
    # managestate writes down only the last name of each app: what sorts before it was applied too.
    wanted |= {
        (app, n)
        for app, n in known.migrations
        if n <= last.get(app, "") != "zero" and (app, n) not in later
    }
    repository = history.repository
    past = Past(None, repository.commit() if repository else None)
    if repository and repository.is_branch(name):
        past = Past(name, repository.commit(f"refs/heads/{name}"))
    # What the state doesn't speak of may be there all the same, but for apps of other branches.
    others = history.own_apps if past.branch else set()
    wanted |= {key for key in rows if key[0] not in last and key[0] not in others}
    code = Code(
        {key: known.migrations[key] for key in wanted & set(known.migrations)},
        known.packages,
        known.unmigrated_apps,
        known.sources,
    )
    return Target(
        f"{name} of managestate.json", past, code, is_complete=False, listed_apps=set(last)
    )


def _from_snapshot(snapshot: Snapshot, history: Provenance, rows: Mapping[Key, str]) -> Target:
    repository, disk = history.repository, history.disk
    names = {key: record.blob for key, record in snapshot.applied.items() if record.blob}
    contents = repository.contents(names.values()) if repository else {}
    sources: dict[Key, Source | None] = {}
    for key in snapshot.applied:
        content = contents.get(names.get(key, ""))
        package = snapshot.packages.get(key[0], f"{key[0]}.migrations")
        if content is not None:
            sources[key] = Source(
                f"{package}.{key[1]}", content, "snapshot", snapshot.branch, snapshot.commit
            )
        elif key in disk.migrations:
            sources[key] = disk.source(key)
        elif key not in rows:
            raise TargetError(
                f"The source of {key[0]}.{key[1]}, which the snapshot of {snapshot.branch!r} "
                f"names, is lost. Run `git checkout {snapshot.branch}` and then "
                "`manage.py migrations_switch`."
            )
    past = Past(snapshot.branch, None)
    if repository and snapshot.commit:
        # None again where the commit was garbage and is gone.
        past = Past(snapshot.branch, repository.commit(snapshot.commit))
    if repository and repository.is_branch(snapshot.branch):
        # The branch may have gone on since: what it has and the database too is no phantom.
        tip = repository.commit(f"refs/heads/{snapshot.branch}")
        past = Past(snapshot.branch, tip)
        newer = {key for key in rows if key not in sources}
        if tip and newer:
            # But for packages: those are here in the version of another branch.
            found = _tree_sources(repository, tip, history, newer)
            sources |= {key: source for key, source in found.items() if source}
    target = _target(f"the snapshot of branch {snapshot.branch}", past, sources, disk)
    # What was obsolete then may have left dependencies that nothing satisfies.
    target.is_complete = False
    return target


def _target(title: str, past: Past, sources: Mapping[Key, Source | None], disk: Code) -> Target:
    """Load ``sources``, taking over from the disk what is the same there."""
    code = Code({}, dict(disk.packages), disk.unmigrated_apps)
    target = Target(title, past, code)
    for key, source in sources.items():
        on_disk = disk.source(key) if key in disk.migrations else None
        if source is None or (on_disk and on_disk.content == source.content):
            if key in disk.migrations:
                code.migrations[key] = disk.migrations[key]
            continue
        code.sources[key] = source
        code.packages.setdefault(key[0], source.package)
        code.migrations[key], error = load_or_outline(key, source)
        if error:
            target.unusable[key] = error
    return target


def _tree_sources(
    repository: Repository, commit: str, history: Provenance, only: set[Key] | None = None
) -> dict[Key, Source | None]:
    """The migrations of ``commit``; those of installed packages as they are on disk."""
    disk = history.disk
    directories = {
        directory.relative_to(repository.top).as_posix(): app
        for app, directory in disk.directories().items()
        if app in history.own_apps
    }
    found: dict[Key, Source | None] = {
        key: None for key in disk.migrations if key[0] not in history.own_apps
    }
    files = repository.files(commit)
    foreign = _foreign_apps(repository, commit, set(files), set(directories))
    changed: dict[Key, tuple[PurePosixPath, str]] = {}
    for path, blob in files.items():
        label = directories.get(str(path.parent)) or foreign.get(path.parent)
        if label and path.stem[0] not in "_~":
            key = (label, path.stem)
            on_disk = disk.source(key) if key in disk.migrations else None
            found[key] = on_disk
            if on_disk is None or repository.blob_id(on_disk.content) != blob:
                changed[key] = (path, blob)
    if only is not None:
        found = {key: found[key] for key in found.keys() & only}
        changed = {key: changed[key] for key in changed.keys() & only}
    contents = repository.contents(blob for _, blob in changed.values())
    for key, (path, blob) in changed.items():
        found[key] = Source(history.module(path), contents[blob], "history", None, commit)
    return found


def _foreign_apps(
    repository: Repository, commit: str, files: set[PurePosixPath], known: set[str]
) -> dict[PurePosixPath, str]:
    """
    The migrations directories of ``commit`` whose apps are installed there and not here.

    Nothing of that commit is run: its settings are read for the names of apps.
    """
    candidates = {
        path.parent
        for path in files
        if path.name == "__init__.py" and path.parent.name == "migrations"
        if str(path.parent) not in known and len(path.parts) > 2
    }
    if not candidates:
        return {}
    mentioned = _strings_in_settings(repository, commit, files)
    found = {}
    for directory in candidates:
        parts = directory.parent.parts
        dotted = {".".join(parts[start:]) for start in range(len(parts))}
        if any(name in dotted or name.rpartition(".apps.")[0] in dotted for name in mentioned):
            apps_py = f"{commit}:{directory.parent / 'apps.py'}"
            content = repository.contents([apps_py]).get(apps_py, b"")
            found[directory] = label_in(content) or directory.parent.name
    return found


def _strings_in_settings(
    repository: Repository, commit: str, files: set[PurePosixPath]
) -> set[str]:
    settings = settings_file()
    if settings is None or not settings.is_relative_to(repository.top):
        return set()
    directory = PurePosixPath(settings.parent.relative_to(repository.top).as_posix())
    names = [f"{commit}:{path}" for path in files if path.parent == directory]
    strings = set()
    for content in repository.contents(names).values():
        try:
            tree = ast.parse(content)
        except (SyntaxError, ValueError):
            continue
        strings |= {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
    return strings
