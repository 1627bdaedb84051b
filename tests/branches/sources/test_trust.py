"""Whose code is run: that of what was checked out here, and of what a person trusts."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from django_devtools.branches.sources.git import STASH, Repository
from django_devtools.branches.sources.trust import Trust, TrustError
from tests.branches.shop import PRODUCT, columns, make_shop
from tests.processes import TIMEOUT
from tests.project import Project

pytestmark = pytest.mark.once

REF = "refs/remotes/theirs/work"
REFS = [
    (REF, "theirs/work"),
    ("refs/pull/1/head", "refs/pull/1/head"),
    ("refs/tags/v1", "refs/tags/v1"),
    ("refs/notes/commits", "refs/notes/commits"),
    ("refs/remotes/theirs/$(touch${IFS}harm)", "theirs/$(touch${IFS}harm)"),
]
RECORD = """
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
MigrationRecorder(connection).record_applied({!r}, {!r})
"""
LEAVES_A_TRACE = 'open("executed", "a").close()'


@pytest.fixture
def shop(project: Project) -> Project:
    """On main, with a row of shop.0003_theirs, which nothing that was checked out has."""
    make_shop(project)
    project.manage("migrate")
    project.python(RECORD.format("shop", "0003_theirs"))
    return project


def fetch(project: Project, ref: str, *, app: str = "shop", name: str = "0003_theirs") -> str:
    """Fetch a commit with a migration that leaves a trace where it is run. Its id."""
    clone = Project(project.path.parent / "theirs", {}, project.zygote)
    project.git("clone", "--quiet", str(project.path), str(clone.path))
    clone.write(f"{app}/migrations/__init__.py", "")
    nothing = "migrations.RunPython(migrations.RunPython.noop, migrations.RunPython.noop),"
    clone.migration(app, name, nothing, before=LEAVES_A_TRACE)
    clone.commit()
    project.git("fetch", "--quiet", str(clone.path), f"+HEAD:{ref}")
    return project.git("rev-parse", ref).strip()


def was_run(project: Project) -> bool:
    return (project.path / "executed").exists()


@pytest.mark.parametrize(("ref", "short"), REFS)
def test_what_was_only_fetched_is_named_and_not_run(shop: Project, ref: str, short: str) -> None:
    commit = fetch(shop, ref)
    shop.manage("migrations_hook", "install")

    refused = shop.manage("migrations_switch", status=1).stderr
    plan = shop.manage("migrations_switch", "--plan").stdout
    status = shop.status()
    shop.manage("migrations_hook", "run", status=None)
    shop.manage("check", "--database=default")
    shop.git("checkout", "-b", "other")

    quoted = f"'{short}'" if "$" in short else short
    assert refused.strip() == (
        f"CommandError: shop.0003_theirs is applied, and only {short}, {commit[:10]} has it. That "
        "was fetched and never checked out here, so its code is not run. Read it: "
        f"`git show {commit}`. If you trust {short} and its history, run `manage.py "
        f"migrations_switch --trust {quoted}`. If not, leave the migration applied with "
        "--irreversible=keep."
    )
    assert (
        f"Unapply shop.0003_theirs (only {short}, {commit[:10]} has it, never checked out here "
        "and not run)\n"
        "    migrations.RunPython(migrations.RunPython.noop, migrations.RunPython.noop)\n"
    ) in plan
    assert [row["source"] for row in status] == [f"not checked out here: {short}, {commit[:10]}"]
    assert not was_run(shop)
    assert not (shop.path / "harm").exists()


@pytest.mark.no_cover
@pytest.mark.parametrize(("ref", "short"), REFS)
def test_a_ref_that_a_person_trusts(shop: Project, ref: str, short: str) -> None:
    fetch(shop, ref)
    shop.switch("--trust", short)
    assert was_run(shop)
    shop.assert_in_step()


def test_what_only_a_submodule_has_is_neither_found_nor_run(shop: Project) -> None:
    fetch(shop, REF)
    shop.git("update-ref", "-d", REF)
    theirs = str(shop.path.parent / "theirs")
    allow = ("-c", "protocol.file.allow=always")
    shop.git(*allow, "submodule", "--quiet", "add", theirs, "theirs")
    shop.commit()
    refused = shop.manage("migrations_switch", status=1).stderr
    assert "The source of shop.0003_theirs was not found" in refused
    assert not was_run(shop)


@pytest.mark.parametrize("name", ["HEAD", "refs/heads/main", "refs/stash", "main-worktree/HEAD"])
def test_a_tag_is_not_trusted_whatever_its_name(shop: Project, name: str) -> None:
    """Tags come with every fetch of what they are on."""
    commit = fetch(shop, f"refs/tags/{name}")
    shop.git("symbolic-ref", "HEAD", "refs/heads/unborn")
    repository = Repository.find(shop.path)
    assert repository
    assert commit not in Trust(repository).commits


def test_trust_is_for_one_ref(shop: Project) -> None:
    fetch(shop, REF)
    shop.git("update-ref", "refs/remotes/theirs/other", "main")
    shop.manage("migrations_switch", "--no-input", "--trust=theirs/other", status=1)
    shop.manage("migrations_switch", "--irreversible=keep")
    assert not was_run(shop)


def test_trust_in_nothing(shop: Project) -> None:
    result = shop.manage("migrations_switch", "--trust=theirs/work", status=1)
    assert result.stderr.strip() == (
        "CommandError: 'theirs/work' is no git ref. `git branch --all` lists the branches."
    )


@pytest.mark.parametrize("answer", ["yes", "no"])
def test_a_person_at_a_terminal_is_asked(shop: Project, answer: str) -> None:
    commit = fetch(shop, REF)
    controller, terminal = pty.openpty()
    os.write(controller, answer.encode() + b"\n")

    result = subprocess.run(
        [sys.executable, "manage.py", "migrations_switch"],
        cwd=shop.path,
        env=shop.full_environment(measured=True),
        stdin=terminal,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )

    os.close(controller)
    os.close(terminal)
    named = f"theirs/work, {commit[:10]}; `git show {commit}`"
    assert f"    shop.0003_theirs ({named})\n" in result.stdout
    assert "Run their code? Type 'yes', or 'no' to leave the databases alone: " in result.stdout
    assert result.returncode == (0 if answer == "yes" else 1)
    assert was_run(shop) is (answer == "yes")


def test_a_ref_that_is_named_as_the_target_is_trusted(shop: Project) -> None:
    fetch(shop, REF)
    shop.switch("theirs/work")
    assert was_run(shop)


@pytest.mark.no_cover
@pytest.mark.parametrize("ref", [REF, "refs/tags/v1"])
def test_what_was_checked_out_once(shop: Project, ref: str) -> None:
    fetch(shop, ref)
    shop.checkout("--detach", ref)
    shop.checkout("main")
    shop.git("update-ref", "-d", ref)
    shop.switch()
    assert was_run(shop)


@pytest.mark.no_cover
def test_a_local_branch_is_trusted_however_it_was_made(shop: Project) -> None:
    fetch(shop, "refs/heads/theirs")
    shop.switch()
    assert was_run(shop)


@pytest.mark.no_cover
def test_what_was_merged_is_trusted_with_its_history(shop: Project) -> None:
    """It was added and taken away again before the merge, and never lay in a work tree here."""
    fetch(shop, REF)
    theirs = Project(shop.path.parent / "theirs", {}, shop.zygote)
    theirs.remove("shop/migrations/0003_theirs.py")
    theirs.commit()
    shop.git("fetch", "--quiet", str(theirs.path), f"+HEAD:{REF}")
    shop.checkout("-b", "integration")
    shop.git("merge", "--quiet", "--no-ff", REF)
    shop.checkout("main")

    assert shop.status()[0]["branch"] == "integration"
    shop.switch()
    assert was_run(shop)


def test_a_row_does_not_turn_into_a_phantom_by_what_a_remote_has(shop: Project) -> None:
    """The row of a package that was taken out of the project long ago."""
    shop.manage("migrate", "--prune", "shop")
    shop.python(RECORD.format("newsletter", "0001_initial"))
    before = shop.states()

    commit = fetch(shop, REF, app="newsletter", name="0001_initial")[:10]

    assert shop.states() == before == {"newsletter.0001_initial": "obsolete"}
    assert (
        f"Leave newsletter.0001_initial (only theirs/work, {commit} has it, never checked out "
        "here and not run)"
    ) in shop.manage("migrations_switch", "--plan").stdout
    assert "Nothing to do" in shop.switch()
    assert not was_run(shop)


def test_a_local_text_beats_a_newer_one_of_a_remote(shop: Project) -> None:
    shop.checkout("-b", "feature")
    shop.migration("shop", "0003_theirs", "", [("shop", "0002_longer_name")])
    shop.commit()
    shop.checkout("main")
    shop.environment["GIT_COMMITTER_DATE"] = "2090-01-01T00:00:00Z"
    fetch(shop, "refs/remotes/theirs/feature")
    shop.switch()
    assert not was_run(shop)


@pytest.mark.parametrize("is_amended", [False, True])
def test_the_text_that_was_checked_out_when_it_was_applied(
    project: Project, is_amended: bool
) -> None:
    project.environment["GIT_COMMITTER_DATE"] = "2020-01-01T00:00:00Z"
    make_shop(project)
    project.checkout("-b", "feature")
    field = "models.IntegerField(default=1)"
    for name, amend in (("size", []), ("weight", ["--amend"] if is_amended else [])):
        project.models("shop", f"{PRODUCT}    {name} = {field}\n")
        operation = f'migrations.AddField("product", "{name}", {field}),'
        project.migration("shop", "0003_more", operation, [("shop", "0002_longer_name")])
        project.git("add", "--all")
        project.git("commit", "--quiet", "--message=More", *amend)
        if name == "size":
            project.manage("migrate")
            project.environment["GIT_COMMITTER_DATE"] = "2090-01-01T00:00:00Z"
    project.checkout("main")

    project.switch()

    assert columns(project) == {"id", "name"}


class Log(Repository):
    """A repository with reflogs as given."""

    def reflogs(self) -> dict[str, list[tuple[int, str]]]:
        return {
            "main-worktree/HEAD": [(30, "d"), (20, "c"), (20, "b"), (10, "a")],
            "worktrees/other/HEAD": [(25, "e")],
            STASH: [(5, "s")],
        }

    def resolve(self, name: str) -> str | None:
        return None


@pytest.mark.parametrize(
    ("second", "commits"),
    [
        (9, []),
        (10, ["a"]),
        (15, ["a"]),
        (20, ["a", "b", "c"]),
        (21, ["c"]),
        (25, ["c", "e"]),
        (30, ["c", "d", "e"]),
        (99, ["d", "e"]),
    ],
)
def test_what_was_checked_out_in_a_second(second: int, commits: list[str]) -> None:
    trust = Trust(Log(Path(), Path(), "sha1"))
    assert trust.checked_out_at(second) == commits


def test_no_such_ref() -> None:
    with pytest.raises(TrustError, match="'x' is no git ref"):
        Trust(Log(Path(), Path(), "sha1"), ["x"])
