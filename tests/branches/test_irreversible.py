"""Migrations that can't be unapplied."""

import pytest

from tests.branches.shop import COLOUR, PRODUCT, add_colour, columns, make_shop
from tests.project import Project

FORWARDS = """
def forwards(apps, schema_editor):
    pass
"""


@pytest.fixture
def stuck(vendor_project: Project) -> Project:
    """Back on main from a branch with 0003_colour, 0004_data (no reverse) and 0005_price."""
    make_shop(vendor_project)
    vendor_project.checkout("-b", "feature")
    add_colour(vendor_project)
    vendor_project.models(
        "shop", PRODUCT + COLOUR + "    price = models.IntegerField(null=True)\n"
    )
    vendor_project.migration(
        "shop",
        "0004_data",
        """
        migrations.SeparateDatabaseAndState([migrations.RunPython(forwards)], []),
        migrations.RunSQL("SELECT 1"),
        """,
        [("shop", "0003_colour")],
        before=FORWARDS,
    )
    vendor_project.migration(
        "shop",
        "0005_price",
        'migrations.AddField("product", "price", models.IntegerField(null=True)),',
        [("shop", "0004_data")],
    )
    vendor_project.commit()
    vendor_project.manage("migrate")
    vendor_project.checkout("main")
    return vendor_project


def test_it_fails_before_anything_is_changed(stuck: Project) -> None:
    result = stuck.manage("migrations_switch", status=1)
    assert result.stderr.strip() == (
        "CommandError: shop.0004_data can't be unapplied: it has no reverse.\n"
        "Leave it applied with --irreversible=keep, or treat RunPython and RunSQL as empty with "
        "--irreversible=noop."
    )
    assert columns(stuck) == {"id", "name", "colour", "price"}


def test_keep_leaves_it_and_what_it_depends_on(stuck: Project) -> None:
    result = stuck.manage("migrations_switch", "--irreversible=keep")
    assert "shop.0003_colour was left applied" in result.stderr
    assert "shop.0004_data was left applied" in result.stderr
    assert columns(stuck) == {"id", "name", "colour"}
    again = stuck.manage("migrations_switch", "--irreversible=keep")
    assert "Nothing to do" in again.stdout
    assert stuck.states() == {"shop.0003_colour": "phantom", "shop.0004_data": "phantom"}


def test_noop_treats_it_as_empty(stuck: Project) -> None:
    stuck.switch("--irreversible=noop")
    assert columns(stuck) == {"id", "name"}
    stuck.assert_in_step()


def test_noop_helps_no_other_operation(project: Project) -> None:
    make_shop(project)
    project.checkout("-b", "feature")
    project.migration(
        "shop",
        "0003_forever",
        "Forever(),",
        [("shop", "0002_longer_name")],
        before="""
        from django.db.migrations.operations.base import Operation

        class Forever(Operation):
            reversible = False
            def state_forwards(self, app_label, state): pass
            def database_forwards(self, app_label, schema_editor, from_state, to_state): pass
        """,
    )
    project.commit()
    project.manage("migrate")
    project.checkout("main")
    result = project.manage("migrations_switch", "--irreversible=noop", status=1)
    assert result.stderr.strip() == (
        "CommandError: shop.0003_forever can't be unapplied: it has no reverse.\n"
        "Leave it applied with --irreversible=keep."
    )


def test_the_plan_names_it(stuck: Project) -> None:
    result = stuck.manage("migrations_switch", "--plan")
    assert "shop.0004_data can't be unapplied: it has no reverse." in result.stderr
    assert "IRREVERSIBLE" in result.stdout
