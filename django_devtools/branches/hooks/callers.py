"""How the hooks call the manage.py of each project: files that ``hook.sh`` reads."""

import shlex
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from django_devtools.branches.files import read_text, write_aside
from django_devtools.branches.hooks.projects import CALLER, HOME, place, project_directory
from django_devtools.branches.sources.git import Repository

OF_ALL = "django-devtools.manage"
"""The setting of the project at the top, or else for all that have none of their own."""
WRITTEN = "# Written by `manage.py migrations_hook install`.\n"


class Caller(NamedTuple):
    """How the hooks call manage.py, unless a setting of git says it: see ``Callers.command``."""

    python: Path
    script: Path
    """The path of manage.py, relative to the top of the work tree."""
    settings: str = ""
    """The option that names the settings; empty if manage.py names these itself."""
    pythonpath: str = ""
    """The option that adds a directory to the search path; empty if none is needed."""
    programs: str = ""
    """The PATH of the terminal of ``install``, for what the hooks don't find in their own."""

    @property
    def options(self) -> list[str]:
        return [*filter(None, (self.settings, self.pythonpath))]

    @property
    def variables(self) -> list[str]:
        """What has the same effect as the options, in the environment."""
        named = (("DJANGO_SETTINGS_MODULE", self.settings), ("PYTHONPATH", self.pythonpath))
        return [f"{name}={one.partition('=')[2]}" for name, one in named if one]


class Callers:
    """The callers of this project, and of the others in the repository."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.project = project_directory(repository)

    def own(self) -> Caller | None:
        """How the hooks call this project; None if they don't."""
        values = _values(read_text(self._file))
        if not values and _directory(self._earlier()) == self.project:
            values = self._earlier()
        if not {"python", "script"} <= values.keys():
            return None
        settings, pythonpath = (
            "".join(shlex.split(values.get(f"{name}_option", "")))
            for name in ("settings", "pythonpath")
        )
        python, script = Path(values["python"]), Path(values["script"])
        return Caller(python, script, settings, pythonpath, values.get("programs", ""))

    def is_current(self) -> bool:
        """Whether this version has written how this project is called."""
        return self._file.exists()

    def others(self) -> list[str]:
        """The directories of the other projects that the hooks call."""
        return sorted(values["directory"] for values in self._others().values())

    def forget_gone(self) -> dict[str, str]:
        """
        Have the hooks no longer call other projects that are on no branch any more.

        Their scripts, by their directories. Raises GitError and OSError.
        """
        gone = {}
        for file, values in self._others().items():
            directory, script = values["directory"], PurePosixPath(values.get("script", "."))
            if not self._command_of(directory) and self._is_gone(script):
                file.unlink()
                gone[directory] = str(script)
        return gone

    def command(self) -> str | None:
        """What a setting of git has the hooks call instead, if there is one."""
        return self._command_of(self.project.as_posix())

    @property
    def setting(self) -> str:
        """The name of that setting, which leaves projects in other directories alone."""
        return _setting(self.project.as_posix())

    def write(self, caller: Caller, specs: Sequence[str]) -> None:
        """Have the hooks call this project. Raises OSError."""
        values = {
            "directory": self.project.as_posix(),
            "python": str(caller.python),
            # `cd` looks up a path that begins with a name in CDPATH.
            "script": f"./{caller.script.as_posix()}",
            "settings_option": shlex.join(filter(None, [caller.settings])),
            "pythonpath_option": shlex.join(filter(None, [caller.pythonpath])),
            "programs": caller.programs,
            "pathspecs": shlex.join(specs),
        }
        write_aside(self._file, _text(values))

    def remove(self) -> bool:
        """Have the hooks no longer call this project. Whether they did. Raises OSError."""
        was_there = self._file.exists()
        self._file.unlink(missing_ok=True)
        return was_there

    def keep_earlier(self) -> None:
        """
        Give what the hooks of an earlier version call a file of its own. Raises OSError.

        That version knew one project, and had it in ``hook.sh`` itself.
        """
        earlier = self._earlier()
        directory = _directory(earlier)
        if directory is not None:
            file = self.repository.common_dir / place(directory) / CALLER
            write_aside(file, _text({"directory": directory.as_posix()} | earlier))

    @property
    def script(self) -> Path:
        """The script that all hooks call, in every work tree."""
        return self.repository.common_dir / HOME / "hook.sh"

    @property
    def _file(self) -> Path:
        return self.repository.common_dir / place(self.project) / CALLER

    def _files(self) -> list[Path]:
        home = self.repository.common_dir / HOME
        return [home / CALLER, *home.glob(f"*/{CALLER}")]

    def _others(self) -> dict[Path, dict[str, str]]:
        found = {file: _values(read_text(file)) for file in self._files() if file != self._file}
        return {file: values for file, values in found.items() if "directory" in values}

    def _command_of(self, directory: str) -> str | None:
        setting = _setting(directory)
        own = self.repository.config(setting)
        is_that_of_the_top = (self.repository.common_dir / HOME / CALLER).exists()
        return own if own or is_that_of_the_top else self.repository.config(OF_ALL)

    def _is_gone(self, script: PurePosixPath) -> bool:
        if (self.repository.top / script).exists():
            return False
        tips = self.repository.branch_tips().values()
        return not self.repository.contents(f"{tip}:{script}" for tip in tips)

    def _earlier(self) -> dict[str, str]:
        header, _, _ = read_text(self.script).partition("\n\n")
        return _values(header)


def _setting(directory: str) -> str:
    return OF_ALL if directory == "." else f"django-devtools.{directory}.manage"


def _directory(values: dict[str, str]) -> Path | None:
    """The directory of the project that the hooks of an earlier version call."""
    return Path(values["script"]).parent if "script" in values else None


def _text(values: dict[str, str]) -> str:
    return WRITTEN + "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


def _values(text: str) -> dict[str, str]:
    """What a shell makes of assignments; nothing if somebody has broken them."""
    try:
        words = shlex.split(text, comments=True)
    except ValueError:
        return {}
    return dict(word.split("=", 1) for word in words if "=" in word)
