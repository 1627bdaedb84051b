import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from django_devtools.branches.sources.git import (
    COMPLETE,
    SOURCES_REF,
    STASH,
    GitError,
    Incomplete,
    NoGit,
    Repository,
    Version,
    too_old,
)
from tests.processes import TIMEOUT
from tests.project import ENVIRONMENT

pytestmark = pytest.mark.once

# All commits of a test in the same second: what is newest must not depend on the clock.
DATE = "2026-01-02T03:04:05Z"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    for name in [name for name in ENVIRONMENT if name.startswith("GIT_")]:
        monkeypatch.setenv(name, ENVIRONMENT[name])
    monkeypatch.setenv("GIT_COMMITTER_DATE", DATE)


def git(directory: Path, *arguments: str | bytes) -> str:
    return subprocess.run(
        ["git", *arguments],
        cwd=directory,
        check=True,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    ).stdout.strip()


def write(directory: Path, name: str | PurePosixPath, text: str = "text\n") -> None:
    file = directory / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def commit(directory: Path, *names: str | PurePosixPath) -> str:
    """Commit files of these names, each with its name in it."""
    for name in names:
        write(directory, name, f"{name!s}\n".encode(errors="replace").decode())
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--allow-empty", "--message=Work")
    return git(directory, "rev-parse", "HEAD")


def version(repository: Repository, commit: str, path: PurePosixPath) -> Version:
    return Version(commit, path, git(repository.top, "rev-parse", os.fsencode(f"{commit}:{path}")))


def found(directory: Path) -> Repository:
    repository = Repository.find(directory)
    assert repository
    return repository


@pytest.fixture
def make_repository(tmp_path: Path) -> Callable[..., Repository]:
    """A function that makes a repository with nothing in it."""

    def make(name: str = "repository", *options: str) -> Repository:
        directory = tmp_path / name
        directory.mkdir(parents=True)
        git(directory, "init", "--quiet", "--initial-branch=main", *options)
        return found(directory)

    return make


@pytest.fixture
def repository(make_repository: Callable[..., Repository]) -> Repository:
    """A repository with a commit on main, which is checked out."""
    repository = make_repository()
    commit(repository.top)
    return repository


# Finding it


def test_no_repository(tmp_path: Path) -> None:
    assert Repository.find(tmp_path) is None


def test_bare_repository(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--bare")
    assert Repository.find(tmp_path) is None


def test_why_git_can_not_be_run(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(GitError, match=r"^git was not found in PATH\. "):
        repository.git("status")


def test_no_git(repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    top = repository.top
    (top / "inner").mkdir()
    for directory in (top, top / "inner"):
        with pytest.raises(NoGit) as caught:
            Repository.find(directory)
        assert str(caught.value) == (
            f"{directory} is in a git repository, and git was not found in PATH. Install it, or "
            "add its directory to PATH."
        )
    assert Repository.usable(top) is None
    assert Repository.find(tmp_path) is None


def test_git_that_may_not_be_run(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "bin/git")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(NoGit, match=r"is in a git repository, and git can't be run: Permission"):
        Repository.find(repository.top)


def test_git_that_is_older_than_all_that_is_tested(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It repeats options that it does not know."""
    assert too_old() is None
    script = tmp_path / "bin/git"
    write(tmp_path, "bin/git", "#!/bin/sh\necho git version 2.20.1\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert too_old() == (
        "git 2.20.1 is older than 2.39, the oldest that this package is tested with."
    )
    script.write_text(
        "#!/bin/sh\n"
        'case "$*" in *rev-parse*) printf "%s\\n" /top .git --show-object-format;;'
        " *) echo git version 2.20.1;; esac\n"
    )
    with pytest.raises(GitError, match=r"^git 2\.20\.1 is older than 2\.39, "):
        Repository.find(repository.top)


def test_dubious_ownership(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(GitError) as caught:
        Repository.find(repository.top)
    assert f"detected dubious ownership in repository at '{repository.top}'" in str(caught.value)
    assert f"git config --global --add safe.directory {repository.top}" in str(caught.value)


def test_trust_by_the_environment(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """As containers are often told to trust a mounted directory."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "safe.directory")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "*")
    assert Repository.find(repository.top) == repository


@pytest.mark.parametrize(
    "name",
    [
        "with spaces",
        "mit Umläuten",
        "👩‍💻",
        "שלום",
        "a\u2028b",
        "a\x85b",
        "a\nb",
        "-x",
        "caf\udce9",
    ],
)
def test_path_of_any_name(make_repository: Callable[..., Repository], name: str) -> None:
    repository = make_repository(name)
    assert repository.top.name == name
    assert repository.common_dir == repository.top / ".git"
    assert commit(repository.top, "a.py") == repository.commit()
    write(repository.top, f"{name}/b.py")
    assert repository.own([repository.top / name]) == {repository.top / name}


def test_nothing_was_checked_out_before(repository: Repository) -> None:
    assert repository.previous() is None


def test_what_was_checked_out_before(repository: Repository) -> None:
    commit = repository.commit()
    git(repository.top, "checkout", "--quiet", "-b", "feature/a")
    git(repository.top, "checkout", "--quiet", "--detach")
    assert repository.previous() == "feature/a"
    git(repository.top, "checkout", "--quiet", "feature/a")
    assert repository.previous() == commit


def test_files_that_are_tracked(repository: Repository, tmp_path: Path) -> None:
    (repository.top / "db.sqlite3").write_text("")
    (repository.top / "other.sqlite3").write_text("")
    git(repository.top, "add", "db.sqlite3")
    names = (repository.top / "db.sqlite3", repository.top / "other.sqlite3", tmp_path / "x")
    assert repository.tracked(names) == ["db.sqlite3"]
    assert repository.tracked([tmp_path / "x"]) == []


def test_below_the_top(repository: Repository) -> None:
    below = repository.top / "src" / "shop"
    below.mkdir(parents=True)
    assert Repository.find(below) == repository


def test_linked_worktree(repository: Repository, tmp_path: Path) -> None:
    git(repository.top, "worktree", "add", "--quiet", "-b", "feature", str(tmp_path / "linked"))
    linked = found(tmp_path / "linked")
    assert linked.top == tmp_path / "linked"
    assert linked.common_dir == repository.common_dir
    assert linked.branch() == "feature"


def test_what_git_sets_for_hooks_does_not_mislead(
    repository: Repository,
    make_repository: Callable[..., Repository],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = make_repository("other")
    commit(other.top, "other.py")
    write(repository.top, "shop/migrations/__init__.py")
    monkeypatch.setenv("GIT_DIR", str(other.common_dir))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.top))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other.common_dir / "index"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(other.common_dir / "objects"))
    monkeypatch.setenv("GIT_PREFIX", "shop/")
    monkeypatch.setenv("GIT_LITERAL_PATHSPECS", "1")

    assert Repository.find(repository.top) == repository
    directory = repository.top / "shop/migrations"
    assert repository.own([directory, repository.top / "other"]) == {directory}
    repository.store({repository.blob_id(b"text"): b"text"})
    monkeypatch.undo()
    assert git(repository.top, "cat-file", "blob", repository.blob_id(b"text")) == "text"
    assert git(other.top, "for-each-ref", "--format=%(refname)") == "refs/heads/main"


# What is checked out


def test_branch(repository: Repository) -> None:
    assert repository.branch() == "main"
    git(repository.top, "checkout", "--quiet", "--detach")
    assert repository.branch() is None


def test_head_is_the_branch_and_the_commit(make_repository: Callable[..., Repository]) -> None:
    repository = make_repository()
    assert repository.head() == ("main", None)
    there = commit(repository.top)
    assert repository.head() == ("main", there)
    git(repository.top, "tag", "main")
    assert repository.head() == ("main", there)
    git(repository.top, "update-ref", "refs/tags/HEAD", there)
    assert repository.head() == ("main", there)
    git(repository.top, "update-ref", "-d", "refs/tags/HEAD")
    git(repository.top, "checkout", "--quiet", "--detach")
    assert repository.head() == (None, there)


@pytest.mark.parametrize("ref", ["refs/tags/HEAD", "refs/heads/HEAD"])
def test_a_branch_without_commits_is_not_taken_for_a_ref_that_is_called_head(
    repository: Repository, ref: str
) -> None:
    there = commit(repository.top)
    git(repository.top, "update-ref", ref, there)
    git(repository.top, "symbolic-ref", "HEAD", "refs/heads/feature")
    assert repository.head() == (repository.branch(), repository.commit()) == ("feature", None)


def test_the_private_directory_of_a_work_tree(repository: Repository, tmp_path: Path) -> None:
    git(repository.top, "worktree", "add", "--quiet", "-b", "feature", str(tmp_path / "linked"))
    assert repository.private_dir() == repository.top / ".git"
    assert found(tmp_path / "linked").private_dir() == repository.top / ".git/worktrees/linked"


def test_branch_without_commits(make_repository: Callable[..., Repository]) -> None:
    repository = make_repository()
    assert repository.branch() == "main"
    assert repository.commit() is None
    assert not repository.is_branch("main")
    assert repository.versions(["0001.py"], []) == []
    assert repository.reflogs() == {}
    assert repository.branch_tips() == {}
    assert repository.nearest_branches([]) == {}


def test_branch_with_a_tag_of_the_same_name(repository: Repository) -> None:
    git(repository.top, "tag", "main")
    assert repository.branch() == "main"
    head = commit(repository.top)
    assert repository.nearest_branches([head]) == {head: "main"}
    assert repository.branch_tips() == {"main": head}


STRANGE = [
    "a/b",
    "it's",
    '"quoted"',
    "$(touch${IFS}harm)",
    ";touch${IFS}harm",
    "`touch`",
    "|harm",
    ">harm",
    "&",
    "%s",
    "mit-Umläuten",
    "👩‍💻",
    "שלום\u202e",
    "trailing\u00a0",
    "line\u2028separator",
    "c1\x85control",
    "--output=harm",
    "-d",
    "@",
    "x" * 200,
    "/".join(["x" * 100] * 5),
]


@pytest.mark.parametrize("name", STRANGE)
def test_branch_of_strange_name(repository: Repository, name: str) -> None:
    git(repository.top, "update-ref", f"refs/heads/{name}", "HEAD")
    git(repository.top, "symbolic-ref", "HEAD", f"refs/heads/{name}")

    assert repository.branch() == name
    assert repository.head() == (name, repository.commit())
    assert repository.is_branch(name)
    assert repository.commit(f"refs/heads/{name}") == repository.commit()
    git(repository.top, "branch", "--delete", "main")
    head = repository.commit() or ""
    assert repository.nearest_branches([head]) == {head: name}
    assert repository.branch_tips() == {name: head}
    assert [path.name for path in repository.top.iterdir()] == [".git"]


def test_branch_in_no_known_encoding(repository: Repository) -> None:
    git(repository.top, b"checkout", b"--quiet", b"-b", b"caf\xe9")
    assert repository.branch() == "caf\ufffd"
    assert repository.commit("caf\udce9") is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "main~0",
        "main^",
        "main@{0}",
        "@{-1}",
        "..",
        "../heads/main",
        "HEAD",
        "main ",
        "main\0",
        "main\n",
        "no such",
        "refs/heads/main",
        "--help",
        "x" * 5000,
        "x" * 200_000,
    ],
)
def test_no_branch(repository: Repository, name: str) -> None:
    assert not repository.is_branch(name)


@pytest.mark.parametrize("ref", ["HEAD", "main", "main~0", "main@{0}", "refs/heads/main", "@"])
def test_ref_that_names_a_commit(repository: Repository, ref: str) -> None:
    assert repository.commit(ref) == git(repository.top, "rev-parse", "HEAD")


@pytest.mark.parametrize(
    "ref",
    [
        "",
        " ",
        "..",
        "main..main",
        "^main",
        "@{-1}",
        "@{u}",
        "--all",
        "--output=harm",
        "-",
        "main\0",
        "main\nmain",
        "main:",
        "$(touch harm)",
        "👩‍💻",
        "caf\udce9",
        "x" * 5000,
        "x" * 200_000,
    ],
)
def test_ref_that_names_no_commit(repository: Repository, ref: str) -> None:
    assert repository.commit(ref) is None
    assert [path.name for path in repository.top.iterdir()] == [".git"]


def test_what_a_person_means_by_a_name(repository: Repository) -> None:
    commits = {ref: commit(repository.top) for ref in ("heads/x", "remotes/x", "tags/x")}
    for ref in reversed(commits):
        git(repository.top, "update-ref", f"refs/{ref}", commits[ref])
        assert repository.resolve("x") == commits[ref]
    assert repository.resolve(commits["tags/x"]) == commits["tags/x"]
    assert repository.resolve("x~1") == repository.commit("refs/heads/x~1")
    assert repository.resolve("--all") is None


def test_shallow(repository: Repository, tmp_path: Path) -> None:
    commit(repository.top)
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{repository.top}", "clone")
    assert found(tmp_path / "clone").completion() == "git fetch --unshallow"
    assert repository.completion() is None


# Keeping sources


def kept(repository: Repository) -> list[str]:
    return kept_by(repository.top, SOURCES_REF)


def kept_by(top: Path, ref: str) -> list[str]:
    """The ids of what a private ref keeps."""
    parts = git(top, "ls-tree", "--name-only", ref).split()
    return [
        one
        for part in parts
        for one in git(top, "ls-tree", "--name-only", f"{ref}:{part}").split()
    ]


@pytest.mark.parametrize(
    "content", [b"", b"text\n", b"\r\n\0\xff", b"x" * 100_000], ids=["empty", "text", "any", "big"]
)
def test_blob_ids_are_those_of_git(repository: Repository, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    expected = git(repository.top, "hash-object", "--no-filters", str(tmp_path / "file"))
    assert repository.blob_id(content) == expected


@pytest.mark.parametrize("kind", ["heads", "remotes"])
def test_a_tag_that_is_called_like_the_full_name_of_a_branch(
    repository: Repository, kind: str
) -> None:
    theirs, mine = commit(repository.top), commit(repository.top)
    full = f"refs/{kind}/origin/x"
    git(repository.top, "update-ref", f"refs/tags/{full}", theirs)
    assert repository.resolve("origin/x") is None
    assert repository.resolve(full) is None
    git(repository.top, "update-ref", full, mine)
    assert repository.resolve("origin/x") == repository.resolve(full) == mine
    git(repository.top, "update-ref", "refs/remotes/origin/x", mine)
    assert repository.resolve("origin/x~1") == theirs


def test_a_tag_that_is_called_like_an_abbreviated_commit(repository: Repository) -> None:
    theirs, mine = commit(repository.top), commit(repository.top)
    git(repository.top, "tag", mine[:10], theirs)
    git(repository.top, "tag", "0123456789", theirs)
    assert repository.resolve(mine[:10]) == mine
    assert repository.resolve(f"{mine[:10]}~1") == theirs
    assert repository.resolve("0123456789") == theirs


def test_an_abbreviation_that_several_commits_have(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [commit(repository.top), commit(repository.top)]
    git(repository.top, "tag", "abcdef0")
    monkeypatch.setattr(Repository, "_abbreviated", lambda self, name: both)
    assert repository.resolve("abcdef0") is None


def test_a_replacement_that_a_fetch_may_bring_is_not_looked_at(repository: Repository) -> None:
    mine = commit(repository.top, "a.py")
    theirs = commit(repository.top, "a.py", "b.py")
    git(repository.top, "replace", mine, theirs)
    blob = git(repository.top, "rev-parse", f"{mine}:a.py")
    other = git(repository.top, "rev-parse", f"{theirs}:b.py")
    git(repository.top, "replace", "--force", blob, other)
    assert list(repository.files(mine)) == [PurePosixPath("a.py")]
    assert repository.contents([blob]) == {blob: b"a.py\n"}


def test_keeps_what_it_is_given(repository: Repository) -> None:
    one, two = b"one\r\n", b"\0two"
    repository.store({repository.blob_id(one): one})
    repository.store({repository.blob_id(one): one, repository.blob_id(two): two})

    assert kept(repository) == sorted([repository.blob_id(one), repository.blob_id(two)])
    assert repository.contents([repository.blob_id(one), repository.blob_id(two)]) == {
        repository.blob_id(one): one,
        repository.blob_id(two): two,
    }


def test_keeping_nothing_makes_no_ref(repository: Repository) -> None:
    repository.store({})
    assert repository.commit(SOURCES_REF) is None
    assert git(repository.top, "for-each-ref", "refs/django-devtools") == ""


def test_what_is_held_is_not_written_again(repository: Repository) -> None:
    contents = {repository.blob_id(b"text"): b"text"}
    repository.store(contents)
    before = git(repository.top, "rev-parse", SOURCES_REF)
    git(repository.top, "config", "core.filesRefLockTimeout", "0")
    write(repository.common_dir, f"{SOURCES_REF}.lock")  # Git could not move the ref.

    repository.store(contents)

    assert git(repository.top, "rev-parse", SOURCES_REF) == before


def test_filters_of_the_user_do_not_touch_it(repository: Repository) -> None:
    git(repository.top, "config", "core.autocrlf", "input")
    write(repository.top, ".gitattributes", "* text=auto eol=lf\n")
    blob = repository.blob_id(b"a\r\n")
    repository.store({blob: b"a\r\n"})
    assert repository.contents([blob]) == {blob: b"a\r\n"}


def test_kept_for_ever(repository: Repository) -> None:
    blob = repository.blob_id(b"text")
    repository.store({blob: b"text"})

    git(repository.top, "reflog", "expire", "--expire=now", "--all")
    git(repository.top, "gc", "--quiet", "--prune=now")

    assert repository.contents([blob]) == {blob: b"text"}


def test_nobody_notices_the_ref(repository: Repository, tmp_path: Path) -> None:
    git(repository.top, "tag", "v1")
    asked = [
        ("log", "--all", "--format=%H %D"),
        ("log", "--all", "--reflog", "--format=%H"),
        ("describe", "--all"),
        ("rev-list", "--all"),
        ("branch", "--all"),
        ("tag", "--list"),
        ("status", "--porcelain"),
        ("stash", "list"),
    ]
    before = [git(repository.top, *command) for command in asked]

    repository.store({repository.blob_id(b"text"): b"text"})

    assert [git(repository.top, *command) for command in asked] == before
    assert git(repository.top, "fsck", "--full", "--strict", "--unreachable") == ""
    git(repository.top, "commit-graph", "write", "--reachable")
    git(repository.top, "bundle", "create", "--quiet", str(tmp_path / "all.bundle"), "--all")


def refs_after_push(repository: Repository, tmp_path: Path, *options: str) -> list[str]:
    repository.store({repository.blob_id(b"text"): b"text"})
    git(tmp_path, "init", "--quiet", "--bare", "remote.git")
    git(repository.top, "push", "--quiet", *options, str(tmp_path / "remote.git"))
    return git(tmp_path / "remote.git", "for-each-ref", "--format=%(refname)").split()


@pytest.mark.parametrize("option", ["--all", "--tags", "--follow-tags"])
def test_push_leaves_it_here(repository: Repository, tmp_path: Path, option: str) -> None:
    git(repository.top, "tag", "v1")
    git(repository.top, "config", "push.default", "current")
    assert SOURCES_REF not in refs_after_push(repository, tmp_path, option)


def test_only_push_mirror_takes_it_along(repository: Repository, tmp_path: Path) -> None:
    refs = refs_after_push(repository, tmp_path, "--mirror")
    assert refs == [SOURCES_REF, "refs/heads/main"]


def test_clone_and_fetch_leave_it_there(repository: Repository, tmp_path: Path) -> None:
    repository.store({repository.blob_id(b"text"): b"text"})
    git(tmp_path, "clone", "--quiet", str(repository.top), "clone")
    git(tmp_path / "clone", "fetch", "--quiet", "--all", "--tags")
    assert "django-devtools" not in git(tmp_path / "clone", "for-each-ref")


def test_two_at_once_lose_nothing_of_each_other(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second process keeps a source after the first has read what is held."""
    real = Repository._stored
    others = [b"first", b"second"]

    def held(self: Repository) -> tuple[str, set[str]]:
        before = real(self)
        if others:
            content = others.pop()
            with monkeypatch.context() as patch:
                patch.setattr(Repository, "_stored", real)
                self.store({self.blob_id(content): content})
        return before

    monkeypatch.setattr(Repository, "_stored", held)
    repository.store({repository.blob_id(b"mine"): b"mine"})

    expected = [repository.blob_id(text) for text in (b"first", b"second", b"mine")]
    assert kept(repository) == sorted(expected)


def test_gives_up_when_git_can_not_write(repository: Repository) -> None:
    git(repository.top, "config", "core.filesRefLockTimeout", "0")
    write(repository.common_dir, f"{SOURCES_REF}.lock")
    with pytest.raises(GitError, match=r"Unable to create '.*sources\.lock': File exists"):
        repository.store({repository.blob_id(b"text"): b"text"})


def test_ref_that_holds_no_tree(repository: Repository) -> None:
    empty = git(repository.top, "hash-object", "-w", "--stdin", "--no-filters")
    git(repository.top, "update-ref", SOURCES_REF, empty)

    repository.store({repository.blob_id(b"text"): b"text"})

    assert kept(repository) == [repository.blob_id(b"text")]


def test_what_an_earlier_version_has_kept_stays(repository: Repository) -> None:
    """In one tree without others in it."""
    git(repository.top, "hash-object", "-w", "--stdin", "--no-filters")
    text, other = repository.blob_id(b"text"), repository.blob_id(b"")
    tree = repository.git("mktree", stdin=f"100644 blob {other}\t{other}\n".encode())
    git(repository.top, "update-ref", SOURCES_REF, tree.decode().strip())
    repository.store({text: b"text"})
    assert kept(repository) == sorted([text, other])


def test_one_more_of_many_costs_little(repository: Repository) -> None:
    """Git keeps the trees that went before for two weeks, and after `git gc` each as a file."""
    texts = {repository.blob_id(text): text for text in (b"%d" % n for n in range(500))}
    repository.store(texts)
    before = size(repository)
    for number in range(20):
        text = b"more %d" % number
        repository.store({repository.blob_id(text): text})
    assert size(repository) - before < 20 * 4000


def size(repository: Repository) -> int:
    """The bytes of all objects."""
    files = (repository.common_dir / "objects").rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def test_a_tree_of_somebody_else_does_not_keep_what_it_is_to_keep(repository: Repository) -> None:
    """It came by a fetch of all refs, and has names of texts with something else in them."""
    text, other = repository.blob_id(b"text"), repository.blob_id(b"")
    git(repository.top, "hash-object", "-w", "--stdin", "--no-filters")
    tree = repository.git("mktree", stdin=f"100644 blob {other}\t{text}\n".encode())
    git(repository.top, "update-ref", SOURCES_REF, tree.decode().strip())

    repository.store({text: b"text"})

    assert kept(repository) == sorted([text, other])
    assert repository.contents([text]) == {text: b"text"}


def test_a_tag_that_is_called_like_the_ref(repository: Repository) -> None:
    text = repository.blob_id(b"text")
    write(repository.top, text)
    git(repository.top, "update-ref", f"refs/tags/{SOURCES_REF}", commit(repository.top, text))

    repository.store({text: b"text"})

    assert kept(repository) == [text]
    assert repository.contents([text]) == {text: b"text"}


def test_no_hook_of_the_user_hears_of_the_ref(repository: Repository) -> None:
    hook = repository.common_dir / "hooks/reference-transaction"
    write(hook.parent, hook.name, f"#!/bin/sh\ntouch {repository.top / 'harm'}\n")
    hook.chmod(0o755)
    repository.store({repository.blob_id(b"text"): b"text"})
    assert not (repository.top / "harm").exists()


def test_sha256(make_repository: Callable[..., Repository]) -> None:
    repository = make_repository("repository", "--object-format=sha256")
    head = commit(repository.top, "shop/migrations/0001_initial.py")
    assert repository.object_format == "sha256"
    assert repository.commit() == head
    assert len(head) == 64

    blob = repository.blob_id(b"text")
    assert blob == hashlib.sha256(b"blob 4\0text").hexdigest()
    repository.store({blob: b"text"})

    assert kept(repository) == [blob]
    path = PurePosixPath("shop/migrations/0001_initial.py")
    assert repository.versions(["0001_initial.py"], [head]) == [version(repository, head, path)]
    assert repository.contents([blob, f"{head}:{path}"]) == {
        blob: b"text",
        f"{head}:{path}": b"shop/migrations/0001_initial.py\n",
    }


# Reading


def test_contents_of_nothing(repository: Repository) -> None:
    assert repository.contents([]) == {}


def test_contents_leaves_out_what_is_not_there(repository: Repository) -> None:
    head = commit(repository.top, "shop/a file.py")
    tree = git(repository.top, "rev-parse", "HEAD^{tree}")
    names = [
        "0" * 40,
        f"{head}:no such file",
        f"{head}:shop",
        f"{head}:shop/a file.py",
        f"{head}:shop/a file.py",
        head,
        tree,
        "",
        "--batch-all-objects",
        "two\nlines",
        f"{head}:👩‍💻",
    ]
    assert repository.contents(names) == {f"{head}:shop/a file.py": b"shop/a file.py\n"}


def test_contents_leaves_out_submodules(
    repository: Repository, make_repository: Callable[..., Repository]
) -> None:
    other = commit(make_repository("other").top)
    git(repository.top, "update-index", "--add", "--cacheinfo", f"160000,{other},apps.py")
    git(repository.top, "commit", "--quiet", "--message=Submodule")
    assert repository.contents(["HEAD:apps.py", "HEAD:"]) == {}


def test_contents_ambiguous(repository: Repository) -> None:
    numbers: dict[str, str] = {}
    for number in map(str, range(10_000)):
        prefix = repository.blob_id(number.encode())[:4]
        if prefix in numbers:
            break
        numbers[prefix] = number
    write(repository.top, "one.py", numbers[prefix])
    write(repository.top, "two.py", number)
    commit(repository.top)

    assert repository.contents([prefix, "HEAD:two.py"]) == {"HEAD:two.py": number.encode()}


def test_file_names_in_no_known_encoding(repository: Repository) -> None:
    path = PurePosixPath("caf\udce9/migrations/0001_initial.py")
    head = commit(repository.top, path)

    assert repository.versions(["0001_initial.py"], [head]) == [version(repository, head, path)]
    assert set(repository.files(head)) == {path}
    assert set(repository.contents([f"{head}:{path}"])) == {f"{head}:{path}"}


def test_files(repository: Repository, make_repository: Callable[..., Repository]) -> None:
    commit(repository.top, "shop/a b.py", "shop/é.py", "shop/new\nline.py", "README")
    (repository.top / "link.py").symlink_to("README")
    other = commit(make_repository("other").top)
    git(repository.top, "add", "--all")
    git(repository.top, "update-index", "--add", "--cacheinfo", f"160000,{other},module.py")
    git(repository.top, "commit", "--quiet", "--message=More")

    files = repository.files("HEAD")

    names = {"shop/a b.py", "shop/é.py", "shop/new\nline.py", "link.py"}
    assert set(files) == {PurePosixPath(name) for name in names}
    assert files[PurePosixPath("shop/a b.py")] == repository.blob_id(b"shop/a b.py\n")


def test_own(repository: Repository, tmp_path: Path) -> None:
    names = [
        "shop/migrations",
        "new app/migrations",
        "a[b]*?/migrations",
        ":(top)/migrations",
        "ignored/migrations",
        "venv/lib/site-packages/auth/migrations",
        "empty/migrations",
    ]
    commit(repository.top, "shop/migrations/0001.py", "empty/migrations/README")
    write(repository.top, ".gitignore", "ignored\n")
    for name in names[1:-1]:
        write(repository.top, f"{name}/0001.py")
    outside = tmp_path / "elsewhere/migrations"

    own = repository.own([*(repository.top / name for name in names), outside])

    assert own == {repository.top / name for name in names[:4]}
    assert repository.own([outside]) == set()


def test_own_leaves_submodules_out(
    repository: Repository, make_repository: Callable[..., Repository]
) -> None:
    inner = make_repository("repository/inner")
    commit(inner.top, "shop/migrations/0001.py")
    assert repository.own([inner.top / "shop/migrations"]) == set()


def test_versions(repository: Repository) -> None:
    path = PurePosixPath("shop/0001 a.py")
    first = commit(repository.top, path)
    write(repository.top, path, "changed\n")
    second = commit(repository.top)
    git(repository.top, "checkout", "--quiet", "--detach")
    (repository.top / path).unlink()
    commit(repository.top)
    third = commit(repository.top, "b/0001 a.py")

    names = ["0001 a.py"]
    on_main = [version(repository, second, path), version(repository, first, path)]
    assert repository.versions(names, ["main"]) == on_main
    detached = version(repository, third, PurePosixPath("b/0001 a.py"))
    found = repository.versions(names, [third, "f" * 40])
    assert found[0] == detached
    assert set(found) == {detached, *on_main}
    assert repository.versions([], [third]) == repository.versions(names, []) == []


@pytest.mark.parametrize("name", ["\x01$(touch harm) x", ":100644 a", "a\nb", "\n", "a\tb"])
def test_versions_in_directories_of_any_name(repository: Repository, name: str) -> None:
    paths = [PurePosixPath(f"{name}/0001.py"), PurePosixPath("z/0001.py")]
    head = commit(repository.top, *paths)
    assert repository.versions(["0001.py"], [head]) == [
        version(repository, head, path) for path in sorted(paths)
    ]


def test_neither_symlinks_nor_submodules_are_versions(repository: Repository) -> None:
    (repository.top / "link.py").symlink_to("/etc/passwd")
    git(repository.top, "add", "link.py")
    git(repository.top, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},module.py")
    git(repository.top, "commit", "--quiet", "--message=Work")
    assert repository.versions(["link.py", "module.py"], [repository.commit() or ""]) == []


def test_versions_that_only_other_refs_have(repository: Repository) -> None:
    base = commit(repository.top, "a.py")
    git(repository.top, "checkout", "--quiet", "--detach")
    head = commit(repository.top, "b.py")
    git(repository.top, "update-ref", "refs/remotes/origin/x y".replace(" ", ";"), head)
    path = PurePosixPath("b.py")
    there = version(repository, head, path)._replace(ref="refs/remotes/origin/x;y")

    assert repository.other_versions(["a.py", "b.py"], [base]) == [there]
    assert repository.other_versions(["a.py", "b.py"], [head]) == []
    assert repository.other_versions([], [base]) == []


def test_reflogs_of_each_work_tree_and_of_the_stash(
    repository: Repository, tmp_path: Path
) -> None:
    first = repository.commit() or ""
    git(repository.top, "worktree", "add", "--quiet", "-b", "other", str(tmp_path / "tree"))
    there = commit(tmp_path / "tree", "a.py")
    git(repository.top, "update-ref", "--create-reflog", "refs/remotes/origin/x", there)
    write(repository.top, "b.py")
    git(repository.top, "stash", "--quiet", "--include-untracked")
    stash = git(repository.top, "rev-parse", "stash")

    logs = repository.reflogs()

    assert logs.keys() == {"main-worktree/HEAD", "worktrees/tree/HEAD", STASH}
    assert {commit for _, commit in logs["main-worktree/HEAD"]} == {first}
    assert logs["worktrees/tree/HEAD"][0][1] == there
    assert [commit for _, commit in logs[STASH]] == [stash]
    assert {second for log in logs.values() for second, _ in log} == {1767323045}


def test_the_log_of_a_remote_is_not_taken_for_that_of_head(repository: Repository) -> None:
    git(repository.top, "checkout", "--quiet", "-b", "theirs")
    theirs = commit(repository.top)
    git(repository.top, "checkout", "--quiet", "main")
    ref = "refs/remotes/main-worktree/HEAD"
    git(repository.top, "update-ref", "--create-reflog", ref, theirs)
    (repository.common_dir / "logs/HEAD").unlink()
    assert repository.reflogs() == {}


@pytest.mark.parametrize(
    "setting",
    [
        ("log.follow", "true"),
        ("log.showSignature", "true"),
        ("log.decorate", "full"),
        ("log.diffMerges", "on"),
        ("format.pretty", "fuller"),
        ("diff.relative", "true"),
        ("diff.renames", "copies"),
        ("core.quotePath", "true"),
        ("color.ui", "always"),
        ("core.pager", "touch harm"),
    ],
)
def test_the_configuration_of_the_user_changes_nothing(
    repository: Repository, tmp_path: Path, setting: tuple[str, str]
) -> None:
    make_key = ["ssh-keygen", "-q", "-N", "", "-f", str(tmp_path / "key")]
    subprocess.run(make_key, check=True, timeout=TIMEOUT)
    write(tmp_path, "signers", f"ada@example.com {(tmp_path / 'key.pub').read_text()}")
    git(repository.top, "config", "gpg.format", "ssh")
    git(repository.top, "config", "gpg.ssh.allowedSignersFile", str(tmp_path / "signers"))
    git(repository.top, "config", "user.signingKey", str(tmp_path / "key"))
    git(repository.top, "config", "commit.gpgSign", "true")
    git(repository.top, "config", *setting)
    head = commit(repository.top, "shop/migrations/0001.py")

    path = PurePosixPath("shop/migrations/0001.py")
    assert repository.versions(["0001.py"], [head]) == [version(repository, head, path)]
    assert repository.mentions("0001", "shop", [head])
    assert repository.nearest_branches([head]) == {head: "main"}
    assert repository.reflogs()["main-worktree/HEAD"][0][1] == head
    assert list(repository.files(head)) == [path]
    assert {path.name for path in repository.top.iterdir()} == {".git", "shop"}


def test_mentions(repository: Repository) -> None:
    write(repository.top, "config/settings.py", "APPS = ['shop', 'billing']\n")
    commit(repository.top)
    write(repository.top, "config/settings.py", "APPS = ['shop']\n")
    head = commit(repository.top)

    assert repository.mentions("['\"]billing['\".]", "config", [head])
    assert not repository.mentions("['\"]billing['\".]", "other", [head])
    assert not repository.mentions("['\"]orders['\".]", "config", [head])
    assert not repository.mentions("['\"]billing['\".]", "config", [])


def test_mentions_runs_no_program_of_attributes(repository: Repository) -> None:
    harm = repository.top / "harm"
    git(repository.top, "config", "diff.evil.textconv", f"touch {harm}; cat")
    write(repository.top, ".gitattributes", "*.py diff=evil\n")
    head = commit(repository.top, "config/settings.py")
    assert repository.mentions("settings", "config", [head])
    assert not harm.exists()


def test_a_remote_branch_whose_name_may_fool_a_terminal_is_not_named(
    repository: Repository,
) -> None:
    head = commit(repository.top)
    git(repository.top, "checkout", "--quiet", "--detach")
    git(repository.top, "branch", "--quiet", "--delete", "main")
    git(repository.top, "update-ref", "refs/remotes/origin/\u202e\u009b2J", head)
    assert repository.nearest_branches([head]) == {}


def test_the_nearest_branch(repository: Repository, tmp_path: Path) -> None:
    base = repository.commit() or ""
    git(tmp_path, "clone", "--quiet", str(repository.top), "clone")
    git(repository.top, "checkout", "--quiet", "-b", "feature")
    head = commit(repository.top)
    clone = found(tmp_path / "clone")
    git(clone.top, "fetch", "--quiet")

    local = {base: "main", head: "feature"}
    assert repository.nearest_branches([base, head]) == local
    assert clone.nearest_branches([base, head]) == {base: "main", head: "origin/feature"}
    git(repository.top, "checkout", "--quiet", "--detach")
    assert repository.nearest_branches([commit(repository.top)]) == {}


def test_the_commits_before_changes_of_files(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    first = commit(tmp_path, "a")
    second = commit(tmp_path, "b")
    commit(tmp_path, "c")
    write(tmp_path, "b", "other")
    (tmp_path / "a").unlink()
    before = git(tmp_path, "rev-parse", "HEAD")
    last = commit(tmp_path)
    repository = found(tmp_path)

    assert repository.before_changes(["b"], "HEAD") == [before, first]
    assert repository.before_changes(["b", "c"], last) == [before, second, first]
    assert repository.before_changes(["b"], second) == [first]
    # Nothing was there before the first commit, and deletions are no changes.
    assert repository.before_changes(["a", "none"], "HEAD") == []


def test_the_commits_before_deletions_of_files(repository: Repository) -> None:
    """Git is asked once for all of them."""
    top = repository.top
    names = ["a.py", "with\nbreak.py", "[b].py", "still.py", "umläut.py"]
    first = commit(top, *names, "b.py")
    (top / "a.py").unlink()
    second = commit(top)
    for name in ("with\nbreak.py", "[b].py", "umläut.py"):
        (top / name).unlink()
    third = commit(top, "a.py")
    (top / "a.py").unlink()
    last = commit(top)
    found = repository.before_deletions([*names, "never.py"], last)
    assert {path: repository.commit(before) for path, before in found.items()} == {
        "a.py": third,
        "with\nbreak.py": second,
        "[b].py": second,
        "umläut.py": second,
    }
    assert {*repository.before_deletions(["a.py"], second).values()} == {first[:7]}
    assert repository.before_deletions([], last) == {}


# Partial clones


@pytest.fixture
def partial(repository: Repository, tmp_path: Path) -> Repository:
    """A clone that has the texts of main alone. The remote is out of reach."""
    commit(repository.top, "a.py", "settings.py")
    git(repository.top, "checkout", "--quiet", "-b", "other")
    commit(repository.top, "b.py")
    git(repository.top, "checkout", "--quiet", "main")
    write(repository.top, "settings.py", "changed\n")
    commit(repository.top)
    git(repository.top, "config", "uploadpack.allowFilter", "true")
    url, clone = f"file://{repository.top}", tmp_path / "partial"
    git(tmp_path, "clone", "--quiet", "--filter=blob:none", url, str(clone))
    repository.top.rename(tmp_path / "gone")
    return found(clone)


def test_a_partial_clone_reads_what_it_has(partial: Repository) -> None:
    names = ["HEAD:a.py", "origin/other:b.py", "origin/other:a.py", "0" * 40]
    names = [git(partial.top, "rev-parse", name) for name in names]
    assert [*partial.contents(names).values()] == [b"a.py\n"]
    names = ["a.py", "b.py", "settings.py"]
    both = {str(one.path) for one in partial.other_versions(names, [])}
    assert both == {"a.py", "b.py", "settings.py"}
    with pytest.raises(Incomplete):
        partial.mentions("settings", "", partial.branch_tips().values())


def test_a_clone_without_trees_says_what_can_not_be_read(
    repository: Repository, tmp_path: Path
) -> None:
    first = commit(repository.top, "a.py")
    write(repository.top, "a.py", "changed\n")
    tip = commit(repository.top)
    git(repository.top, "config", "uploadpack.allowFilter", "true")
    url, clone = f"file://{repository.top}", tmp_path / "treeless"
    git(tmp_path, "clone", "--quiet", "--filter=tree:0", url, str(clone))
    treeless = found(clone)
    lacks = "lacks the trees of earlier commits, so which migrations they had can't be read. Run"
    with pytest.raises(Incomplete, match=lacks):
        treeless.versions(["a.py"], [tip])
    with pytest.raises(Incomplete, match=lacks):
        treeless.other_versions(["a.py"], [])
    with pytest.raises(Incomplete, match=lacks):
        treeless.before_deletions(["a.py"], tip)
    with pytest.raises(Incomplete, match=lacks):
        treeless.before_changes(["a.py"], tip)
    git(clone, *COMPLETE.split()[1:])
    assert [one.commit for one in treeless.versions(["a.py"], [tip])] == [tip, first]


def test_a_partial_clone_says_what_completes_it(partial: Repository, tmp_path: Path) -> None:
    assert partial.completion() == COMPLETE
    with pytest.raises(Incomplete) as caught:
        partial.git("log", "-Stext", "--all")
    assert str(caught.value) == (
        "This partial clone lacks what is needed here. Run `git fetch --refetch --no-filter`, "
        "which brings it."
    )
    (tmp_path / "gone").rename(tmp_path / "repository")
    with pytest.raises(Incomplete):  # Nothing is fetched without being asked for.
        partial.git("log", "-Stext", "--all")
    git(partial.top, *COMPLETE.split()[1:])
    assert partial.git("show", "origin/other:b.py") == b"b.py\n"
