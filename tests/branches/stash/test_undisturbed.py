"""What triggers and materialized views see of rows that are restored."""

from collections.abc import Callable

import pytest

from tests.branches.shop import PRODUCT
from tests.branches.stash.stashing import go, kept, make_branch, values, vendor
from tests.branches.stash.test_stash import NOTE, make_products
from tests.databases import Configuration
from tests.project import Project

pytestmark = pytest.mark.once

AUDIT = "\nclass Audit(models.Model):\n    what = models.CharField(max_length=20)\n"
PART = "\nclass Part(models.Model):\n    name = models.CharField(max_length=20)\n"
WRITE = "INSERT INTO shop_audit (what) VALUES ('{0} 100%')"
TRIGGERS = {
    "sqlite": "CREATE TRIGGER audit_{0} AFTER {0} ON {1} BEGIN " + WRITE + "; END",
    "postgresql": "CREATE FUNCTION write_{0}() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN " + WRITE + "; RETURN NULL; END $$; "
    "CREATE TRIGGER audit_{0} AFTER {0} ON {1} FOR EACH ROW EXECUTE FUNCTION write_{0}()",
    "mysql": "CREATE TRIGGER audit_{0} AFTER {0} ON {1} FOR EACH ROW " + WRITE,
}
UNDO = {"postgresql": "DROP FUNCTION write_INSERT() CASCADE"}


def audited(project: Project) -> None:
    """On branch feature: a table and a column with rows, and a trigger on each table."""
    make_products(project, PRODUCT + AUDIT)
    create = TRIGGERS[vendor(project)]
    update = create.format("UPDATE", "shop_product")
    project.python(f"from django.db import connection; connection.cursor().execute({update!r})")
    make_branch(project, "feature", PRODUCT + NOTE + AUDIT + PART)
    insert = create.format("INSERT", "shop_part")
    # On SQLite and MariaDB the trigger is dropped with its table.
    undo = UNDO.get(vendor(project), "SELECT 1")
    raw = f"migrations.RunSQL({insert!r}, {undo!r}),"
    project.migration("shop", "0005_trigger", raw, [("shop", "0004_feature")])
    project.commit("Trigger")
    project.manage("migrate")
    project.python(
        "from shop.models import *; Product.objects.filter(pk=1).update(note='n'); "
        "Part.objects.create(name='a')"
    )


@pytest.mark.no_cover
def test_triggers_write_nothing(vendor_project: Project) -> None:
    """Neither that of a table that stays, nor that of one that is made again."""
    audited(vendor_project)
    written = "UPDATE 100%; INSERT 100%"
    assert values(vendor_project, "what", model="Audit") == written
    go(vendor_project, "main")

    result = go(vendor_project, "feature")

    assert values(vendor_project, "name", "note") == "p1 n; p2 None; p3 None"
    assert values(vendor_project, "name", model="Part") == "a"
    assert not kept(vendor_project)
    if vendor(vendor_project) == "mysql":
        assert result.stderr == (
            "Triggers that fired because rows were restored: audit_INSERT, audit_UPDATE. "
            "This database can't disable triggers, so look at what they write.\n"
        )
    else:
        assert result.stderr == ""
        assert values(vendor_project, "what", model="Audit") == written
        vendor_project.python("from shop.models import *; Part.objects.create(name='b')")
        assert values(vendor_project, "what", model="Audit") == f"{written}; INSERT 100%"


def test_materialized_views_are_refreshed(
    make_project: Callable[..., Project], make_database: Callable[[str], Configuration]
) -> None:
    """Also one over another view."""
    project = make_project(default=make_database("postgresql"))
    make_products(project)
    make_branch(project, "feature", PRODUCT + PART)
    create = (
        "CREATE VIEW part_names AS SELECT name FROM shop_part; "
        "CREATE MATERIALIZED VIEW names AS SELECT name FROM part_names; "
        "CREATE MATERIALIZED VIEW counted AS SELECT COUNT(*) FROM names"
    )
    raw = f"migrations.RunSQL({create!r}, 'DROP VIEW part_names CASCADE'),"
    project.migration("shop", "0004_views", raw, [("shop", "0003_feature")])
    project.commit("Views")
    project.manage("migrate")
    project.python("from shop.models import *; Part.objects.create(name='a')")
    go(project, "main")

    assert go(project, "feature").stderr == ""

    read = "SELECT name, count FROM names, counted"
    assert (
        project.python(
            "from django.db import connection\n"
            f"with connection.cursor() as c:\n    c.execute({read!r})\n    print(c.fetchall())"
        )
        == "[('a', 1)]"
    )


def test_a_view_that_can_not_be_refreshed(
    make_project: Callable[..., Project], make_database: Callable[[str], Configuration]
) -> None:
    """It is named, and the rows are restored all the same."""
    project = make_project(default=make_database("postgresql"))
    make_products(project)
    make_branch(project, "feature", PRODUCT + PART)
    create = "CREATE MATERIALIZED VIEW part AS SELECT 1 / (1 - COUNT(*)) FROM shop_part"
    raw = f"migrations.RunSQL({create!r}, 'DROP MATERIALIZED VIEW part'),"
    project.migration("shop", "0004_view", raw, [("shop", "0003_feature")])
    project.commit("View")
    project.manage("migrate")
    project.python("from shop.models import *; Part.objects.create(name='a')")
    go(project, "main")

    assert go(project, "feature").stderr == (
        "Materialized view part was not refreshed. Database error: division by zero\n"
    )
    assert values(project, "name", model="Part") == "a"
    assert not kept(project)
