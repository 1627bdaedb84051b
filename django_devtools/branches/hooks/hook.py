"""The git hooks that keep the databases in step with the branch: written and removed."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from functools import cached_property
from pathlib import Path

from django_devtools.branches.files import read_text, write_aside
from django_devtools.branches.hooks.block import (
    BEGIN,
    END,
    HookError,
    block,
    put_block,
    remove_block,
    without_block,
)
from django_devtools.branches.hooks.callers import Caller, Callers
from django_devtools.branches.hooks.projects import ASKED
from django_devtools.branches.hooks.tools import (
    LEFTHOOK,
    TOOLS,
    Tool,
    is_huskys,
    is_pre_commits,
    writer,
)
from django_devtools.branches.sources.git import Repository

NAMES = ("post-checkout", "post-merge", "post-rewrite")
SCRIPT = Path(__file__).with_name("hook.sh")
PROMPT = Path(__file__).with_name("prompt.sh")
INSTALL = "Run `manage.py migrations_hook install`."
# Settings name the installed apps, those of packages included, and where their migrations are.
SETTINGS = (":(top,glob)**/settings*.py", ":(top,glob)**/settings/**")


class Condition(Enum):
    """The state of an installed hook."""

    INSTALLED = "installed"
    OUTDATED = "outdated"
    MISSING = "not installed"

    @property
    def is_installed(self) -> bool:
        return self is Condition.INSTALLED


class Hooks:
    """The hooks of a repository, as one of its projects has them."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.callers = Callers(repository)

    def install(self, caller: Caller, specs: Sequence[str]) -> list[str]:
        """
        Write the hooks, and have them call this project. Existing hooks stay, and run first.

        ``specs`` are those of ``pathspecs``. Returns what is left to be done by hand. Raises
        GitError, and HookError where a file can't be written.
        """
        with _writing("install"):
            self.callers.keep_earlier()
            self.callers.write(caller, [*specs, *SETTINGS])
            write_aside(self.callers.script, SCRIPT.read_text("utf-8"))
            write_aside(self._prompt, PROMPT.read_text("utf-8"))
            notes = [
                note
                for tool in TOOLS
                if (held := [name for name in NAMES if self._holder(name) is tool])
                for note in self._add_to(tool, held)
            ]
            for name in NAMES:
                if self._writer(name) is None:
                    self._install(name)
                else:
                    remove_block(self.directory / name, name)
            self._exclude()
            return notes + self._to_commit()

    def uninstall(self) -> bool:
        """
        Have the hooks no longer call this project. Whether they did.

        With the last project, the hooks are removed. Raises GitError, and HookError where a file
        can't be written.
        """
        with _writing("uninstall"):
            self.callers.keep_earlier()
            was_called = self.callers.remove()
            if self.callers.others():
                return was_called
            found = [self._uninstall(name) for name in NAMES]
            for tool in TOOLS:
                _take_entries(self.repository.top, tool)
            self._include()
            self.callers.script.unlink(missing_ok=True)
            self._prompt.unlink(missing_ok=True)
            self._prompt.with_name(ASKED).unlink(missing_ok=True)
            return was_called or any(found)

    def forget_gone(self, action: str) -> dict[str, str]:
        """
        Have the hooks no longer call projects that are gone: see ``Callers.forget_gone``.

        Raises GitError, and HookError, which names the ``action``, where a file can't be removed.
        """
        with _writing(action):
            return self.callers.forget_gone()

    @property
    def _prompt(self) -> Path:
        """The script that prompts and editors call."""
        return self.callers.script.with_name(PROMPT.name)

    def conditions(self) -> dict[str, Condition]:
        """The state of each hook, by its name, as this project has it."""
        if self.callers.own() is None:
            return dict.fromkeys(NAMES, Condition.MISSING)
        return {name: self._condition(name) for name in NAMES}

    def trouble(self) -> tuple[str, str] | None:
        """
        What keeps git from calling hooks that were installed, and what to do.

        As when `git clean -fdx` has taken away what other tools have written, or what git ignores.
        """
        if self.callers.own() is None:
            return None
        if self.is_unwritten:
            words = (
                f"Git calls no hooks: it looks for them in {self.directory}, which is not there."
            )
            husky = "Run `npm install` or `npx husky`, so that husky writes it, and then"
            return words, f"{husky} {INSTALL[4:]}"
        conditions = self.conditions()
        # Other tools write hooks, too, and may have overwritten ours.
        lost = [name for name in conditions if conditions[name] is Condition.MISSING]
        if lost:
            words = f"no longer call django_devtools: {', '.join(lost)}{self._written_by(lost)}."
        elif Condition.OUTDATED in conditions.values():
            words = "are not those of this version."
        else:
            return None
        return f"The git hooks in {self.place} {words}", INSTALL

    def _written_by(self, names: Iterable[str]) -> str:
        tools = sorted({tool for name in names if (tool := self.owner(name))})
        return f", which {' and '.join(tools)} has written" if tools else ""

    def owner(self, name: str) -> str | None:
        """The tool that writes a hook, if another one does."""
        if is_huskys(self.directory):
            return "husky"
        if is_pre_commits(read_text(self.directory / name)):
            return "pre-commit"
        tool = self._holder(name)
        return tool.name if tool else None

    def path(self, name: str) -> Path:
        """The file that git, or the tool that owns the hooks, calls and that we write into."""
        if is_pre_commits(read_text(self.place / name)):
            return self.place / f"{name}.legacy"
        return self.place / name

    @cached_property
    def directory(self) -> Path:
        """Where git looks for hooks."""
        return self.repository.hooks_dir()

    @property
    def place(self) -> Path:
        """Where ours are: there, or where the tool that writes those keeps what they call."""
        return self.directory.parent if is_huskys(self.directory) else self.directory

    @property
    def is_unwritten(self) -> bool:
        """Whether git finds no hooks at all, as husky has yet to write the directory of them."""
        return is_huskys(self.directory) and not self.directory.is_dir()

    def _writer(self, name: str) -> Tool | None:
        """The tool that has written what git calls, in which no line of ours would last."""
        return writer(read_text(self.directory / name))

    def _holder(self, name: str) -> Tool | None:
        """The same, or a tool that will write it the next time that it is run."""
        if tool := self._writer(name):
            return tool
        return LEFTHOOK if LEFTHOOK.names(self.repository.top, name) else None

    def _condition(self, name: str) -> Condition:
        text = read_text(self.path(name))
        tool = self._writer(name)
        if self.is_unwritten:
            return Condition.MISSING
        if tool and tool.calls_us(self.repository.top, name):
            is_current = True
        elif BEGIN not in text:
            return Condition.MISSING
        else:
            is_current = block(name) in text
        is_current = is_current and self.callers.is_current() and self._has_current_script()
        return Condition.INSTALLED if is_current else Condition.OUTDATED

    def _has_current_script(self) -> bool:
        return read_text(self.callers.script) == SCRIPT.read_text("utf-8")

    def _add_to(self, tool: Tool, names: list[str]) -> list[str]:
        """Have a tool call our hooks. What is left to be done by hand."""
        top = self.repository.top
        missing = [name for name in names if not tool.calls_us(top, name)]
        if missing and tool.has_room(top, names):
            local = top / tool.local
            text = without_block(read_text(local))
            write_aside(local, f"{_ended(text)}{BEGIN}\n{tool.entries(names)}{END}\n")
        elif missing:
            commands = tool.commands(missing)
            then = f", and run `{commands}`" if commands else ""
            note = (
                f"{tool.name} writes {', '.join(missing)}. To have it call ours, add to "
                f"{tool.files[0]}{then}:\n\n{tool.entries(missing).rstrip()}"
            )
            return [note]
        if any(self._writer(name) is not tool for name in names):
            return [f"To have {tool.name} write the hooks, run `{tool.afterwards}`."]
        return []

    def _install(self, name: str) -> None:
        # husky calls them with `sh`, whatever their mode is.
        put_block(self.path(name), name, runs_anyway=is_huskys(self.directory))

    def _uninstall(self, name: str) -> bool:
        # What an earlier version wrote into a hook of pre-commit is still there.
        paths = {self.directory / name, self.path(name)}
        found = [remove_block(path, name) for path in paths]
        return any(found)

    def _exclude(self) -> None:
        """
        Keep git from taking what we wrote among the files of the project for new ones.

        If it were committed on one branch, a checkout of another would remove it.
        """
        known = read_text(self._exclusions)
        ours = [path for path in self._in_work_tree() if BEGIN in read_text(path)]
        new = [f"{one}\n" for one in self._patterns(ours) if one not in known.splitlines()]
        if new:
            write_aside(self._exclusions, _ended(known) + "".join(new))

    def _include(self) -> None:
        known = read_text(self._exclusions)
        ours = {f"{pattern}\n" for pattern in self._patterns(self._in_work_tree())}
        left = [line for line in known.splitlines(keepends=True) if line not in ours]
        if "".join(left) != known:
            write_aside(self._exclusions, "".join(left))

    @property
    def _exclusions(self) -> Path:
        """What git ignores in this clone alone."""
        return self.repository.common_dir / "info" / "exclude"

    def _patterns(self, paths: Iterable[Path]) -> list[str]:
        return [f"/{path.relative_to(self.repository.top).as_posix()}" for path in paths]

    def _in_work_tree(self) -> list[Path]:
        """What we may write among the files of the project."""
        top, common_dir = self.repository.top, self.repository.common_dir
        paths = [*map(self.path, NAMES), *(top / tool.local for tool in TOOLS if tool.local)]
        return [
            path
            for path in paths
            if path.is_relative_to(top) and not path.is_relative_to(common_dir)
        ]

    def _to_commit(self) -> list[str]:
        """What to do about files of the project that other branches have without our lines."""
        changed = self.repository.changed(self._in_work_tree())
        if not changed:
            return []
        note = (
            f"Commit our lines in {', '.join(changed)} on all branches, or a checkout takes them "
            "away. They do nothing for those who have not run `manage.py migrations_hook install`."
        )
        return [note]


@contextmanager
def _writing(action: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HookError(
            f"{error.filename} can't be written: {error.strerror}. Once that is fixed, run "
            f"`manage.py migrations_hook {action}` again."
        ) from None


def _take_entries(top: Path, tool: Tool) -> None:
    """Remove what we wrote for a tool."""
    path = top / tool.local
    text = read_text(path) if tool.local else ""
    if BEGIN in text:
        left = without_block(text)
        if left.strip():
            write_aside(path, left, path.stat().st_mode)
        else:
            path.unlink()


def _ended(text: str) -> str:
    """A text to which a line can be added."""
    return text if text.endswith("\n") or not text else f"{text}\n"
