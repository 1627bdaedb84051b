"""What many tests begin with, made once in a session and copied from then on."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from tests.project import MEASURE, Project

Maker = Callable[..., None]


def made_once(make: Maker) -> Maker:
    """
    Have a function that fills a project copy what it made before, which takes a tenth of the time.

    A copy is for a new project that consists of files alone; any other is filled as before.
    """

    @wraps(make)
    def copy_or_make(project: Project, *arguments: Any, **options: Any) -> None:
        if not (is_all_files(project) and project.is_new()):
            make(project, *arguments, **options)
            return
        # Tests that are measured make one of their own, which is measured as well.
        what = (make.__module__, make.__qualname__, MEASURE in os.environ)
        call = repr((*what, [*project.databases], arguments, options))
        template = project.zygote.directory / hashlib.sha256(call.encode()).hexdigest()
        if template.exists():
            paste(template, project)
        else:
            make(project, *arguments, **options)
            copy(project, template)

    return copy_or_make


def is_all_files(project: Project) -> bool:
    """Whether it has a repository of its own, and databases of SQLite, wherever it is."""
    return (
        type(project) is Project
        and (project.path / ".git").is_dir()
        and all(
            configuration["ENGINE"].endswith("sqlite3") and file.is_absolute()
            for file, configuration in zip(files(project), project.databases.values(), strict=True)
        )
    )


def files(project: Project) -> list[Path]:
    """Its databases."""
    return [Path(configuration["NAME"]) for configuration in project.databases.values()]


def copy(project: Project, template: Path) -> None:
    shutil.copytree(project.path, template / "project", symlinks=True)
    (template / "environment").write_text(json.dumps(project.environment))
    for number, file in enumerate(files(project)):
        (template / f"name{number}").write_text(str(file))
        if file.exists():
            shutil.copy(file, template / f"database{number}")


def paste(template: Path, project: Project) -> None:
    shutil.rmtree(project.path)
    shutil.copytree(template / "project", project.path, symlinks=True)
    project.environment |= json.loads((template / "environment").read_text())
    snapshots = project.path / ".git/django-devtools/snapshots.json"
    for number, file in enumerate(files(project)):
        copied = template / f"database{number}"
        if copied.exists():
            shutil.copy(copied, file)
        if snapshots.exists():
            # They name the database that they belong to.
            name = (template / f"name{number}").read_text()
            snapshots.write_text(snapshots.read_text().replace(name, str(file)))
