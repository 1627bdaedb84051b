"""What the tour stands on: a git repository, the commands as typed, a database to compare with."""

import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from django.core.management.color import Style, color_style, no_style
from redis import Redis
from redis.exceptions import RedisError

HERE = Path(__file__).resolve().parent
NOT_THE_SHOP = ["tour.py", "stage.py", "branches", "*.sqlite3", "__pycache__", ".*"]
BRANCHES = ["feature/reviews", "feature/discounts", "merge-heads", "edit-migration"]
REDIS = os.environ.get("REDIS_URL") or "redis://localhost:6379/15"

OPEN_THE_SHOP = """
ann = Customer.objects.create(username='ann')
home = Address.objects.create(customer=ann, street='High Street 1', city='York')
tea = Product.objects.create(name='Tea', price=100, stock=3)
order = Order.objects.create(customer=ann, deliver_to=home)
order.lines.create(product=tea)
Invoice.objects.create(order=order, total=100)
"""

CHECKS = """
from django.core.management import call_command

for command in ["makemigrations", "migrate", "migrations_switch"]:
    try:
        call_command(command, "--check")
    except SystemExit:
        raise SystemExit(f"manage.py {command} --check is not content")
"""


class Shop:
    """A working copy of the shop, its database, and what every branch's database should be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "shop"
        self.template = folder / "template"
        self.references = folder / "references"
        self.past = folder / "past"
        self.chapters = 0

    def build(self) -> None:
        """
        Make the repository: the tag v1, main on top of it, and each branch on top of main.

        The database is that of main, with one customer, one product and one order.
        """
        shutil.copytree(HERE, self.folder, ignore=shutil.ignore_patterns(*NOT_THE_SHOP))
        (self.folder / ".gitignore").write_text("__pycache__/\n*.sqlite3\n")
        self._quietly("git init -b main")
        self._quietly("git config advice.detachedHead false")
        self._commit("v1", "Open the shop")
        self._quietly("git tag v1")
        self._overlay("main")
        self._commit("main", "Add stock, article numbers, wish lists and delivery addresses")
        for branch in BRANCHES:
            self._quietly(f"git checkout -b {branch} main")
            self._overlay(branch)
            self._commit(branch, f"Work on {branch}")
        self._quietly("git checkout main")
        self.prepare("python manage.py migrate -v 0", shell(OPEN_THE_SHOP))
        self.folder.rename(self.template)

    def begin(self) -> None:
        """Start a chapter, with the shop as it was built."""
        if self.folder.exists():
            self.past.mkdir(exist_ok=True)
            self.folder.rename(self.past / str(self.chapters))
        shutil.copytree(self.template, self.folder)
        self.chapters += 1

    def prepare(self, *commands: str) -> None:
        """Run commands that the viewer need not see."""
        for command in commands:
            self._quietly(command)

    def run(self, command: str, *, says: str = "", status: int = 0, lines: int = 0) -> None:
        """Run a command as typed and print its output, or only the last `lines` of it."""
        say(typed(f"$ {command}"))
        result = _run(command, self.folder)
        output = result.stdout.rstrip().splitlines()
        if lines and len(output) > lines:
            output = ["…", *output[-lines:]]
        for line in output:
            say(failure(line) if result.returncode else line)
        say("")
        must(result.returncode == status, f"{command} exited {result.returncode}, not {status}")
        must(says in result.stdout, f"{command} did not say {says!r}")

    def show(self, file: str) -> None:
        """Print a file of the shop."""
        say(typed(f"$ cat {file}"))
        say((self.folder / file).read_text(encoding="utf-8"))

    def arrive(self, ref: str) -> None:
        """Check that code and database are those of `ref`, and nothing else."""
        here, there = self._quietly(f"git rev-parse HEAD {ref}").split()
        must(here == there, f"the checkout is not {ref}")
        self._quietly(f"python manage.py shell -v 0 -c {shlex.quote(CHECKS)}")
        ours, fresh = self.folder / "db.sqlite3", self._reference(ref)
        for what in (applied, schema):
            _same(f"{what.__name__} on {ref}", what(ours), what(fresh))
        must(not _rows(ours, "PRAGMA foreign_key_check"), f"rows on {ref} lost their parents")

    def _reference(self, ref: str) -> Path:
        """Return a database that was migrated from nothing with the code of `ref`."""
        folder = self.references / ref
        if not (folder / "db.sqlite3").exists():
            migrate = "python manage.py migrate --settings=shop.without_devtools -v 0"
            self._quietly(migrate, folder)
        return folder / "db.sqlite3"

    def _overlay(self, branch: str) -> None:
        shutil.copytree(HERE / "branches" / branch, self.folder, dirs_exist_ok=True)

    def _commit(self, ref: str, message: str) -> None:
        self._quietly("git add --all")
        self._quietly(f"git commit -m {shlex.quote(message)}")
        shutil.copytree(self.folder, self.references / ref, ignore=shutil.ignore_patterns(".git"))

    def _quietly(self, command: str, folder: Path | None = None) -> str:
        result = _run(command, folder or self.folder)
        must(result.returncode == 0, f"{command}\n{result.stdout}")
        return result.stdout


def shell(code: str) -> str:
    """Return the command that runs code in Django's shell."""
    return f'python manage.py shell -v 0 -c "{code}"'


def say(line: str) -> None:
    print(line, flush=True)


def bold(text: str) -> str:
    return _style().MIGRATE_HEADING(text)


def typed(text: str) -> str:
    return _style().SUCCESS(text)


def failure(text: str) -> str:
    return _style().ERROR(text)


def _style() -> Style:
    return no_style() if os.environ.get("NO_COLOR") else color_style()


@contextmanager
def shop() -> Iterator[Shop]:
    """Build the shop in a temporary folder, and remove it afterwards."""
    with tempfile.TemporaryDirectory(prefix="shop-") as folder:
        shop = Shop(Path(folder).resolve())
        shop.build()
        yield shop


def why_not(redis: str) -> str:
    """Return what keeps tests from using the Redis at a URL, if anything does."""
    try:
        keys = Redis.from_url(redis, socket_connect_timeout=1).dbsize()
    except (RedisError, ValueError):
        return f"none answers at {redis}"
    return f"{redis} holds {keys} keys" if keys else ""


def must(condition: bool, message: str) -> None:
    """End the tour with exit status 1 unless `condition` holds."""
    if not condition:
        raise SystemExit(f"The tour ends here: {message}")


def applied(database: Path) -> set[str]:
    """Return the migrations that a database records, twice if they are recorded twice."""
    rows = _rows(database, "SELECT app, name, count(*) FROM django_migrations GROUP BY app, name")
    return {f"{app}.{name}" + " twice" * (count - 1) for app, name, count in rows}


def schema(database: Path) -> set[str]:
    """Return every column, index, key and check of the shop, without the columns' order."""
    found = set()
    tables = """
        SELECT name, sql FROM sqlite_master
        WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'django_devtools_%'
    """
    for table, sql in _rows(database, tables):
        found |= {f"{table}: {check}" for check in re.findall(r"CHECK \(.+?\)", sql)}
        for _, *column in _rows(database, f"PRAGMA table_info({table})"):
            found.add(f"{table}: column {column}")
        for _, _, *key in _rows(database, f"PRAGMA foreign_key_list({table})"):
            found.add(f"{table}: foreign key {key}")
        for _, name, *index in _rows(database, f"PRAGMA index_list({table})"):
            columns = [row[2] for row in _rows(database, f"PRAGMA index_info({name})")]
            label = "" if name.startswith("sqlite_autoindex") else name
            found.add(f"{table}: index {label} {index} on {columns}")
    return found


def _same(what: str, ours: set[str], fresh: set[str]) -> None:
    difference = [f"only here: {item}" for item in sorted(ours - fresh)]
    difference += [f"missing: {item}" for item in sorted(fresh - ours)]
    must(not difference, "\n  ".join([f"the {what} is not that of a new database", *difference]))


def _rows(database: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


def _run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program, *arguments = shlex.split(command)
    return subprocess.run(
        [sys.executable if program == "python" else program, *arguments],
        cwd=folder,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        check=False,
    )


def _environment() -> dict[str, str]:
    """Return the environment without the reader's own settings of git, Django and pytest."""
    mine = ("GIT_", "DJANGO_", "PYTEST_")
    return {name: value for name, value in os.environ.items() if not name.startswith(mine)} | {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Shop",
        "GIT_AUTHOR_EMAIL": "shop@example.org",
        "GIT_COMMITTER_NAME": "Shop",
        "GIT_COMMITTER_EMAIL": "shop@example.org",
        "NO_COLOR": "1",
        # What takes long depends on the machine.
        "GIT_PROGRESS_DELAY": "3600",
        # A checkout within the same second could leave bytecode that passes for the new source.
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONIOENCODING": "utf-8",
        # Only the plugins that the shop needs, whatever else is installed here.
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_PLUGINS": "pytest_django.plugin,django_devtools.pytest_plugin",
    }
