"""How data comes back: fast, and without a trace."""

from collections.abc import Callable

from tests.branches.shop import PRODUCT, make_shop
from tests.branches.test_stash import DUMP, WEIGHT, make_shop_with_reviews
from tests.databases import Configuration
from tests.project import Project

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


def test_constraints_are_as_they_were(project: Project) -> None:
    """PostgreSQL's foreign keys are dropped for the time of the filling."""
    make_shop_with_reviews(project)
    rows, constraints = project.python(DUMP), project.python(CONSTRAINTS)
    for branch in ("main", "feature"):
        project.checkout(branch)
        project.switch()
    assert project.python(DUMP) == rows
    assert project.python(CONSTRAINTS) == constraints


def test_a_migration_writes_before_its_table_is_filled(project: Project) -> None:
    """PostgreSQL alters no table whose foreign keys are still to be looked at."""
    make_shop_with_reviews(project)
    rows = project.python(DUMP)
    project.migration(
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
    project.commit("First review")
    project.python("from django.core.management import call_command; call_command('migrate')")
    project.python("from shop.models import *; Review.objects.get(text='by a migration').delete()")
    project.checkout("main")
    project.switch()
    project.checkout("feature")
    project.switch()
    assert project.python(DUMP) == rows


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
