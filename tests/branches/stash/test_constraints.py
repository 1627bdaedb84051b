"""Constraints over a column that is made again, which only the values of before satisfy."""

from collections.abc import Callable

import pytest

from tests.branches.shop import PRODUCT, make_shop
from tests.branches.stash.stashing import dump, go, kept, make_branch
from tests.branches.stash.test_owners import fill
from tests.branches.stash.test_stash import make_shop_of
from tests.databases import Configuration
from tests.project import Project

NUMBER = PRODUCT + "    number = models.IntegerField({})\n    class Meta:\n        {}\n"
TOGETHER = "unique_together = [('name', 'number')]"
UNIQUE = "constraints = [models.UniqueConstraint(fields=['name', 'number'], name='one')]"
CHECK = "constraints = [models.CheckConstraint(condition=models.Q(number__gt=0), name='more')]"
ROWS = "[Product.objects.create(name='same', number=number) for number in (1, 2, 3)]"


@pytest.mark.parametrize("default", ["", "default=0"])
@pytest.mark.parametrize("constraint", [TOGETHER, UNIQUE, CHECK])
def test_removed_by_a_branch(vendor_project: Project, constraint: str, default: str) -> None:
    make_shop_of(vendor_project, NUMBER.format(default, constraint))
    fill(vendor_project, ROWS)
    before = dump(vendor_project)
    make_branch(vendor_project, "feature", PRODUCT)
    vendor_project.switch()

    assert go(vendor_project, "main").stderr == ""

    assert dump(vendor_project) == before
    assert not kept(vendor_project)
    vendor_project.assert_in_step()


@pytest.mark.no_cover
@pytest.mark.parametrize("constraint", [TOGETHER, UNIQUE, CHECK])
def test_added_by_a_branch(vendor_project: Project, constraint: str) -> None:
    make_shop_of(vendor_project, PRODUCT)
    make_branch(vendor_project, "feature", NUMBER.format("default=0", constraint))
    vendor_project.switch()
    fill(vendor_project, ROWS)
    before = dump(vendor_project)
    go(vendor_project, "main")

    assert go(vendor_project, "feature").stderr == ""

    assert dump(vendor_project) == before
    assert not kept(vendor_project)
    vendor_project.assert_in_step()


PLACE = """
class Place(models.Model):
    pass
"""
PLACED = NUMBER.replace(
    "    number", "    place = models.ForeignKey(Place, models.CASCADE)\n    number"
)


def test_in_a_table_with_foreign_keys(vendor_project: Project) -> None:
    """PostgreSQL looks at these last, and alters no table before."""
    models = PLACE + PLACED.format("default=0", TOGETHER)
    make_shop_of(vendor_project, models)
    fill(
        vendor_project,
        "place = Place.objects.create(); "
        "[Product.objects.create(name='same', place=place, number=number) for number in (1, 2)]",
    )
    before = dump(vendor_project)
    make_branch(vendor_project, "feature", PLACE + PRODUCT)
    vendor_project.switch()
    fill(vendor_project, "assert Product.objects.count() == 2")
    assert go(vendor_project, "main").stderr == ""
    assert dump(vendor_project) == before


REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM 1/0; RETURN NULL; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON shop_thing FOR EACH STATEMENT EXECUTE FUNCTION refuse()
"""
THING = """
def add(apps, schema_editor):
    apps.get_model("shop", "Thing").objects.create()
"""


def test_an_empty_table_that_is_refused(
    make_project: Callable[..., Project], make_database: Callable[[str], Configuration]
) -> None:
    """There are no halves of nothing."""
    project = make_project(default=make_database("postgresql"))
    make_shop(project)
    project.checkout("-b", "feature")
    project.models("shop", PRODUCT + PLACE.replace("Place", "Thing"))
    project.manage("makemigrations", "shop", "--name=thing")
    operations = (
        "migrations.RunPython(add, migrations.RunPython.noop), "
        f"migrations.RunSQL({REFUSE!r}, 'DROP FUNCTION refuse CASCADE'),"
    )
    project.migration("shop", "0004_add", operations, [("shop", "0003_thing")], before=THING)
    project.commit("Thing")
    project.switch()
    fill(project, "Thing.objects.all().delete()")
    before = dump(project)
    go(project, "main")
    assert go(project, "feature").stderr == ""
    assert dump(project) == before
