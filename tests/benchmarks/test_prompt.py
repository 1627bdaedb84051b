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


def test_the_words_of_a_prompt(tmp_path: Path) -> None:
    project = build_without_tables(tmp_path / "project", apps=APPS, cycles=CYCLES)
    fill(project.root)
    project.install_hook()
    git(project.root, "checkout", "--quiet", "-b", "work")
    command = ["sh", "-c", PROMPT]
    assert execute(command, project.root) == "in step\n"
    runs = {"prompt": Run(command, project.root), "bare": Run(["sh", "-c", ":"], project.root)}

    times = interleave(runs, rounds=31)

    what = f"a prompt, {FILES} files, {MIGRATIONS} migrations, in step / sh"
    compare_cost(what, times["prompt"], times["bare"], bound=0.020).check()
    git(project.root, *NO_HOOKS, "checkout", "--quiet", "feature~1")
    (project.root / "page.html").write_text("Else\n")
    times = interleave(runs, rounds=31)
    compare_cost(f"{what}, elsewhere", times["prompt"], times["bare"], bound=0.020).check()
