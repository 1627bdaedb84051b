"""In GitHub Actions, what ``--check`` says is shown next to the files of migrations."""

from pathlib import Path

import pytest

from django_devtools.management.annotations import annotation
from tests.branches.shop import make_shop_with_feature
from tests.project import Project

pytestmark = pytest.mark.once

NEXT = "To bring them into step: manage.py migrations_switch"


@pytest.fixture
def shop(project: Project) -> Project:
    """On main, with the migration of feature and one that is not applied."""
    make_shop_with_feature(project)
    project.manage("migrations_snapshot")
    project.checkout("main")
    project.migration("shop", "0003_other", "", [("shop", "0002_longer_name")])
    project.environment["GITHUB_ACTIONS"] = "true"
    return project


def test_nothing_ends_an_annotation_but_its_end() -> None:
    assert annotation("50%\r\n::warning::a, b: c", Path("a:b,c%\n/d.py")) == (
        "::error file=a%3Ab%2Cc%25%0A/d.py,line=1::50%25%0D%0A::warning::a, b: c"
    )
    assert annotation("text") == "::error::text"


@pytest.mark.no_cover
def test_the_status_names_each_file(shop: Project) -> None:
    output = shop.manage("migrations_status", "--check", status=1).stdout
    assert output.endswith(
        "::error file=shop/migrations/0003_colour.py,line=1::"
        f"shop.0003_colour from feature is phantom in database 'default'. {NEXT}\n"
        "::error file=shop/migrations/0003_other.py,line=1::"
        f"shop.0003_other from main is pending in database 'default'. {NEXT}\n"
    )
    assert "::error" not in shop.manage("migrations_status").stdout


def test_a_switch_has_an_annotation_for_each_database(shop: Project) -> None:
    assert shop.manage("migrations_switch", "--check", status=1).stdout == (
        "::error file=shop/migrations/0003_other.py,line=1::"
        "Database 'default' is out of step with branch main: unapply shop.0003_colour, "
        "apply shop.0003_other. To see each step: manage.py migrations_switch --plan\n"
    )
