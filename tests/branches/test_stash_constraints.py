"""Constraints over a column that is made again, which only the values of before satisfy."""

import pytest

from tests.branches.shop import PRODUCT
from tests.branches.stashing import dump, go, kept, make_branch
from tests.branches.test_stash import make_shop_of
from tests.branches.test_stash_owners import fill
from tests.project import Project

NUMBER = PRODUCT + "    number = models.IntegerField({})\n    class Meta:\n        {}\n"
TOGETHER = "unique_together = [('name', 'number')]"
UNIQUE = "constraints = [models.UniqueConstraint(fields=['name', 'number'], name='one')]"
CHECK = "constraints = [models.CheckConstraint(condition=models.Q(number__gt=0), name='more')]"
ROWS = "[Product.objects.create(name='same', number=number) for number in (1, 2, 3)]"


@pytest.mark.parametrize("default", ["", "default=0"])
@pytest.mark.parametrize("constraint", [TOGETHER, UNIQUE, CHECK])
def test_removed_by_a_branch(project: Project, constraint: str, default: str) -> None:
    make_shop_of(project, NUMBER.format(default, constraint))
    fill(project, ROWS)
    before = dump(project)
    make_branch(project, "feature", PRODUCT)
    project.switch()

    assert go(project, "main").stderr == ""

    assert dump(project) == before
    assert not kept(project)
    project.assert_in_step()


@pytest.mark.parametrize("constraint", [TOGETHER, UNIQUE, CHECK])
def test_added_by_a_branch(project: Project, constraint: str) -> None:
    make_shop_of(project, PRODUCT)
    make_branch(project, "feature", NUMBER.format("default=0", constraint))
    project.switch()
    fill(project, ROWS)
    before = dump(project)
    go(project, "main")

    assert go(project, "feature").stderr == ""

    assert dump(project) == before
    assert not kept(project)
    project.assert_in_step()


PLACE = """
class Place(models.Model):
    pass
"""
PLACED = NUMBER.replace(
    "    number", "    place = models.ForeignKey(Place, models.CASCADE)\n    number"
)


def test_in_a_table_with_foreign_keys(project: Project) -> None:
    """PostgreSQL looks at these last, and alters no table before."""
    models = PLACE + PLACED.format("default=0", TOGETHER)
    make_shop_of(project, models)
    fill(
        project,
        "place = Place.objects.create(); "
        "[Product.objects.create(name='same', place=place, number=number) for number in (1, 2)]",
    )
    before = dump(project)
    make_branch(project, "feature", PLACE + PRODUCT)
    project.switch()
    fill(project, "assert Product.objects.count() == 2")
    assert go(project, "main").stderr == ""
    assert dump(project) == before
