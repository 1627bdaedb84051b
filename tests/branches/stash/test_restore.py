"""How data comes back: fast, and without a trace."""

from collections.abc import Callable
from io import StringIO

from django.core.management.base import OutputWrapper
from django.core.management.color import no_style
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.state import ProjectState

from django_devtools.branches.progress import Progress
from django_devtools.branches.schema.changes import DataLoss
from django_devtools.branches.schema.dialects import dialect_of
from django_devtools.branches.stash.entries import Step
from django_devtools.branches.stash.restore import Restore
from django_devtools.branches.stash.stash import Stash
from tests.branches.shop import PRODUCT, make_shop
from tests.branches.stash.stashing import go, make_branch
from tests.databases import Configuration
from tests.project import Project
from tests.templates import made_once

WEIGHT = "    weight = models.IntegerField(default=0)\n"
REVIEW = """
class Review(models.Model):
    product = models.ForeignKey(Product, models.CASCADE)
    text = models.TextField()
"""
ROWS = """
from shop.models import *
print(Product.objects.order_by("pk").values(), Review.objects.order_by("pk").values())
"""
CONSTRAINTS = """
from django.db import connection
with connection.cursor() as cursor:
    for table in sorted(connection.introspection.table_names(cursor)):
        found = connection.introspection.get_constraints(cursor, table)
        for name, constraint in sorted(found.items()):
            print(table, name, *sorted(constraint.items()))
"""
PLACES = """
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("SELECT id, ctid FROM shop_product ORDER BY id")
    print(*cursor.fetchall())
"""
READ = """
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("SELECT relname, seq_tup_read FROM pg_stat_user_tables")
    print(dict(cursor.fetchall())["django_devtools_stash_1"])
"""


@made_once
def make_shop_with_reviews(project: Project) -> None:
    """Applied on branch feature, which is checked out, and with rows."""
    make_shop(project)
    project.checkout("-b", "feature")
    project.models("shop", PRODUCT + WEIGHT + REVIEW)
    project.manage("makemigrations", "shop", "--name=reviews")
    project.commit("Reviews")
    project.manage("migrate")
    project.python(
        """
        from shop.models import *
        for name in ("a", "b"):
            product = Product.objects.create(name=name, weight=7)
            Review.objects.create(product=product, text="Good.")
        """
    )


def test_constraints_are_as_they_were(vendor_project: Project) -> None:
    """PostgreSQL's foreign keys are dropped for the time of the filling."""
    make_shop_with_reviews(vendor_project)
    rows, constraints = vendor_project.python(ROWS), vendor_project.python(CONSTRAINTS)
    for branch in ("main", "feature"):
        vendor_project.checkout(branch)
        vendor_project.switch()
    assert vendor_project.python(ROWS) == rows
    assert vendor_project.python(CONSTRAINTS) == constraints


def test_a_migration_writes_before_its_table_is_filled(vendor_project: Project) -> None:
    """PostgreSQL alters no table whose foreign keys are still to be looked at."""
    make_shop_with_reviews(vendor_project)
    rows = vendor_project.python(ROWS)
    vendor_project.migration(
        "shop",
        "0004_first_review",
        """
        migrations.RunPython(
            lambda apps, editor: apps.get_model("shop", "Review").objects.create(
                product_id=1, text="by a migration"
            ),
            migrations.RunPython.noop,
        ),
        """,
        [("shop", "0003_reviews")],
    )
    vendor_project.commit("First review")
    vendor_project.manage("migrate")
    vendor_project.python(
        "from shop.models import *; Review.objects.get(text='by a migration').delete()"
    )
    vendor_project.checkout("main")
    vendor_project.switch()
    vendor_project.checkout("feature")
    vendor_project.switch()
    assert vendor_project.python(ROWS) == rows


def test_rows_that_do_not_change_are_not_written(
    make_project: Callable[..., Project], make_database: Callable[[str], Configuration]
) -> None:
    """A column with its default in most rows costs what the other rows cost."""
    project = make_project(default=make_database("postgresql"))
    make_shop(project)
    project.checkout("-b", "feature")
    project.models("shop", PRODUCT + WEIGHT)
    operation = 'migrations.AddField("product", "weight", models.IntegerField(default=0))'
    project.migration("shop", "0003_weight", operation, [("shop", "0002_longer_name")])
    project.commit("Weights")
    project.manage("migrate")
    project.python(
        "from shop.models import *; "
        "Product.objects.bulk_create([Product(name='a'), Product(name='b', weight=7)])"
    )
    project.checkout("main")
    project.switch()
    first, second = project.python(PLACES).split(") (")
    project.checkout("feature")
    project.switch()
    assert project.python("from shop.models import *; print(Product.objects.get(weight=7))")
    now = project.python(PLACES).split(") (")
    assert now[0] == first
    assert now[1] != second


def test_rows_that_are_refused_are_found_without_reading_the_others(
    make_project: Callable[..., Project], make_database: Callable[[str], Configuration]
) -> None:
    """The search takes some 1,300 steps, and most of them are about a few rows."""
    project = make_project(default=make_database("postgresql"))
    part = "class Part(models.Model):\n    code = models.IntegerField({})\n"
    make_shop(project)
    make_branch(project, "feature", PRODUCT + part.format(""))
    project.manage("migrate")
    project.python(
        """
        from shop.models import *
        codes = [1 if number % 100 == 0 else number for number in range(1, 10_001)]
        Part.objects.bulk_create([Part(code=code) for code in codes])
        """
    )
    go(project, "main")
    project.checkout("feature")
    project.remove("shop/migrations/0003_feature.py")
    project.models("shop", PRODUCT + part.format("unique=True"))
    project.manage("makemigrations", "shop", "--name=feature")
    project.git("commit", "--quiet", "--all", "--amend", "--message=Amended")
    result = project.manage("migrations_switch")
    assert "100 of 10000 rows of table shop_part stay in the stash" in result.stderr
    assert int(project.python(READ)) < 5_000_000


def test_restore_where_there_is_no_place(project: Project) -> None:
    make_shop_with_reviews(project)
    project.checkout("main")
    project.switch()
    result = project.manage("migrations_stash", "restore", "1")
    assert result.stderr.strip() == (
        "column shop_product.weight: still in the stash. There is no such table or column now. "
        "To look at it: manage.py migrations_stash show 1"
    )
    project.checkout("feature")
    project.switch()
    assert project.manage("migrations_stash", "list").stdout == "The stash is empty.\n"


def test_the_older_of_two_entries_for_one_column_is_named(
    connection: BaseDatabaseWrapper,
) -> None:
    key, progress = ("shop", "0002_size"), Progress(OutputWrapper(StringIO()), no_style(), 0)
    size = DataLoss(key, ("shop", "item"), "item", "size", dropped_backwards=True)
    dialect_of(connection).execute(
        "CREATE TABLE item (id integer NOT NULL PRIMARY KEY, size integer)"
    )
    stash = Stash(connection)
    for value in (1, 2):
        dialect_of(connection).execute(f"DELETE FROM item WHERE id = {value}")
        dialect_of(connection).execute(f"INSERT INTO item VALUES ({value}, {value})")
        stash.save([size], "feature", [Step(key, True)], progress)
        stash.begin()
    restore = Restore(stash, ProjectState().apps, progress)
    restore.restore(stash.entries())
    assert [entry.id for entry in restore.restored] == [2]
    (note,) = restore.notes
    assert "column item.size: still in the stash, because newer rows were restored" in note
