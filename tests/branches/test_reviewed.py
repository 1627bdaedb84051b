"""Situations in which data or sense was lost once."""

from pathlib import Path

import pytest

from tests.branches.planning.test_changed import edit, names
from tests.branches.planning.test_obsolete import SQUASHED, add_row, assert_row_is_there
from tests.branches.shop import COLOUR, ID, PRODUCT, add_colour, columns, make_shop, tables
from tests.branches.test_switch import install_package
from tests.project import Project

pytestmark = pytest.mark.once

NULL_COLOUR = PRODUCT + "    colour = models.CharField(max_length=20, null=True)\n"
ADD_NULL_COLOUR = """
migrations.AddField("product", "colour", models.CharField(max_length=20, null=True)),
"""


@pytest.mark.no_cover
@pytest.mark.parametrize("keep_files", [True, False])
@pytest.mark.parametrize("snapshots", [True, False])
def test_a_squash_on_a_branch_of_shared_and_new_migrations(
    project: Project, keep_files: bool, snapshots: bool
) -> None:
    make_shop(project)
    project.manage("migrate")
    add_row(project)
    if snapshots:
        project.manage("migrations_snapshot")
    project.checkout("-b", "feature")
    project.models("shop", NULL_COLOUR)
    project.migration("shop", "0003_colour", ADD_NULL_COLOUR, [("shop", "0002_longer_name")])
    project.commit()
    project.manage("migrate")
    replaced = ("0001_initial", "0002_longer_name", "0003_colour")
    if not keep_files:
        for name in replaced:
            project.remove(f"shop/migrations/{name}.py")
    fields = '("name", models.CharField(max_length=50)), ("colour", models.CharField('
    project.migration(
        "shop",
        "0001_squashed",
        f'migrations.CreateModel("Product", [{ID} {fields}max_length=20, null=True))]),',
        body=f"replaces = {[('shop', name) for name in replaced]}",
    )
    project.commit("Squash")
    project.manage("migrate")
    if snapshots:
        project.manage("migrations_snapshot")
    project.checkout("main")

    project.switch()

    assert columns(project) == {"id", "name"}
    assert_row_is_there(project)
    project.assert_in_step()


@pytest.mark.no_cover
@pytest.mark.parametrize("fake", [True, False])
def test_a_reset_on_a_branch_under_other_names(project: Project, fake: bool) -> None:
    make_shop(project)
    project.manage("migrate")
    add_row(project)
    project.manage("migrations_snapshot")
    project.checkout("-b", "feature")
    project.remove("shop/migrations/0001_initial.py")
    project.remove("shop/migrations/0002_longer_name.py")
    project.migration("shop", "0001_reset", SQUASHED)
    project.commit()
    if fake:
        project.manage("migrate", "shop", "0001_reset", "--fake")
        project.manage("migrations_snapshot")
    else:
        project.switch()
    project.models("shop", NULL_COLOUR)
    project.migration("shop", "0002_colour", ADD_NULL_COLOUR, [("shop", "0001_reset")])
    project.commit()
    project.switch()
    project.checkout("main")

    project.switch()

    assert columns(project) == {"id", "name"}
    assert_row_is_there(project)
    project.assert_in_step()


def test_a_reset_that_adds_something_of_its_own(project: Project) -> None:
    make_shop(project)
    add_colour(project)
    project.commit()
    project.manage("migrate")
    project.manage("migrations_snapshot")
    project.python("from shop.models import Product; Product.objects.create(colour='blue')")
    project.remove("shop/migrations/0002_longer_name.py")
    project.remove("shop/migrations/0003_colour.py")
    project.models("shop", PRODUCT + COLOUR + "    extra = models.IntegerField(null=True)\n")
    project.migration(
        "shop",
        "0001_initial",
        SQUASHED.replace(
            "]),",
            '("colour", models.CharField(max_length=20)),'
            '("extra", models.IntegerField(null=True))]),',
        ),
    )
    project.commit("Reset")

    result = project.manage("migrations_switch", status=1)

    assert "column shop_product.colour (by shop.0003_colour)" in result.stderr
    assert columns(project) == {"id", "name", "colour"}


@pytest.mark.no_cover
@pytest.mark.parametrize("phantom", [True, False])
def test_a_helper_that_was_inlined(project: Project, phantom: bool) -> None:
    make_shop(project)
    project.write("shop/helpers.py", "WIDTH = 40\n")
    edit(project, "0001_initial", "max_length=40", "max_length=WIDTH")
    edit(project, "0001_initial", "\n\nclass", "\nfrom shop.helpers import WIDTH\n\nclass")
    project.commit()
    project.manage("migrate")
    add_row(project)
    project.manage("migrations_snapshot")
    if phantom:
        project.checkout("-b", "feature")
        add_colour(project)
        project.commit()
        project.switch()
        project.checkout("main")
    project.remove("shop/helpers.py")
    edit(project, "0001_initial", "max_length=WIDTH", "max_length=40")
    edit(project, "0001_initial", "\nfrom shop.helpers import WIDTH\n", "\n")
    project.commit("Inline")

    result = project.manage("migrations_switch", "--no-input")

    assert "shop.0001_initial differs from the text that was applied" in result.stderr
    assert columns(project) == {"id", "name"}
    assert_row_is_there(project)
    project.manage("migrations_snapshot", "--accept")
    assert project.manage("migrations_switch").stderr == ""


def test_what_a_squash_left_behind_and_a_managestate(project: Project) -> None:
    make_shop(project)
    project.manage("migrate")
    add_row(project)
    project.remove("shop/migrations/0001_initial.py")
    project.remove("shop/migrations/0002_longer_name.py")
    project.migration("shop", "0001_squashed", SQUASHED)
    project.commit()
    project.manage("migrate", "shop", "--fake")
    project.write(
        "state.json", '{"default": {"shop": "0001_squashed"}, "updated_at": "2026-01-01"}'
    )
    assert "Nothing to do" in project.switch("--file=state.json")
    assert_row_is_there(project)


def test_branches_with_different_texts_of_one_name_and_no_snapshot(
    project: Project,
) -> None:
    # HEAD was nowhere when the row was written: it is older than the clone.
    project.environment["GIT_COMMITTER_DATE"] = "2090-01-01T00:00:00Z"
    make_shop(project)
    project.checkout("-b", "a")
    add_colour(project, "0003_change")
    project.commit()
    project.manage("migrate")
    project.checkout("-b", "b", "main")
    alter = 'migrations.AlterField("product", "name", models.CharField(max_length=60)),'
    project.migration("shop", "0003_change", alter, [("shop", "0002_longer_name")])
    project.commit()
    project.checkout("main")

    result = project.manage("migrations_switch", status=1)

    assert result.stderr.strip() == (
        "CommandError: The text that shop.0003_change was applied from is not recorded, and these "
        "branches have different ones: a, b. Check out the one it came from, run "
        "`manage.py migrations_snapshot`, and come back."
    )
    project.checkout("a")
    project.manage("migrations_snapshot")
    project.checkout("main")
    project.switch()
    project.assert_in_step()


def test_a_namesake_elsewhere_in_the_repository(project: Project) -> None:
    make_shop(project)
    project.checkout("-b", "feature")
    add_colour(project)
    project.commit()
    project.manage("migrate")
    project.checkout("main")
    alter = 'migrations.AlterField("product", "name", models.CharField(max_length=60)),'
    project.migration("other/shop", "0003_colour", alter, [("shop", "0002_longer_name")])
    project.commit()
    project.switch()
    assert columns(project) == {"id", "name"}


def test_a_package_that_only_uncommitted_settings_name(project: Project, tmp_path: Path) -> None:
    install_package(project, tmp_path / "site-packages", "0001_initial")
    make_shop(project)
    project.settings("try:\n    from .local import *\nexcept ImportError:\n    EXTRA = []")
    project.settings("INSTALLED_APPS += EXTRA")
    project.write(".gitignore", "local.py\n*.sqlite3\n__pycache__\n")
    project.commit()
    project.write("config/local.py", 'EXTRA = ["package"]\n')
    project.checkout("-b", "feature")
    project.manage("migrate")
    project.manage("migrations_snapshot")
    project.remove("config/local.py")
    project.checkout("main")

    assert "Nothing to do" in project.switch()
    assert "package_thing" in tables(project)


def downgrade(project: Project, directory: Path, *snapshots: str) -> None:
    """From branch upgrade, where a package has one more migration, back to main."""
    install_package(project, directory, "0001_initial")
    make_shop(project)
    project.settings('INSTALLED_APPS += ["package"]')
    project.commit("Package")
    project.manage("migrate")
    if "main" in snapshots:
        project.manage("migrations_snapshot")
    project.checkout("-b", "upgrade")
    install_package(project, directory, "0001_initial", "0002_f1")
    project.manage("migrate")
    if "upgrade" in snapshots:
        project.manage("migrations_snapshot")


def test_a_package_of_another_version_without_a_snapshot(project: Project, tmp_path: Path) -> None:
    downgrade(project, tmp_path / "site-packages")
    project.checkout("main")
    install_package(project, tmp_path / "site-packages", "0001_initial")
    assert project.states() == {"package.0002_f1": "phantom"}
    result = project.manage("migrations_switch", status=1)
    assert "The source of package.0002_f1 was not found" in result.stderr
    assert "package.0002_f1 was left applied" in (
        project.manage("migrations_switch", "--irreversible=keep").stderr
    )
    # That is remembered, until its source is found.
    assert "package.0002_f1 was left applied" in project.manage("migrations_switch").stderr
    # A snapshot taken now is no proof of anything later.
    project.manage("migrations_snapshot")
    project.checkout("upgrade")
    install_package(project, tmp_path / "site-packages", "0001_initial", "0002_f1")
    project.manage("migrations_snapshot")
    project.checkout("main")
    install_package(project, tmp_path / "site-packages", "0001_initial")
    project.switch()
    assert columns(project, "package_thing") == {"id", "f0"}


def test_before_checkout_packages_too_are_taken_back(project: Project, tmp_path: Path) -> None:
    downgrade(project, tmp_path / "site-packages", "main", "upgrade")
    project.switch("main")
    assert columns(project, "package_thing") == {"id", "f0"}


def test_an_untracked_migration_in_the_stash_of_git(project: Project) -> None:
    make_shop(project)
    add_colour(project)
    project.manage("migrate")
    project.git("stash", "--include-untracked")
    project.switch()
    assert columns(project) == {"id", "name"}


def test_renamed_and_back_again(project: Project) -> None:
    make_shop(project)
    add_colour(project, "0003_foo")
    project.commit("Foo")
    project.manage("migrate")
    project.git("mv", "shop/migrations/0003_foo.py", "shop/migrations/0003_bar.py")
    project.commit("Bar")
    project.switch()
    project.checkout("HEAD~1")
    assert "pplying" not in project.switch()
    assert "colour" in columns(project)
    project.assert_in_step()
    assert project.states() == {}


FAILING = 'migrations.RunSQL("INSERT INTO {table} (name) VALUES (\'new\')", ""),'


def test_a_failure_is_no_interruption_to_be_passed_over(vendor_project: Project) -> None:
    make_shop(vendor_project)
    after = [("shop", "0002_longer_name")]
    text = FAILING.format(table="shop_prodct")
    vendor_project.migration("shop", "0003_data", text, after, body="atomic = False")
    vendor_project.manage("migrations_switch", status=None)

    result = vendor_project.manage("migrations_switch", status=1)
    assert "shop.0003_data was interrupted, and can't be finished" in result.stderr

    vendor_project.migration(
        "shop", "0003_data", FAILING.format(table="shop_product"), after, body="atomic = False"
    )
    vendor_project.switch()
    assert names(vendor_project) == "new"
    vendor_project.assert_in_step()


def test_a_failure_that_was_given_up(project: Project) -> None:
    make_shop(project)
    after = [("shop", "0002_longer_name")]
    project.migration("shop", "0003_data", FAILING.format(table="x"), after, body="atomic = False")
    project.manage("migrations_switch", status=None)
    project.remove("shop/migrations/0003_data.py")
    assert "--forget-interrupted" in project.manage("migrations_switch", status=1).stderr
    project.switch("--forget-interrupted")
    project.assert_in_step()


def test_an_interrupted_one_that_was_finished_by_hand(project: Project) -> None:
    make_shop(project)
    after = [("shop", "0002_longer_name")]
    project.migration("shop", "0003_data", FAILING.format(table="x"), after, body="atomic = False")
    project.manage("migrations_switch", status=None)
    project.manage("migrate", "--fake")
    project.switch()
    assert "django_devtools_journal" not in tables(project)


def test_keep_what_is_irreversible_in_a_work_tree(project: Project) -> None:
    make_shop(project)
    project.checkout("-b", "feature")
    project.write("shop/helpers.py", "def f(apps, schema_editor):\n    pass\n")
    project.migration(
        "shop",
        "0003_data",
        "migrations.RunPython(f),",
        [("shop", "0002_longer_name")],
        before="from shop.helpers import f",
    )
    project.commit()
    project.manage("migrate")
    project.checkout("main")
    result = project.manage("migrations_switch", "--irreversible=keep")
    assert "shop.0003_data was left applied" in result.stderr


def test_a_work_tree_and_a_database_named_by_a_uri(project: Project) -> None:
    name = "file:here.sqlite3?mode=rwc"
    options = {"ENGINE": "django.db.backends.sqlite3", "NAME": name, "OPTIONS": {"uri": True}}
    project.databases = {"default": options}
    make_shop(project)
    project.checkout("-b", "feature")
    project.write("shop/helpers.py", "WIDTH = 20\n")
    add_colour(project)
    edit(project, "0003_colour", "\n\nclass", "\nfrom shop.helpers import WIDTH\n\nclass")
    project.commit()
    project.checkout("main")
    project.switch("feature")
    assert "colour" in columns(project)
    project.switch()
    assert "colour" not in columns(project)


def test_the_plan_flags_raw_operations_inside_of_others(project: Project) -> None:
    make_shop(project)
    inner = 'migrations.SeparateDatabaseAndState([migrations.RunSQL("SELECT 1", "")], []),'
    project.migration("shop", "0003_data", inner, [("shop", "0002_longer_name")])
    assert "(its effect can't be foreseen)" in project.switch("--plan")


def test_optional_imports(project: Project) -> None:
    make_shop(project)
    project.checkout("-b", "feature")
    optional = """
    def f(apps, schema_editor):
        try:
            import no_such_module
        except ImportError:
            pass
    """
    after = [("shop", "0002_longer_name")]
    project.migration("shop", "0003_data", "migrations.RunPython(f, f),", after, before=optional)
    project.commit()
    project.manage("migrate")
    project.checkout("main")
    project.switch()
    project.assert_in_step()
