"""
A switch that ends suddenly loses nothing, and the next one finishes it.

Where it ends is random. A failure says the seed; with ``STASH_KILL_SEED`` set to that, the same
examples are run again.
"""

import json
import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.branches.histories import SEE, observe
from tests.branches.shop import ID, PRODUCT
from tests.branches.stash.stashing import go, kept, make_branch, values
from tests.branches.stash.test_stash import make_products
from tests.branches.test_kill import PROFILE, differences, with_environment
from tests.databases import MAKERS, Configuration
from tests.project import Project, Result

pytestmark = [pytest.mark.long, pytest.mark.no_cover, pytest.mark.once]

PARTS = 8 if PROFILE == "thorough" else 1
"""So many tests share the work, as each has to end in time."""
KILLS = {"quick": 4, "default": 7, "thorough": 25}[PROFILE]
DISCONNECTIONS = {"quick": 2, "default": 3, "thorough": 7}[PROFILE]
# What each change has to pass is the same each time; longer runs look for more.
SEED = int(os.environ.get("STASH_KILL_SEED", 1 if PROFILE == "quick" else random.randrange(10**6)))

READS = ("SELECT", "SHOW", "PRAGMA", "SET", "\n")
"""What statements that change nothing begin with; Django's longer questions with a new line."""

TOUR = ("main", "one", "main", "two", "one", "two", "main")
"""From each branch to each other one."""

INCIDENT = """\
import json
import os
import signal
import threading
import time

from django.db.backends.signals import connection_created

INCIDENT = json.loads(os.environ.get("INCIDENT", "{}"))
LOG = os.environ.get("STATEMENT_LOG")
KILL_CONNECTION = {"postgresql": "SELECT pg_terminate_backend(%s)", "mysql": "KILL %s"}
count = 0


def execute(run, sql, params, many, context):
    global count
    count += 1
    happen(count, "before", context["connection"])
    if LOG:
        with open(LOG, "a") as log:
            log.write(json.dumps([time.monotonic(), str(sql)]) + "\\n")
    try:
        return run(sql, params, many, context)
    finally:
        happen(count, "after", context["connection"])
        if all(part in str(sql) for part in INCIDENT.get("parts", ["no such"])):
            kill()


def happen(number, when, connection):
    if INCIDENT.get("kill") == [number, when]:
        kill()
    if INCIDENT.get("disconnect") == [number, when]:
        disconnect(connection)


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def disconnect(connection):
    own = connection.connection
    number = own.info.backend_pid if connection.vendor == "postgresql" else own.thread_id()
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute(KILL_CONNECTION[connection.vendor], [number])
    other.close()


def install(connection, **kwargs):
    # The first of all wrappers is the outermost: others may replace a statement.
    if execute not in connection.execute_wrappers:
        connection.execute_wrappers.insert(0, execute)
    if "seconds" in INCIDENT:
        timer = threading.Timer(INCIDENT.pop("seconds"), kill)
        timer.daemon = True
        timer.start()


connection_created.connect(install)
"""

_LOOK = """
def content(cursor, table):
    cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
    names = [column[0] for column in cursor.description]
    rows = [dict(zip(names, map(str, row))) for row in cursor.fetchall()]
    return sorted(rows, key=lambda row: sorted(row.items()))

def kept_columns(cursor, ours):
    # Column by column: what is one entry depends on the way that was taken.
    for row in content(cursor, "django_devtools_stash") if ours else ():
        copy = "django_devtools_stash_" + row["id"]
        rows = content(cursor, copy) if copy in ours else []
        narrowed = content(cursor, copy + "_narrowed") if copy + "_narrowed" in ours else []
        ours -= {copy, copy + "_narrowed"}
        columns = json.loads(row["columns"])
        if any(values[-1] for values in columns.values()):  # something stands in for it
            ours.discard(copy + "_made")
        for column, (kind, _, _, becomes, *_) in columns.items():
            kept = {one["id"]: one[column] for one in rows}
            left = {one["id"]: one[becomes[1]] for one in narrowed} if becomes else {}
            same = [key for key in kept if kept[key] == left.get(key)]
            facts = {name: row[name] for name in ("reason", "status", "steps")}
            yield f"{row['table']}.{column} {row['status']}", {
                "status": row["status"],
                "table": row["table"],
                "column": column,
                "type": kind,
                "kept": {key: kept[key] for key in kept if key not in same},
                "left": {key: left[key] for key in left if key not in same},
                **facts,
            }

with connection.cursor() as cursor:
    tables = connection.introspection.table_names(cursor)
    ours = {table for table in tables if table.startswith("django_devtools_stash")}
    stash = list(kept_columns(cursor, ours))
    print(json.dumps({
        "rows": {t: content(cursor, t) for t in tables if not t.startswith("django_")},
        "schema": schema(cursor),
        "applied": sorted(map(list, MigrationRecorder(connection).applied_migrations())),
        "stash": dict(stash),
        "number of kept columns": len(stash),
        "strays": sorted(ours - {"django_devtools_stash"} if stash else ours),
    }))
"""
LOOK = SEE + _LOOK

MOVED = {("shop_product", "stock"), ("shop_event", "id"), ("shop_event", "text")}
"""The columns that migrations themselves change in tables that stay."""

MAIN = {
    "shop": """\
        class Product(models.Model):
            name = models.CharField(max_length=40)
            legacy = models.IntegerField(null=True)
            note = models.CharField(max_length=60, null=True)
            price = models.DecimalField(max_digits=8, decimal_places=2)
            stock = models.IntegerField(default=0)

        class Shelf(models.Model):
            product = models.ForeignKey(Product, models.CASCADE)
            within = models.ForeignKey("self", models.CASCADE, null=True)

        class Event(models.Model):
            text = models.CharField(max_length=20)
        """,
    "crm": """\
        class Customer(models.Model):
            name = models.CharField(max_length=60)
            born = models.DateField(null=True)
        """,
}
ONE = {
    "shop": """\
        class Product(models.Model):
            name = models.CharField(max_length=40)
            note = models.CharField(max_length=60, default="-")
            price = models.DecimalField(max_digits=8, decimal_places=2)
            stock = models.IntegerField(default=0)
            weight = models.IntegerField(default=1)

        class Event(models.Model):
            text = models.CharField(max_length=20)

        class Tag(models.Model):
            name = models.CharField(max_length=20, unique=True)

        class Review(models.Model):
            product = models.ForeignKey(Product, models.CASCADE)
            text = models.TextField()
            answer_to = models.ForeignKey("self", models.CASCADE, null=True)
            tags = models.ManyToManyField(Tag)
        """,
    "crm": MAIN["crm"],
}
TWO = {
    "shop": """\
        class Product(models.Model):
            name = models.CharField(max_length=100)
            legacy = models.IntegerField(null=True)
            note = models.CharField(max_length=60, null=True)
            price = models.DecimalField(max_digits=12, decimal_places=4)
            stock = models.IntegerField(default=0)
            maker = models.CharField(max_length=20, null=True, unique=True)
            buyers = models.ManyToManyField("crm.Customer")

        class Shelf(models.Model):
            product = models.ForeignKey(Product, models.CASCADE)
            within = models.ForeignKey("self", models.CASCADE, null=True)

        class Event(models.Model):
            text = models.CharField(max_length=20)
        """,
    "crm": """\
        class Customer(models.Model):
            name = models.CharField(max_length=60)
            first = models.ForeignKey("shop.Product", models.SET_NULL, null=True)

        class Invoice(models.Model):
            customer = models.ForeignKey(Customer, models.CASCADE)
            total = models.DecimalField(max_digits=8, decimal_places=3)
        """,
}
DATA = """
def forwards(apps, schema_editor):
    for number in (101, 102):
        apps.get_model("shop", "Tag").objects.create(id=number, name=f"t{number}")
        apps.get_model("shop", "Event").objects.create(id=number, text=f"e{number}")
    apps.get_model("shop", "Product").objects.update(stock=models.F("stock") + 1, weight=7)

def backwards(apps, schema_editor):
    for name in ("Event", "Tag"):
        apps.get_model("shop", name).objects.filter(id__in=(101, 102)).delete()
    apps.get_model("shop", "Product").objects.update(stock=models.F("stock") - 1)
"""
ROWS = {
    "main": """
        from crm.models import *
        from shop.models import *
        for n in range(1, 5):
            product = Product.objects.create(
                name=f"p{n}", legacy=n, note=f"é {n}" if n % 2 else None, price=f"{n}.25"
            )
            shelf = Shelf.objects.create(product=product)
            Shelf.objects.create(product=product, within=shelf)
            Customer.objects.create(name=f"c{n}", born=f"2000-01-0{n}" if n % 2 else None)
        Event.objects.create(text="opened")
        """,
    "one": """
        from shop.models import *
        for product in Product.objects.order_by("id"):
            product.weight = 10 * product.id
            product.save()
            review = Review.objects.create(product=product, text=f"ü {product.id}" * 20)
            answer = Review.objects.create(product=product, text="no", answer_to=review)
            answer.tags.add(Tag.objects.create(name=f"own {product.id}"))
            review.tags.add(Tag.objects.get(id=101))
        """,
    "two": """
        from crm.models import *
        from shop.models import *
        for product in Product.objects.order_by("id"):
            customer = Customer.objects.get(id=product.id)
            customer.first = product
            customer.save()
            product.price = f"{product.id}.2512"
            product.name = f"p{product.id} " + 80 * "x"
            product.maker = f"m{product.id}"
            product.save()
            product.buyers.add(customer)
            Invoice.objects.create(customer=customer, total=f"{product.id}.125")
        """,
}


def make_branches(project: Project) -> None:
    """Main, and two branches from there: one drops and narrows what main has, and so does two."""
    project.write("config/incident.py", INCIDENT)
    project.settings("from config import incident")
    for app, text in MAIN.items():
        project.app(app, text)
    project.migration(
        "shop",
        "0001_initial",
        f"""
        migrations.CreateModel("Product", [
            {ID}
            ("name", models.CharField(max_length=40)),
            ("legacy", models.IntegerField(null=True)),
            ("note", models.CharField(max_length=60, null=True)),
            ("price", models.DecimalField(max_digits=8, decimal_places=2)),
            ("stock", models.IntegerField(default=0)),
        ]),
        migrations.CreateModel("Shelf", [
            {ID}
            ("product", models.ForeignKey("shop.product", models.CASCADE)),
            ("within", models.ForeignKey("shop.shelf", models.CASCADE, null=True)),
        ]),
        migrations.CreateModel("Event", [{ID} ("text", models.CharField(max_length=20))]),
        """,
    )
    project.migration(
        "crm",
        "0001_initial",
        f"""
        migrations.CreateModel("Customer", [
            {ID}
            ("name", models.CharField(max_length=60)),
            ("born", models.DateField(null=True)),
        ]),
        """,
    )
    project.commit("Main")
    for branch, make in (("one", _make_one), ("two", _make_two)):
        project.checkout("-b", branch, "main")
        make(project)
        project.commit(branch)
    project.checkout("main")


def _make_one(project: Project) -> None:
    for app, text in ONE.items():
        project.models(app, text)
    project.migration(
        "shop",
        "0002_review",
        f"""
        migrations.CreateModel("Tag", [
            {ID} ("name", models.CharField(max_length=20, unique=True)),
        ]),
        migrations.CreateModel("Review", [
            {ID}
            ("product", models.ForeignKey("shop.product", models.CASCADE)),
            ("text", models.TextField()),
            ("answer_to", models.ForeignKey("shop.review", models.CASCADE, null=True)),
            ("tags", models.ManyToManyField("shop.tag")),
        ]),
        migrations.AddField("product", "weight", models.IntegerField(default=1)),
        """,
        [("shop", "0001_initial")],
    )
    project.migration(
        "shop",
        "0003_data",
        "migrations.RunPython(forwards, backwards),",
        [("shop", "0002_review")],
        before=DATA,
    )
    project.migration(
        "shop",
        "0004_less",
        """
        migrations.RemoveField("product", "legacy"),
        migrations.DeleteModel("Shelf"),
        migrations.AlterField("product", "note", models.CharField(max_length=60, default="-")),
        """,
        [("shop", "0003_data")],
    )


def _make_two(project: Project) -> None:
    for app, text in TWO.items():
        project.models(app, text)
    project.migration(
        "crm",
        "0002_invoice",
        f"""
        migrations.CreateModel("Invoice", [
            {ID}
            ("customer", models.ForeignKey("crm.customer", models.CASCADE)),
            ("total", models.DecimalField(max_digits=8, decimal_places=3)),
        ]),
        migrations.RemoveField("customer", "born"),
        """,
        [("crm", "0001_initial")],
    )
    project.migration(
        "shop",
        "0002_wider",
        """
        migrations.AlterField("product", "name", models.CharField(max_length=100)),
        migrations.AlterField(
            "product", "price", models.DecimalField(max_digits=12, decimal_places=4)
        ),
        migrations.AddField(
            "product", "maker", models.CharField(max_length=20, null=True, unique=True)
        ),
        """,
        [("shop", "0001_initial")],
        body="atomic = False",
    )
    project.migration(
        "crm",
        "0003_first",
        """
        migrations.AddField("customer", "first", models.ForeignKey(
            "shop.product", models.SET_NULL, null=True,
        )),
        """,
        [("crm", "0002_invoice"), ("shop", "0002_wider")],
    )
    project.migration(
        "shop",
        "0003_buyers",
        'migrations.AddField("product", "buyers", models.ManyToManyField("crm.customer")),',
        [("shop", "0002_wider"), ("crm", "0002_invoice")],
    )


@dataclass(frozen=True)
class Run:
    """What an undisturbed switch is like."""

    result: dict[str, Any]
    """What the database looks like after it."""
    first: int
    """Its first statement that writes."""
    last: int
    seconds: float


@dataclass
class Scene:
    """A project, and a database that was on all of its branches."""

    project: Project
    make_database: Callable[[], Configuration]
    log: Path
    branch: str = "main"
    """Where the database is."""
    now: dict[str, Any] = field(default_factory=dict)
    """What it looks like."""
    runs: dict[tuple[str, str], Run] = field(default_factory=dict)
    """How it goes from each branch to each other one."""
    killed: int = 0
    """How many switches were killed."""

    def fill(self) -> None:
        """Rows of each branch, in a new database that ends on main."""
        self.project.databases = {"default": self.make_database()}
        self.project.checkout("main")
        self.project.manage("migrate", "--verbosity=0")
        self.project.python(ROWS["main"])
        for branch in ("one", "two"):
            self.project.checkout(branch)
            self.project.switch()
            self.project.python(ROWS[branch])
            self.project.checkout("main")
            self.project.switch()
        self.branch, self.now = "main", self.look()

    def tour(self) -> None:
        """See what undisturbed switches do."""
        rows = {"main": self.now["rows"]}
        for origin, branch in pairwise(TOUR):
            self.project.checkout(branch)
            self.log.unlink(missing_ok=True)
            with with_environment(self.project, {"STATEMENT_LOG": str(self.log)}):
                self.project.switch()
            log = [json.loads(line) for line in self.log.read_text().splitlines()]
            first = next(n for n, (_, sql) in enumerate(log, 1) if not sql.startswith(READS))
            self.now = self.look()
            self.runs[origin, branch] = Run(self.now, first, len(log), log[-1][0] - log[0][0])
            if branch not in rows:
                rows[branch] = self.now["rows"]
                assert observe(self.project)["models agree"]
            assert self.now["rows"] == rows[branch]

    def look(self) -> dict[str, Any]:
        return dict(json.loads(self.project.python(LOOK)))

    def switch(self, **incident: Any) -> Result:
        """Run a switch that may come to a sudden end."""
        with with_environment(self.project, {"INCIDENT": json.dumps(incident)}):
            result = self.project.manage("migrations_switch", "--no-input", status=None)
        self.killed += result.status == -9
        return result

    def problems(self, branch: str, wanted: dict[str, Any]) -> list[str]:
        """What is not as it should be after one more switch to ``branch``."""
        self.project.checkout(branch)
        result = self.project.manage("migrations_switch", "--no-input", status=None)
        if result.status:
            return [result.stderr.strip().splitlines()[-1]]
        self.branch, self.now = branch, self.look()
        return list(differences(self.now, wanted))

    def pages(self) -> int:
        """How large an SQLite database is without what is free in it."""
        with closing(sqlite3.connect(self.project.databases["default"]["NAME"])) as connection:
            connection.execute("VACUUM")
            return int(connection.execute("PRAGMA page_count").fetchone()[0])

    def lost(self) -> list[str]:
        """What there was, and is neither in its place any more nor in a complete copy."""
        # What is left of a narrowed value is no loss where the value itself is kept.
        treasures = _values(self.now) - _kept(self.now, "left")
        return sorted(map(str, treasures - _values(self.look())))


def _values(look: dict[str, Any]) -> set[tuple[str, str, str, str]]:
    """The values in tables and in the stash: table, column, key, value."""
    found = {
        (table, column, row["id"], value)
        for table, rows in look["rows"].items()
        for row in rows
        for column, value in row.items()
        if (table, column) not in MOVED and value != "None"  # which comes back by itself
    }
    return found | _kept(look, "kept")


def _kept(look: dict[str, Any], which: str) -> set[tuple[str, str, str, str]]:
    """The values in complete copies; or, of those that are narrower now, what is left."""
    return {
        (one["table"], one["column"], key, value)
        for one in look["stash"].values()
        for key, value in one[which].items()
        if one["status"] != "copying" and value != "None"
    }


@pytest.fixture(params=list(MAKERS))
def vendor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def scene(
    vendor: str,
    make_database: Callable[[str], Configuration],
    make_project: Callable[..., Project],
    tmp_path: Path,
) -> Scene:
    make = partial(make_database, vendor)
    scene = Scene(make_project(default=make()), make, tmp_path / "statements")
    make_branches(scene.project)
    scene.fill()
    return scene


@pytest.mark.parametrize("part", range(PARTS))
def test_sudden_ends(scene: Scene, vendor: str, part: int) -> None:
    # However it fails.
    print(f"STASH_KILL_SEED={SEED}")
    scene.tour()
    disconnections = DISCONNECTIONS if vendor != "sqlite" else 0
    failures = []
    for number, kind in enumerate(["kill"] * KILLS + ["disconnect"] * disconnections):
        name = f"seed {SEED}, part {part}, example {number}"
        what, found = sudden_end(scene, kind, random.Random(name))
        if found:
            failures.append("\n    ".join([f"{name}, {what}", *found]))
            scene.fill()
    print(f"{scene.killed} switches were killed.")
    assert scene.killed
    assert not failures, "\n".join(failures)


def sudden_end(scene: Scene, kind: str, chance: random.Random) -> tuple[str, list[str]]:
    """End a switch once or twice, then finish it or go back: what was done, and what is wrong."""
    origin, before = scene.branch, scene.now
    branch = chance.choice([other for other in ROWS if other != origin])
    run = scene.runs[origin, branch]
    what = f"{origin} to {branch}"
    found = []
    scene.project.checkout(branch)
    for _ in range(chance.choice((1, 1, 2)) if kind == "kill" else 1):
        incident = random_incident(chance, kind, run)
        what += f", {incident}"
        result = scene.switch(**incident)
        found += [f"neither here nor there: {value}" for value in scene.lost()]
        # A switch that goes on after a kill has fewer statements, and may never come to this one.
        if kind == "disconnect" and result.status and not says_what_to_type(result):
            found += ["it does not say how to go on", *result.stderr.splitlines()[-3:]]
        elif kind == "kill" and result.status not in (-9, 0):
            found += result.stderr.splitlines()[-3:]
    if chance.random() < 0.7:
        return what, found + scene.problems(branch, run.result)
    return f"{what}, and back", found + scene.problems(origin, before)


def random_incident(chance: random.Random, kind: str, run: Run) -> dict[str, Any]:
    """At a statement, or at a moment that nothing is known of."""
    number = chance.randint(run.first, run.last)
    if kind == "disconnect":
        return {kind: [number, "before"]}
    if chance.random() < 0.3:
        return {"seconds": chance.uniform(0, run.seconds)}
    return {kind: [number, chance.choice(("before", "after"))]}


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_full_disk(scene: Scene) -> None:
    """Nothing is dropped that can't be kept, and nothing forgotten that can't come back."""
    scene.project.checkout("one")
    scene.project.switch()
    scene.project.python('from shop.models import *; Review.objects.update(text=100 * 1024 * "x")')
    scene.branch, scene.now = "one", scene.look()
    before = scene.now
    database = dict(scene.project.databases["default"])
    for branch in ("main", "one"):
        scene.project.checkout(branch)
        pages = scene.pages()
        # A copy of the rows is some 200 pages.
        for more in (1, 10, 100):
            limit = {"init_command": f"PRAGMA max_page_count={pages + more}"}
            scene.project.databases = {"default": {**database, "OPTIONS": limit}}
            result = scene.switch()
            scene.project.databases = {"default": database}
            assert result.status == 1
            assert "database or disk is full" in result.stderr
            assert says_what_to_type(result)
            assert not scene.lost()
        scene.project.switch()
        scene.branch, scene.now = branch, scene.look()
    assert not list(differences(scene.now, before))


def test_killed_when_the_stash_follows_a_rename(vendor_project: Project) -> None:
    """What is edited after that is found, as if the switch had run through."""
    project = vendor_project
    project.write("config/incident.py", INCIDENT)
    project.settings("from config import incident")
    make_products(project)
    make_branch(project, "wide", PRODUCT.replace("50", "90"))
    project.switch()
    project.python('from shop.models import *; Product.objects.update(name=80 * "x")')
    go(project, "main")
    project.models("shop", PRODUCT.replace("name", "title"))
    rename = 'migrations.RenameField("product", "name", "title"),'
    project.migration("shop", "0003_title", rename, [("shop", "0002_longer_name")])
    project.commit("Title")
    incident = {"parts": ["django_devtools_stash", "RENAME COLUMN"]}
    with with_environment(project, {"INCIDENT": json.dumps(incident)}):
        killed = project.manage("migrations_switch", "--no-input", status=None)
    project.switch()
    project.python('from shop.models import *; Product.objects.filter(pk=2).update(title="new")')
    go(project, "wide")
    assert killed.status == -9
    assert values(project, "name") == f"{80 * 'x'}; new; {80 * 'x'}"
    assert not kept(project)


def says_what_to_type(result: Result) -> bool:
    return "run `manage.py migrations_switch` again" in result.stderr and (
        "Traceback" not in result.stderr
    )
