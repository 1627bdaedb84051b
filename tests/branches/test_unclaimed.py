"""Columns that make new rows fail, and that no migration here has made."""

import pytest

from tests.branches.shop import PRODUCT, columns, make_shop_with_feature
from tests.project import Project

pytestmark = pytest.mark.once
FAILS = (
    "New rows of shop_product fail: branch main does not fill shop_product.colour, which is NOT "
    "NULL and has no default in the database."
)
WHAT_TO_DO = (
    "No migration that counts as applied here makes that. If one of another branch does, check "
    "that out, and correct the rows with `manage.py migrate --fake`. If nothing needs column "
    "shop_product.colour, run `ALTER TABLE {0}shop_product{0} DROP COLUMN {0}colour{0};` in "
    "`manage.py dbshell`."
)


@pytest.fixture
def faked(vendor_project: Project) -> Project:
    """On main, with a column of feature whose row is gone."""
    make_shop_with_feature(vendor_project)
    vendor_project.manage("migrate", "--fake", "shop", "0002")
    vendor_project.checkout("main")
    return vendor_project


def test_a_column_that_a_fake_has_left(faked: Project) -> None:
    quote = "`" if faked.databases["default"]["ENGINE"].endswith("mysql") else '"'
    what_to_do = WHAT_TO_DO.format(quote)

    assert faked.manage("migrations_switch").stderr == f"{FAILS} {what_to_do}\n"
    assert f"{FAILS} {what_to_do}\n" in faked.manage("migrations_status").stdout
    assert f"{FAILS} {what_to_do}\n" in faked.manage("migrations_hook", "run").stderr
    said = faked.manage("check", "--database", "default").stderr
    assert f"?: (django_devtools.W008) {FAILS}\n\tHINT: {what_to_do}\n" in said


def test_what_to_do_helps(faked: Project) -> None:
    faked.checkout("feature")
    said = faked.manage("migrate", "--fake")
    assert "FAKED" in said.stdout
    faked.checkout("main")
    said = faked.manage("migrations_switch")
    assert said.stderr == ""
    assert columns(faked) == {"id", "name"}


def test_columns_that_models_or_other_migrations_have(project: Project) -> None:
    """One that was taken out of the models alone, and one that a switch takes along."""
    make_shop_with_feature(project)
    project.models("shop", PRODUCT)
    assert "New rows" not in project.manage("migrations_status").stdout
    project.git("restore", ".")
    project.checkout("main")
    for command in (["migrations_status"], ["check", "--database=default"]):
        result = project.manage(*command)
        assert "New rows" not in result.stdout + result.stderr
    assert "New rows" not in project.manage("migrations_switch", "--plan").stdout


def test_what_was_left_applied_is_named_with_it(project: Project) -> None:
    make_shop_with_feature(project)
    file = project.path / "shop/migrations/0003_colour.py"
    code = "operations = [migrations.RunPython(migrations.RunPython.noop),"
    file.write_text(file.read_text().replace("operations = [", code))
    project.commit("Code")
    project.manage("migrate", "--fake", "shop", "0002")
    project.manage("migrate", "--fake")
    project.checkout("main")
    said = project.manage("migrations_switch", "--irreversible=keep").stderr
    assert said.count("ew rows of shop_product fail") == 1
    assert "New rows" not in project.manage("migrations_status").stdout
    assert "W008" not in project.manage("check", "--database=default").stderr
