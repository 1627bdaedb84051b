"""A switch that is killed anywhere is finished by the next one."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.branches.histories import from_nothing, observe
from tests.branches.shop import ID
from tests.databases import MAKERS, Configuration
from tests.project import Project

pytestmark = [pytest.mark.long, pytest.mark.once]

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "default")
STRIDE = {"quick": 61, "default": 43, "thorough": 1}[PROFILE]
"""Of all the points to kill at, every how many-th is taken."""

KILLER = """\
import json
import os
import signal

from django.db.backends.signals import connection_created

KILL_AT = json.loads(os.environ.get("KILL_AT", "null"))
LOG = os.environ.get("STATEMENT_LOG")
count = 0


def execute(run, sql, params, many, context):
    global count
    count += 1
    kill(count, "before")
    if LOG:
        with open(LOG, "a") as log:
            log.write(json.dumps(str(sql)) + "\\n")
    try:
        return run(sql, params, many, context)
    finally:
        kill(count, "after")


def kill(*point):
    if KILL_AT == list(point):
        os.kill(os.getpid(), signal.SIGKILL)


def install(connection, **kwargs):
    # The first of all wrappers is the outermost: others may replace a statement.
    if execute not in connection.execute_wrappers:
        connection.execute_wrappers.insert(0, execute)


connection_created.connect(install)
"""

PRODUCT = """\
    {name} = models.CharField(max_length={length})
    legacy = models.IntegerField({legacy})
"""
MODELS_ON_FEATURE = {
    "shop": """\
        class Label(models.Model):
            text = models.CharField(max_length=20, unique=True)

        class Product(models.Model):
            title = models.CharField(max_length=80)
            stock = models.IntegerField(default=0)
            code = models.CharField(max_length=20, null=True, unique=True)
            labels = models.ManyToManyField(Label)

            class Meta:
                indexes = [models.Index(fields=["stock"], name="ix_stock")]

        class Review(models.Model):
            product = models.ForeignKey(Product, models.CASCADE)
            author = models.ForeignKey("crm.Customer", models.CASCADE, null=True)

            class Meta:
                constraints = [
                    models.UniqueConstraint(fields=["product", "author"], name="uq_review"),
                ]
        """,
    "crm": """\
        class Customer(models.Model):
            name = models.CharField(max_length=40, db_index=True)
            age = models.IntegerField(default=0)
            favourite = models.ForeignKey("shop.Product", models.SET_NULL, null=True)

            class Meta:
                constraints = [models.UniqueConstraint(fields=["name"], name="uq_name")]
        """,
}
RESTOCK = """
def move(by):
    def run(apps, schema_editor):
        # Not to be run twice: it counts.
        apps.get_model("shop", "Product").objects.update(stock=models.F("stock") + by)
    return run
"""


def make_branches(project: Project) -> None:
    """Main with rows; and feature, with one migration of each kind that could break in two."""
    project.write("config/killer.py", KILLER)
    project.settings("from config import killer")
    _make_main(project)
    project.checkout("-b", "feature")
    _make_feature(project)
    project.checkout("main")


def fill(project: Project) -> None:
    """Rows on main, and a first way to feature and back."""
    project.manage("migrate")
    project.python(
        """
        from crm.models import Customer
        from shop.models import Product
        Product.objects.bulk_create(Product(name=name) for name in ("cup", "jug", "mug"))
        Customer.objects.create(name="Ada")
        """
    )
    for branch in ("feature", "main"):
        project.checkout(branch)
        project.switch()


def _make_main(project: Project) -> None:
    project.app(
        "shop",
        """\
        class Product(models.Model):
            name = models.CharField(max_length=40)
            legacy = models.IntegerField(null=True)
        """,
    )
    name, legacy = "models.CharField(max_length=40)", "models.IntegerField(null=True)"
    project.migration(
        "shop",
        "0001_initial",
        f'migrations.CreateModel("Product", [{ID} ("name", {name}), ("legacy", {legacy})])',
    )
    project.app(
        "crm",
        """\
        class Customer(models.Model):
            name = models.CharField(max_length=40)
            age = models.IntegerField(null=True)
        """,
    )
    age = "models.IntegerField(null=True)"
    project.migration(
        "crm",
        "0001_initial",
        f'migrations.CreateModel("Customer", [{ID} ("name", {name}), ("age", {age})])',
    )
    project.commit("Shop")


def _make_feature(project: Project) -> None:
    for app, text in MODELS_ON_FEATURE.items():
        project.models(app, text)
    project.migration(
        "shop",
        "0002_stock",
        """
        migrations.AddField("product", "stock", models.IntegerField(default=0)),
        migrations.AddField(
            "product", "code", models.CharField(max_length=20, null=True, unique=True)
        ),
        migrations.AddIndex("product", models.Index(fields=["stock"], name="ix_stock")),
        """,
        [("shop", "0001_initial")],
    )
    project.migration(
        "shop",
        "0003_restock",
        "migrations.RunPython(move(by=1), move(by=-1)),",
        [("shop", "0002_stock")],
        before=RESTOCK,
    )
    project.migration(
        "shop",
        "0004_review",
        f"""
        migrations.CreateModel(
            "Tag", [{ID} ("text", models.CharField(max_length=20, unique=True))]
        ),
        migrations.AddField("product", "tags", models.ManyToManyField("shop.tag")),
        migrations.CreateModel("Review", [
            {ID}
            ("product", models.ForeignKey("shop.product", models.CASCADE)),
            ("author", models.ForeignKey("crm.customer", models.CASCADE, null=True)),
        ]),
        migrations.AddConstraint("review", models.UniqueConstraint(
            fields=["product", "author"], name="uq_review",
        )),
        """,
        [("shop", "0003_restock"), ("crm", "0001_initial")],
    )
    project.migration(
        "shop",
        "0005_rename",
        """
        migrations.RenameField("product", "name", "title"),
        migrations.AlterField("product", "title", models.CharField(max_length=80)),
        migrations.RemoveField("product", "legacy"),
        migrations.RenameModel("Tag", "Label"),
        migrations.RenameField("product", "tags", "labels"),
        """,
        [("shop", "0004_review")],
    )
    project.migration(
        "crm",
        "0002_favourite",
        """
        migrations.AddField("customer", "favourite", models.ForeignKey(
            "shop.product", models.SET_NULL, null=True,
        )),
        migrations.AlterField(
            "customer", "name", models.CharField(max_length=40, db_index=True)
        ),
        """,
        [("crm", "0001_initial"), ("shop", "0001_initial")],
        body="atomic = False",
    )
    project.migration(
        "crm",
        "0003_unique",
        """
        migrations.AddConstraint("customer", models.UniqueConstraint(
            fields=["name"], name="uq_name",
        )),
        migrations.AlterField("customer", "age", models.IntegerField(default=0)),
        """,
        [("crm", "0002_favourite")],
    )
    project.commit("Feature")


@dataclass(frozen=True)
class Point:
    """Before or after the n-th statement of a run."""

    number: int
    when: str
    statement: str

    def __str__(self) -> str:
        return f"killed {self.when} statement {self.number}: {self.statement}"

    def environment(self) -> dict[str, str]:
        return {"KILL_AT": json.dumps([self.number, self.when])}


@dataclass(frozen=True)
class Scene:
    """A project, and what its database should look like on each of its branches."""

    project: Project
    make_database: Callable[[], Configuration]
    expected: dict[str, Any]

    def go(self, branch: str) -> None:
        """Go to a branch without any incident."""
        self.project.checkout(branch)
        self.project.switch()

    def points(self, branch: str, directory: Path) -> list[Point]:
        """
        Where the switch to ``branch`` can be killed; makes it.

        Between two statements that only read, nothing changes: only the first of them counts.
        """
        log = directory / f"statements-{branch}"
        self.project.checkout(branch)
        with with_environment(self.project, {"STATEMENT_LOG": str(log)}):
            self.project.switch()
        points, wrote = [], False
        for number, line in enumerate(log.read_text().splitlines(), 1):
            statement = json.loads(line)
            writes = not statement.lstrip().upper().startswith(("SELECT", "SHOW", "PRAGMA"))
            if writes or wrote:
                points.append(Point(number, "before", statement))
            if writes:
                points.append(Point(number, "after", statement))
            wrote = writes
        return points

    def kill(self, point: Point) -> None:
        """Run a switch to its sudden end."""
        with with_environment(self.project, point.environment()):
            result = self.project.manage("migrations_switch", "--no-input", status=None)
        assert result.status == -9, result.stdout + result.stderr

    def failure(self, branch: str) -> str | None:
        """What went wrong when the switch to ``branch`` was run again; None as it should be."""
        self.project.checkout(branch)
        result = self.project.manage("migrations_switch", "--no-input", status=None)
        if result.status:
            return result.stderr.strip().splitlines()[-1]
        return "; ".join(differences(observe(self.project), self.expected[branch])) or None

    def finish(self, branch: str, how: str) -> list[str]:
        """Switch to ``branch`` after a kill. A failure is returned, and made good."""
        failure = self.failure(branch)
        if failure is None:
            return []
        self.project.checkout("main")
        self.project.databases = {"default": self.make_database()}
        fill(self.project)
        self.go(branch)
        return [f"{how}\n    {failure}"]


@contextmanager
def with_environment(project: Project, environment: dict[str, str]) -> Iterator[None]:
    project.environment.update(environment)
    yield
    for name in environment:
        del project.environment[name]


def differences(found: dict[str, Any], wanted: dict[str, Any]) -> Iterator[str]:
    """The parts that differ, for the reader of a failed test."""
    for name in sorted({*found, *wanted}):
        one, other = found.get(name), wanted.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from differences(one, other)
        elif one != other:
            yield f"{name}: {one} != {other}"


@pytest.fixture(params=list(MAKERS))
def scene(
    request: pytest.FixtureRequest,
    make_database: Callable[[str], Configuration],
    make_project: Callable[..., Project],
) -> Scene:
    """The database is in step with main, was on feature before, and has rows."""
    make = partial(make_database, request.param)
    project = make_project(default=make())
    make_branches(project)
    fill(project)
    expected = {}
    for branch in ("feature", "main"):
        project.checkout(branch)
        project.switch()
        rows = observe(project)["rows"]
        expected[branch] = {**from_nothing(project, make()), "rows": rows}
    stocks = expected["feature"]["rows"]["shop_product"]
    assert all("('stock', 1)" in row for row in stocks)
    return Scene(project, make, expected)


@pytest.mark.no_cover
def test_running_again_finishes_it(scene: Scene, tmp_path: Path) -> None:
    failures = []
    for branch, point in there_and_back(scene, tmp_path, STRIDE):
        scene.project.checkout(branch)
        scene.kill(point)
        failures += scene.finish(branch, f"To {branch}, {point}")
    assert not failures, "\n".join(failures)


@pytest.mark.no_cover
def test_killed_again_while_finishing(scene: Scene, tmp_path: Path) -> None:
    failures = []
    for branch, point in there_and_back(scene, tmp_path, 3 * STRIDE):
        scene.project.checkout(branch)
        scene.kill(point)
        second = replace(point, number=max(point.number // 2, 20))
        with with_environment(scene.project, second.environment()):
            scene.project.manage("migrations_switch", "--no-input", status=None)
        how = f"To {branch}, {point}, and again at statement {second.number}"
        failures += scene.finish(branch, how)
    assert not failures, "\n".join(failures)


def test_going_back_instead_undoes_it(scene: Scene, tmp_path: Path) -> None:
    failures = []
    points = {branch: scene.points(branch, tmp_path) for branch in ("feature", "main")}
    for branch, other in (("feature", "main"), ("main", "feature")):
        scene.go(other)
        for point in points[branch][::STRIDE]:
            scene.project.checkout(branch)
            scene.kill(point)
            failures += scene.finish(other, f"To {branch} and back, {point}")
    assert not failures, "\n".join(failures)


def there_and_back(scene: Scene, directory: Path, every: int) -> Iterator[tuple[str, Point]]:
    """Points on the way to feature and to main in turn; the scene is where each begins."""
    points = {branch: scene.points(branch, directory)[::every] for branch in ("feature", "main")}
    for number in range(max(map(len, points.values()))):
        for branch, found in points.items():
            if number < len(found):
                yield branch, found[number]
            else:
                scene.go(branch)


STALE = """
from django.db import DatabaseError, connection
from django_devtools.branches.running.journal import tolerant
with connection.cursor() as cursor:
    cursor.execute("CREATE TABLE t (j longtext NULL CHECK (json_valid(j)))")
    cursor.execute("SELECT 1 FROM t AS other")
    try:
        with tolerant(connection):
            cursor.execute("ALTER TABLE t RENAME COLUMN j TO k")
    except DatabaseError as error:
        print(error.args[1])
    cursor.execute("ALTER TABLE t RENAME COLUMN j TO k")
    with tolerant(connection):
        cursor.execute("ALTER TABLE t RENAME COLUMN j TO k")
"""


def test_what_mariadb_refuses_is_not_taken_for_done(
    make_project: Callable[..., Project], make_database: Callable[[str], Configuration]
) -> None:
    project = make_project(default=make_database("mariadb"))
    assert project.python(STALE) == "Unknown column 'j' in 'CHECK'"
