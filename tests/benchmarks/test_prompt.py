"""What a prompt waits for: the words of the script that the hooks leave in the git directory.

Run with ``tox run -e bench``.
"""

from pathlib import Path

from .generate import git
from .measure import Run, compare_cost, execute, interleave
from .project import NO_HOOKS, build_without_tables
from .test_hook import APPS, CYCLES, FILES, MIGRATIONS, fill

# As the page on prompts has it.
PROMPT = 'sh "$(git rev-parse --git-common-dir)/django-devtools/prompt.sh"'


COMMAND = ["sh", "-c", PROMPT]


def test_the_words_of_a_prompt(tmp_path: Path) -> None:
    project = build_without_tables(tmp_path / "project", apps=APPS, cycles=CYCLES)
    fill(project.root)
    project.install_hook()
    git(project.root, "checkout", "--quiet", "-b", "work")
    _measure(project.root, "in step")
    git(project.root, *NO_HOOKS, "checkout", "--quiet", "feature")
    _measure(project.root, "out of step")


def _measure(root: Path, words: str) -> None:
    assert execute(COMMAND, root).startswith(words)
    runs = {"prompt": Run(COMMAND, root), "bare": Run(["sh", "-c", ":"], root)}
    times = interleave(runs, rounds=31)
    what = f"a prompt, {FILES} files, {MIGRATIONS} migrations, {words} / sh"
    compare_cost(what, times["prompt"], times["bare"], bound=0.020).check()
