"""The logger ``django_devtools.branches`` at DEBUG, with the settings that the docs give."""

import re
from pathlib import Path

from tests.branches.shop import add_colour, make_shop, make_shop_with_feature
from tests.project import Project

PAGE = Path(__file__).parents[2] / "docs/pages/troubleshooting.md"


def documented_settings() -> str:
    found = re.search(r"```python\n(LOGGING = .*?)```", PAGE.read_text(), re.DOTALL)
    assert found
    return found[1]


def test_a_switch_says_what_it_decides_and_why(project: Project) -> None:
    make_shop_with_feature(project)
    project.python('from shop.models import Product; Product.objects.create(colour="red")')
    project.checkout("main")
    project.settings(documented_settings())

    lines = project.manage("migrations_switch").stderr.splitlines()

    assert "default: out of step with branch main" in lines
    decided = next(line for line in lines if line.startswith("default: shop.0003_colour: "))
    assert decided.startswith(
        "default: shop.0003_colour: unapply (phantom; origin: other; source: "
    )
    assert "default: satisfies sources_are_found" in lines
    assert "Saved in the stash, for feature: column shop_product.colour (1 row)" in lines
    assert "shop.0003_colour: backwards, in one transaction" in lines


def test_a_refusal_names_its_precondition(project: Project) -> None:
    make_shop(project)
    add_colour(project)
    project.manage("migrate")
    project.git("checkout", "--", ".")
    project.remove("shop/migrations/0003_colour.py")
    project.settings(documented_settings())

    result = project.manage("migrations_switch", status=1)

    assert "default: refused by sources_are_found" in result.stderr.splitlines()


def test_nothing_is_logged_without_being_asked_for(project: Project) -> None:
    make_shop_with_feature(project)
    project.checkout("main")
    assert project.manage("migrations_switch").stderr == ""


def test_a_database_in_step_is_logged_as_such(project: Project) -> None:
    make_shop(project)
    project.manage("migrate")
    project.settings(documented_settings())
    assert "default: in step with branch main" in project.manage("migrations_switch").stderr
