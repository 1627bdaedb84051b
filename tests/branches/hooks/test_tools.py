"""Other tools that own the hooks of a repository, each as it comes from its registry."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.branches.hooks.test_hook import (
    APPLIED,
    NAMES,
    UNAPPLIED,
    git,
    make_feature,
    paint,
    said,
)
from tests.processes import TIMEOUT, run
from tests.project import Project

pytestmark = pytest.mark.once


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which husky and lefthook are installed."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    path = tmp_path_factory.mktemp("node")
    options = ["--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = run(
        ["npm", "install", *options, "--fetch-retries=0", "husky@9", "lefthook@2"],
        cwd=path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    if done.returncode:
        why, _, _ = done.stderr.partition("\n")
        pytest.skip(f"npm can't install husky and lefthook: {why}")
    return path / "node_modules/.bin"


@pytest.fixture
def shop(project: Project) -> Project:
    """On main, with the hooks: the shop. The branch feature, applied before, has a colour."""
    make_feature(project)
    return project


@pytest.fixture
def tools(shop: Project, node: Path) -> Project:
    """The same, with husky and lefthook in PATH."""
    shop.environment["PATH"] = f"{node}{os.pathsep}{os.environ['PATH']}"
    return shop


def tool(project: Project, *command: str) -> str:
    return subprocess.run(
        command,
        cwd=project.path,
        env=project.full_environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=TIMEOUT,
    ).stdout


def status(project: Project) -> str:
    return project.manage("migrations_hook", "status").stdout


def test_husky(tools: Project) -> None:
    """Hooks that were installed before are not called any more, and later ones last."""
    tool(tools, "husky")
    assert "not installed (husky writes the hook)\n" in status(tools)
    assert (
        "W002) The git hooks in "
        f"{tools.path / '.husky'} no longer call django_devtools: post-checkout, post-merge, "
        "post-rewrite, which husky has written.\n"
    ) in tools.manage("check").stderr
    tools.manage("migrations_hook", "install")
    tool(tools, "husky")  # As `npm install` does.
    assert said(git(tools, "checkout", "feature")) == [APPLIED]
    assert git(tools, "checkout", "-q", "main") == ""
    assert ".husky/post" not in tools.git("status", "--porcelain", "--untracked-files=all")
    assert "W002" not in tools.manage("check").stderr


def test_husky_after_git_has_cleaned_up(tools: Project) -> None:
    """What husky writes is ignored by git, and so are lines of ours that nobody has committed."""
    tool(tools, "husky")
    tools.manage("migrations_hook", "install")
    tools.git("clean", "-fdxq", "-e", "*.sqlite3")
    hooks = tools.path / ".husky"
    assert not hooks.exists()
    words = (
        f"Git calls no hooks: it looks for them in {hooks / '_'}, which is not there. Run `npm "
        "install` or `npx husky`, so that husky writes it, and then `manage.py migrations_hook "
        "install`.\n"
    )
    assert words in status(tools)
    assert words in tools.manage("migrations_hook", "doctor", status=1).stdout
    assert words in tools.manage("migrations_status").stdout
    assert words.partition(" Run")[0] in tools.manage("check").stderr
    assert words in tools.manage("migrate", "shop", "0001").stderr
    tools.manage("migrate")
    assert words in tools.manage("migrations_hook", "install").stderr
    tool(tools, "husky")
    tools.manage("migrations_hook", "install")
    assert said(git(tools, "checkout", "feature")) == [APPLIED]
    (hooks / "post-checkout").unlink()
    assert (
        f"The git hooks in {hooks} no longer call django_devtools: post-checkout, which husky "
        "has written. Run `manage.py migrations_hook install`.\n"
    ) in status(tools)


LEFTHOOK = """\
post-checkout:
  commands:
    mine:
      run: echo Mine.
"""


def test_lefthook(tools: Project) -> None:
    tools.manage("migrations_hook", "uninstall")
    tools.write("lefthook.yml", LEFTHOOK)
    tools.commit("Lefthook")
    tool(tools, "lefthook", "install")
    git(tools, "rebase", "--quiet", "main", "feature")
    git(tools, "checkout", "main")
    tools.manage("migrations_switch", "--no-input")

    result = tools.manage("migrations_hook", "install")

    assert result.stderr == ""
    assert result.stdout.endswith("\nFrom now on, the databases follow `git checkout`.\n")
    assert "lefthook" not in tools.git("status", "--porcelain")
    tool(tools, "lefthook", "install", "--force")
    output = git(tools, "checkout", "feature")
    assert "Mine." in output
    assert said(output) == [APPLIED]
    assert "post-checkout: installed (lefthook writes the hook)\n" in status(tools)
    assert "W002" not in tools.manage("check").stderr

    tools.manage("migrations_hook", "uninstall")
    assert not (tools.path / "lefthook-local.yml").exists()
    assert "lefthook" not in (tools.path / ".git/info/exclude").read_text()


def test_lefthook_that_comes_later(tools: Project) -> None:
    """It moves our hook away."""
    tools.write("lefthook.yml", LEFTHOOK)
    assert "post-checkout: installed (lefthook writes the hook)\n" in status(tools)
    tool(tools, "lefthook", "install")
    assert "post-checkout: not installed (lefthook writes the hook)\n" in status(tools)
    assert "no longer call django_devtools: post-checkout, which lefthook has written." in (
        tools.manage("check").stderr
    )
    tools.manage("migrations_hook", "install")
    assert said(git(tools, "checkout", "feature")) == [APPLIED]


def test_lefthook_with_local_entries_for_the_same_hook(shop: Project) -> None:
    """Nobody but their author can put ours among them."""
    shop.write("lefthook.yml", LEFTHOOK)
    shop.write("lefthook-local.yml", LEFTHOOK)
    hook = shop.path / ".git/hooks/post-checkout"
    hook.write_text('#!/bin/sh\ncall_lefthook run "post-checkout" "$@"\n')
    assert shop.manage("migrations_hook", "install").stderr == (
        "lefthook writes post-checkout. To have it call ours, add to lefthook.yml, and run "
        "`lefthook install`:\n\n"
        "post-checkout:\n"
        "  commands:\n"
        "    django_devtools:\n"
        "      run: hook=$(git rev-parse --git-common-dir)/django-devtools/hook.sh; "
        '[ ! -f "$hook" ] || sh "$hook" post-checkout {0}\n'
    )
    assert "post-checkout: not installed" in status(shop)
    assert (shop.path / "lefthook-local.yml").read_text() == LEFTHOOK


def test_pre_commit(shop: Project) -> None:
    """What it finds, it calls; what is written into its own hooks, it removes."""
    shop.manage("migrations_hook", "uninstall")
    shop.write(".pre-commit-config.yaml", "repos: []\n")
    shop.commit("Hooks")
    install = [sys.executable, "-m", "pre_commit", "install"]
    install += [f"--hook-type={name}" for name in NAMES]
    tool(shop, *install)
    shop.manage("migrations_hook", "install")
    tool(shop, *install)
    assert "post-checkout.legacy: installed (pre-commit writes the hook)\n" in status(shop)
    git(shop, "rebase", "--quiet", "main", "feature")
    assert said(git(shop, "checkout", "main")) == [UNAPPLIED]

    tool(shop, *install, "--overwrite")
    assert "no longer call django_devtools: post-checkout, post-merge, post-rewrite, which " in (
        shop.manage("check").stderr
    )


def test_overcommit(shop: Project) -> None:
    """It says nothing of what ends well, so ours end with a warning if they say anything."""
    if shutil.which("overcommit") is None:
        pytest.skip("overcommit is not installed")
    shop.manage("migrations_hook", "uninstall")
    tool(shop, "overcommit", "--install")
    advice = shop.manage("migrations_hook", "install").stderr
    configuration = shop.path / ".overcommit.yml"
    entries = advice[advice.index("PostCheckout:") :]
    configuration.write_text(f"{configuration.read_text()}\n{entries}")
    (command,) = re.findall(r"run `(overcommit .*)`", advice)
    tool(shop, "sh", "-c", command)
    shop.commit("Hooks")

    assert f"{APPLIED}, in " in git(shop, "rebase", "--quiet", "main", "feature")
    assert f"{UNAPPLIED}, in " in git(shop, "checkout", "main")
    assert "passed, but" not in git(shop, "checkout", "main")
    assert "post-checkout: installed (overcommit writes the hook)\n" in status(shop)
    paint(shop)
    assert "can't be unapplied: it has no reverse." in git(shop, "checkout", "main")


OVERCOMMIT = "#!/usr/bin/env ruby\n# Entrypoint for Overcommit hook integration.\n"
HUSKY_4 = '#!/bin/sh\n# husky\n\n. "$(dirname "$0")/husky.sh"\n'


@pytest.mark.parametrize(
    ("hook", "tool", "file", "entry"),
    [
        (OVERCOMMIT, "overcommit", ".overcommit.yml", "PostCheckout:\n"),
        (HUSKY_4, "husky", "package.json", '"post-checkout": "hook=$(git '),
    ],
    ids=["overcommit", "husky 4"],
)
def test_tools_that_keep_it_in_files_of_the_project(
    shop: Project, hook: str, tool: str, file: str, entry: str
) -> None:
    """They write all hooks anew. Moved aside, theirs would not know their names."""
    path = shop.path / ".git/hooks/post-checkout"
    path.write_text(hook)
    result = shop.manage("migrations_hook", "install")
    assert result.stderr.startswith(
        f"{tool} writes post-checkout. To have it call ours, add to {file}"
    )
    assert f":\n\n{entry}" in result.stderr
    assert "/hooks: post-merge, post-rewrite.\n" in result.stdout
    assert "From now on" not in result.stdout
    assert path.read_text() == hook
    shop.write(file, result.stderr)
    assert f"post-checkout: installed ({tool} writes the hook)" in status(shop)


def test_a_directory_of_hooks_that_git_tracks(shop: Project) -> None:
    """Older versions of husky have one, too."""
    shop.manage("migrations_hook", "uninstall")
    shop.write(".githooks/post-checkout", "#!/bin/sh\necho Mine.\n")
    (shop.path / ".githooks/post-checkout").chmod(0o755)
    shop.git("config", "core.hooksPath", ".githooks")
    shop.commit("Hooks")
    assert shop.manage("migrations_hook", "install").stderr == (
        "Commit our lines in .githooks/post-checkout on all branches, or a checkout takes them "
        "away. They do nothing for those who have not run `manage.py migrations_hook install`.\n"
    )
    assert ".githooks/post-merge" not in shop.git("status", "--porcelain", "--untracked-files=all")
    shop.commit("Ours")
    assert shop.manage("migrations_hook", "install").stderr == ""
    assert said(git(shop, "rebase", "--quiet", "main", "feature")) == [APPLIED]
