"""Follows the page "First five minutes" to the letter, in an empty directory."""

import difflib
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Block, Command, blocks, commands, page
from tests.processes import TIMEOUT, started

pytestmark = [pytest.mark.no_cover, pytest.mark.once]

INSTALL = "pip install django-devtools-kit"
DONE = "--- done: "
ENVIRONMENT = {
    "GIT_AUTHOR_EMAIL": "ann@example.org",
    "GIT_AUTHOR_NAME": "Ann",
    "GIT_COMMITTER_EMAIL": "ann@example.org",
    "GIT_COMMITTER_NAME": "Ann",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    # Files change faster here than the time stamps that byte code is checked by.
    "PYTHONDONTWRITEBYTECODE": "1",
    "LC_ALL": "C.UTF-8",
    # What takes long depends on the machine.
    "GIT_PROGRESS_DELAY": "3600",
}
# What differs from one machine to the next, or from one day to the next.
VARIABLE = {
    r"in \d+\.\d s\b": "in 0.0 s",
    r"snapshot, [0-9a-f]{10}": "snapshot, 0123456789",
    r"snapshot of [\d-]+ [\d:]+, [0-9a-f]{10}": "snapshot of 2026-01-01 00:00, 0123456789",
}


class Reader:
    """Types the commands into one shell, so that `cd` and `activate` last."""

    def __init__(self, shell: "subprocess.Popen[str]", home: Path) -> None:
        self._shell = shell
        self._home = home

    def type(self, line: str) -> str:
        """What a command prints."""
        assert self._shell.stdin
        assert self._shell.stdout
        if line == INSTALL:
            return self._install()
        self._shell.stdin.write(f"{line}\necho '{DONE}'$?\n")
        self._shell.stdin.flush()
        output = ""
        for said in self._shell.stdout:
            if said.startswith(DONE):
                assert said == f"{DONE}0\n", f"{line}: {output}"
                return output
            output += said
        raise AssertionError(f"the shell ended after {line}: {output}")

    def _install(self) -> str:
        """Let the virtual environment find what is tested, and all that it needs."""
        [packages] = self._home.glob("site/.venv/lib/*/site-packages")
        ours = sysconfig.get_path("purelib")
        text = f"{ROOT}\nimport site; site.addsitedir({ours!r})\n"
        (packages / "tested.pth").write_text(text)
        return ""

    def save(self, block: Block) -> None:
        """Put a file where its title says; of the settings, only what is shown changes."""
        assert block.title
        file = self._home / "site" / block.title
        text = block.text
        if file.name == "settings.py":
            variable, _, _ = text.partition(" = ")
            text, count = re.subn(
                rf"^{variable} = \[.*?^\]\n", text, file.read_text(), flags=re.M | re.S
            )
            assert count == 1
        file.write_text(text)


def test_a_reader_who_types_what_the_page_shows_sees_what_it_shows(tmp_path: Path) -> None:
    home = tmp_path / "ann"
    home.mkdir()
    environment = {"HOME": str(home), "PATH": _path(tmp_path / "bin"), **ENVIRONMENT}
    expected, seen = [], []
    with started(
        ["bash", "--noprofile", "--norc"],
        # One shell for all the commands of the page.
        timeout=4 * TIMEOUT,
        cwd=home,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as shell:
        reader = Reader(shell, home)
        for block in blocks(page("first-five-minutes.md")):
            if block.language == "console":
                for command in commands(block):
                    expected.append(command)
                    seen.append(Command(command.line, reader.type(command.line)))
            else:
                reader.save(block)

    assert len(seen) > 20
    differences = difflib.unified_diff(_shown(expected), _shown(seen), "page", "seen", lineterm="")
    assert "\n".join(differences) == ""


def _shown(typed: list[Command]) -> list[str]:
    text = "".join(f"$ {command.line}\n{command.output}" for command in typed)
    text = re.sub(r"/\S*/site/", "/home/ann/site/", text)
    for pattern, word in VARIABLE.items():
        text = re.sub(pattern, word, text)
    return text.splitlines()


def _path(directory: Path) -> str:
    """Where programs are looked for: git and the like, and as `python3` the one of the tests."""
    directory.mkdir()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    python = Path(sys.base_prefix) / "bin" / f"python{version}"
    wrapper = directory / "python3"
    # No link: a virtual environment would look for its library beside that. And pip takes long to
    # install, and would not be used.
    wrapper.write_text(
        "#!/bin/sh\n"
        '[ "$2" != venv ] || set -- "$@" --without-pip\n'
        f'exec {shlex.quote(str(python))} "$@"\n'
    )
    wrapper.chmod(0o755)
    git = shutil.which("git")
    assert git
    return os.pathsep.join([str(directory), str(Path(git).parent), os.defpath])
