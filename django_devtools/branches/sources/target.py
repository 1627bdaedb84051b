"""Where to go: the code of this checkout, a snapshot, a git ref, or a managestate.json."""

import ast
from collections.abc import Collection, Iterable, Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

from django_devtools.branches.errors import DevtoolsError
from django_devtools.conf import settings_file

from .git import PREVIOUS, Repository
from .graph import Graph
from .history import label_in
from .loader import Code, Source, UnusableSource, load_all, parse
from .provenance import Past, Provenance, recorded_source
from .remembered import LastSwitch
from .rows import local
from .snapshots import DETACHED, Key, Snapshot


class TargetError(DevtoolsError):
    """There is no such target. The text names it and says what could be meant."""


class Target(NamedTuple):
    """The migrations that a database should have. The past explains others that it has."""

    title: str
    past: Past
    code: Code
    unusable: Mapping[Key, UnusableSource] = {}
    """Migrations whose text can't be executed in this checkout."""
    is_complete: bool = True
    """Whether every migration that another depends on should be there."""
    listed_apps: Collection[str] | None = None
    """The apps that a managestate.json lists; None for other targets."""
    since: Collection[Key] | None = None
    """What was applied since, of a target that is just what was there once; None for others."""
    left: Collection[Key] = ()
    """What other branches had left applied there."""

    @property
    def name(self) -> str:
        """What names its code in any checkout."""
        return str(self.past.branch or self.past.commit)


def checkout(repository: Repository | None, disk: Code) -> Target:
    """The code of this checkout."""
    branch, commit = repository.head() if repository else (None, None)
    title = f"branch {branch}" if branch else "this checkout"
    return Target(title, Past(branch, commit), disk)


def named(name: str, provenance: Provenance, rows: Mapping[Key, str]) -> Target:
    """
    The target that ``name`` means: a branch that has a snapshot, or else a git ref.

    "-" is what was checked out before, as git has it.

    Raises TargetError if it is neither, and GitError.
    """
    if name in ("-", PREVIOUS) and provenance.repository:
        name = provenance.repository.previous() or name
    snapshot = provenance.snapshots.get(name)
    if snapshot and name != DETACHED:
        return _from_snapshot(snapshot, provenance, rows)
    return _from_ref(name, provenance)


def before(
    last: LastSwitch | None, alias: str, provenance: Provenance, rows: Mapping[Key, str]
) -> Target:
    """
    What the database ``alias`` had applied before its ``last`` switch.

    Raises TargetError if there was none, or if other migrations were applied or unapplied since.
    """
    if last is None:
        raise TargetError(
            f"No switch of database '{alias}' is recorded, so there is nothing to undo. "
            "`manage.py migrations_status` shows what it has."
        )
    if changes := _changes(last, rows):
        raise TargetError(
            f"Since the switch of {local(last.at)}, something else has changed database "
            f"'{alias}': {changes}. Undoing the switch would take that back, too. "
            f"{_where_to_go(last.before.branch)}"
        )
    snapshot, repository = last.before, provenance.repository
    sources = _recorded_sources(snapshot, provenance, rows)
    branch = None if snapshot.branch == DETACHED else snapshot.branch
    commit = None
    if repository and snapshot.commit:
        commit = repository.commit(snapshot.commit)
    what = f"branch {branch} as it was" if branch else "what it was"
    title = f"{what} before the switch of {local(last.at)}"
    target = _target(title, Past(branch, commit), sources, provenance.disk)
    since = rows.keys() - snapshot.records().keys()
    return target._replace(is_complete=False, since=since, left=last.left)


def _changes(last: LastSwitch, rows: Mapping[Key, str]) -> str:
    """What something else has applied and unapplied since a switch."""
    applied, unapplied = last.changes(rows)
    words = [f"{'.'.join(key)} was applied" for key in sorted(applied)]
    words += [f"{'.'.join(key)} was unapplied" for key in sorted(unapplied)]
    return ", ".join(words)


def _where_to_go(branch: str) -> str:
    if branch == DETACHED:
        return "`manage.py migrations_status` shows what it has now."
    import shlex

    return f"To go where it was before, run `manage.py migrations_switch {shlex.quote(branch)}`."


def managestate(
    name: str, last: Mapping[str, str], provenance: Provenance, held: Code, rows: Mapping[Key, str]
) -> Target:
    """
    The target that a managestate.json has as ``name``: the last migration of each app.

    Raises TargetError if one of them is neither on disk nor applied.
    """
    known = _either(held, provenance.disk)
    ends = {(app, end) for app, end in last.items() if end != "zero"}
    unknown = sorted(f"{app}.{end}" for app, end in ends - known.migrations.keys())
    if unknown:
        raise TargetError(
            f"managestate.json names migrations that are neither on disk nor applied: "
            f"{', '.join(unknown)}. Check out the branch that has them, and run "
            "`manage.py migrations_switch`."
        )
    past = _past_of_state(name, provenance.repository)
    # Apps that the state does not list may be there all the same, unless another branch has them.
    silent_on = (provenance.history.own_apps if past.branch else set()) | last.keys()
    wanted = _up_to(last, ends, known)
    wanted |= {key for key in rows if key[0] not in silent_on}
    migrations = {key: known.migrations[key] for key in wanted & known.migrations.keys()}
    code = Code(migrations, known.packages, known.unmigrated_apps, known.sources)
    return Target(
        f"{name} of managestate.json", past, code, is_complete=False, listed_apps=set(last)
    )


def _either(one: Code, other: Code) -> Code:
    """The migrations of both. Those of ``other`` win."""
    return Code(
        {**one.migrations, **other.migrations},
        {**one.packages, **other.packages},
        other.unmigrated_apps,
        {**one.sources, **other.sources},
    )


def _up_to(last: Mapping[str, str], ends: set[Key], known: Code) -> set[Key]:
    """The migrations of ``known`` that were applied when ``last`` were the last of their apps."""
    graph = Graph(known.migrations, (), known.unmigrated_apps)
    later = graph.descendants(ends) - ends
    found = graph.ancestors(ends)
    for app, name in known.migrations.keys() - later:
        # managestate knows only the last name of each app: what sorts before it was applied, too.
        end = last.get(app, "zero")
        if end != "zero" and name <= end:
            found.add((app, name))
    return found


def _past_of_state(name: str, repository: Repository | None) -> Past:
    if repository is None:
        return Past(None, None)
    if repository.is_branch(name):
        return Past(name, repository.commit(f"refs/heads/{name}"))
    return Past(None, repository.commit())


def _from_ref(name: str, provenance: Provenance) -> Target:
    repository = provenance.repository
    branch = name if repository and repository.is_branch(name) else None
    commit = repository.resolve(name) if repository else None
    if repository is None or commit is None:
        recorded = sorted(provenance.snapshots.keys() - {DETACHED})
        branches = repository.branch_tips() if repository else {}
        raise TargetError(
            f"{name!r} is neither a branch that has a snapshot in this database (these have: "
            f"{', '.join(recorded) or 'none'}) nor a git ref."
            f"{_did_you_mean(name, {*recorded, *branches})} `git branch --all` lists the "
            "branches, and `manage.py migrations_snapshot --list` the snapshots."
        )
    title = f"branch {branch}" if branch else f"{name} ({commit[:10]})"
    sources = _tree_sources(repository, commit, provenance)
    return _target(title, Past(branch, commit), sources, provenance.disk)


def _did_you_mean(name: str, names: Iterable[str]) -> str:
    """In the words of Django and git; empty if nothing is like ``name``."""
    from difflib import get_close_matches  # only for this error

    similar = get_close_matches(name, sorted(names), n=1)
    return f" Did you mean {similar[0]}?" if similar else ""


def _from_snapshot(snapshot: Snapshot, provenance: Provenance, rows: Mapping[Key, str]) -> Target:
    repository, branch = provenance.repository, snapshot.branch
    sources = _recorded_sources(snapshot, provenance, rows)
    commit = None
    if repository and repository.is_branch(branch):
        commit = repository.commit(f"refs/heads/{branch}")
        # The branch may have got migrations since. If they are applied, they are no phantoms.
        sources |= _added_since(repository, commit, provenance, rows.keys() - sources.keys())
    elif repository and snapshot.commit:
        # None again if the commit was garbage and git has collected it.
        commit = repository.commit(snapshot.commit)
    title = f"the snapshot of branch {branch}"
    target = _target(title, Past(branch, commit), sources, provenance.disk)
    # Migrations may depend on some that were obsolete then, and that nothing brings.
    return target._replace(is_complete=False)


def _added_since(
    repository: Repository, tip: str | None, provenance: Provenance, keys: Collection[Key]
) -> dict[Key, Source | None]:
    """Those of ``keys`` that the project itself has at ``tip``."""
    if not tip or not keys:
        return {}
    found = _tree_sources(repository, tip, provenance, keys)
    # None stands for packages. Those are installed here in the version of another branch.
    return {key: source for key, source in found.items() if source}


def _recorded_sources(
    snapshot: Snapshot, provenance: Provenance, rows: Mapping[Key, str]
) -> dict[Key, Source | None]:
    """
    The texts that a snapshot has recorded; from the disk where it has recorded none.

    One that is found nowhere is left out if it is applied. If not, raises TargetError.
    """
    repository, disk = provenance.repository, provenance.disk
    blobs = [record.blob for record in snapshot.applied.values() if record.blob]
    contents = repository.contents(blobs) if repository else {}
    sources: dict[Key, Source | None] = {}
    for key, record in snapshot.applied.items():
        content = contents.get(record.blob or "")
        if content is not None:
            sources[key] = recorded_source(snapshot, key, content)
        elif key in disk.migrations:
            sources[key] = disk.source(key)
        elif key not in rows:
            import shlex

            raise TargetError(
                f"The source of {key[0]}.{key[1]}, which the snapshot of {snapshot.branch!r} "
                f"names, was not found. Run `git checkout {shlex.quote(snapshot.branch)}` and "
                "then `manage.py migrations_switch`."
            )
    return sources


def _target(title: str, past: Past, sources: Mapping[Key, Source | None], disk: Code) -> Target:
    """Load ``sources``, but take those from the disk that are the same there."""
    same = {key: disk.migrations[key] for key in sources if _is_on_disk(key, sources[key], disk)}
    others = {key: source for key, source in sources.items() if source and key not in same}
    migrations, errors = load_all(others)
    packages = {**disk.packages}
    for (app, _), source in others.items():
        packages.setdefault(app, source.package)
    code = Code(same | migrations, packages, disk.unmigrated_apps, others)
    return Target(title, past, code, errors)


def _is_on_disk(key: Key, source: Source | None, disk: Code) -> bool:
    """Whether the disk has ``source``: the same text, or byte code if there is no text."""
    if key not in disk.migrations:
        return False
    if source is None:
        return True
    on_disk = disk.source(key)
    return on_disk is not None and on_disk.content == source.content


def _tree_sources(
    repository: Repository,
    commit: str,
    provenance: Provenance,
    only: Collection[Key] | None = None,
) -> dict[Key, Source | None]:
    """The migrations of ``commit``; None for those of installed packages, which are on disk."""
    installed = [
        key for key in provenance.disk.migrations if key[0] not in provenance.history.own_apps
    ]
    files = _tree_files(repository, commit, provenance)
    if only is not None:
        installed = [key for key in installed if key in only]
        files = {key: file for key, file in files.items() if key in only}
    return {**dict.fromkeys(installed), **_read(files, repository, commit, provenance)}


def _read(
    files: Mapping[Key, "_File"], repository: Repository, commit: str, provenance: Provenance
) -> dict[Key, Source | None]:
    """The texts of ``files``; from the disk where that has the same, so that git reads few."""
    found: dict[Key, Source | None] = {}
    changed = {}
    for key, file in files.items():
        on_disk = provenance.disk.source(key) if key in provenance.disk.migrations else None
        if on_disk and repository.blob_id(on_disk.content) == file.blob:
            found[key] = on_disk
        else:
            changed[key] = file
    contents = repository.contents(file.blob for file in changed.values())
    for key, file in changed.items():
        if file.blob not in contents:
            command = repository.completion() or "git fsck"
            raise TargetError(
                f"Git lacks the text of {'.'.join(key)} at {commit[:10]}. Run `{command}`, and "
                "then `manage.py migrations_switch` again."
            )
        module = provenance.history.module(file.path)
        found[key] = Source(module, contents[file.blob], "history", None, commit)
    return found


class _File(NamedTuple):
    path: PurePosixPath
    blob: str


def _tree_files(repository: Repository, commit: str, provenance: Provenance) -> dict[Key, _File]:
    """The files of ``commit`` that are migrations of the project's own apps."""
    labels = {
        PurePosixPath(directory.relative_to(repository.top).as_posix()): app
        for app, directory in provenance.disk.directories().items()
        if app in provenance.history.own_apps
    }
    files = repository.files(commit)
    labels |= _foreign_apps(repository, commit, files, labels)
    found = {}
    for path, blob in files.items():
        label = labels.get(path.parent)
        # Django's loader takes no file for a migration whose name begins with one of these.
        if label and path.stem[0] not in "_~":
            found[label, path.stem] = _File(path, blob)
    return found


def _foreign_apps(
    repository: Repository,
    commit: str,
    files: Collection[PurePosixPath],
    known: Collection[PurePosixPath],
) -> dict[PurePosixPath, str]:
    """
    The migrations directories of ``commit`` whose apps are installed there and not here.

    Nothing of that commit is run: its settings are read for the names of apps.
    """
    candidates = {path.parent for path in files if _is_migrations_package(path)}
    candidates -= set(known)
    if not candidates:
        return {}
    mentioned = _strings_in_settings(repository, commit, files)
    # INSTALLED_APPS names an app or its AppConfig.
    mentioned |= {name.rpartition(".apps.")[0] for name in mentioned}
    found = {}
    for directory in candidates:
        if mentioned & _dotted_names(directory.parent):
            apps_py = f"{commit}:{directory.parent / 'apps.py'}"
            content = repository.contents([apps_py]).get(apps_py, b"")
            found[directory] = label_in(content) or directory.parent.name
    return found


def _is_migrations_package(path: PurePosixPath) -> bool:
    return path.name == "__init__.py" and path.parent.name == "migrations" and len(path.parts) > 2


def _dotted_names(directory: PurePosixPath) -> set[str]:
    """The names that an app may have: the root of the imports is any directory above it."""
    parts = directory.parts
    return {".".join(parts[start:]) for start in range(len(parts))}


def _strings_in_settings(
    repository: Repository, commit: str, files: Collection[PurePosixPath]
) -> set[str]:
    settings = settings_file()
    if settings is None or not settings.is_relative_to(repository.top):
        return set()
    directory = PurePosixPath(settings.parent.relative_to(repository.top).as_posix())
    names = [f"{commit}:{path}" for path in files if path.parent == directory]
    strings = set()
    for content in repository.contents(names).values():
        try:
            tree = parse(content)
        except UnusableSource:
            continue
        strings |= {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
    return strings
