"""
The projects of a repository.

The end of ``hook.sh`` calls one after the other; each is remembered by its directory.
"""

import hashlib
import os
import re
from pathlib import Path

from django_devtools.branches.sources.git import Repository
from django_devtools.branches.sources.loader import Code
from django_devtools.conf import project_root

MIGRATIONS = ":(top,glob)**/migrations/**"

HOME = "django-devtools"
"""What is below git directories is in this one."""
CALLER = "caller.sh"
"""Says how the hooks call a project."""
ASKED = "asked"
"""Is there, for all work trees, once a prompt has asked what the hooks know."""


def project_directory(repository: Repository) -> Path:
    """
    The directory of this project's manage.py, relative to the top of the work tree.

    Whichever settings are chosen, it is the same. Without a manage.py, it is the directory that
    the settings are imported from.
    """
    root = project_root()
    if not root.is_relative_to(repository.top):
        return Path()
    for directory in (root, *root.parents):
        if (directory / "manage.py").is_file():
            return directory.relative_to(repository.top)
        if directory == repository.top:
            break
    return root.relative_to(repository.top)


def pathspecs(repository: Repository, disk: Code) -> list[str]:
    """The pathspecs of all migration files of a repository, on this branch and on others."""
    own = disk.own_directories(repository)
    others = sorted(path.relative_to(repository.top) for path in own if path.name != "migrations")
    return [MIGRATIONS, *(f":(top,literal){path.as_posix()}" for path in others)]


def place(project: Path) -> Path:
    """
    Where git directories have what belongs to a project, by its directory.

    A project at the top has no directory of its own there.
    """
    if project == Path():
        return Path(HOME)
    # Paths may be longer than a name may be, and have what a shell or a file system does not like.
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", project.as_posix())[:40].strip("-")
    digest = hashlib.sha256(os.fsencode(project.as_posix())).hexdigest()[:8]
    return Path(HOME, f"{readable}-{digest}")
