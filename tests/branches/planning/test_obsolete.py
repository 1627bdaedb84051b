"""Rows that look like phantoms and are not, and the opposite."""

from pathlib import Path

import pytest

from tests.branches.shop import ID, PRODUCT, add_colour, columns, make_shop, tables
from tests.branches.test_switch import add_reviews, install_package
from tests.project import Project
from tests.templates import made_once

pytestmark = pytest.mark.once

SQUASHED = f"""
migrations.CreateModel("Product", [
    {ID}
    ("name", models.CharField(max_length=50)),
]),
"""
REPLACES = 'replaces = [("shop", "0001_initial"), ("shop", "0002_longer_name")]'


def add_row(project: Project) -> None:
    project.python('from shop.models import Product; Product.objects.create(name="Chair")')


def assert_row_is_there(project: Project) -> None:
    assert project.python("from shop.models import Product; print(Product.objects.count())") == "1"


def squash(project: Project, replaces: bool, keep_files: bool) -> None:
    if not keep_files:
        for file in (project.path / "shop/migrations").glob("000*.py"):
            file.unlink()
    project.migration("shop", "0001_squashed", SQUASHED, body=REPLACES if replaces else "")


@pytest.fixture
def squashing(project: Project) -> Project:
    """Tags for the steps of a squash: before, both, during and after."""
    make_squash(project)
    return project


@made_once
def make_squash(project: Project) -> None:
    make_shop(project)
    project.git("tag", "before")
    squash(project, replaces=True, keep_files=True)
    project.commit("Squash")
    project.git("tag", "both")
    squash(project, replaces=True, keep_files=False)
    project.commit("Delete the replaced")
    project.git("tag", "during")
    squash(project, replaces=False, keep_files=False)
    project.commit("Done")
    project.git("tag", "after")


@pytest.mark.committed
@pytest.mark.parametrize("start", ["before", "both", "during", "after"])
def test_a_squash_never_rolls_anything_back(squashing: Project, start: str) -> None:
    project = squashing
    project.checkout(start)
    project.manage("migrate")
    project.manage("migrations_snapshot", "start")
    add_row(project)
    for step in ("before", "both", "during", "after", "before", "during", "both", "after"):
        project.checkout(step)
        output = project.switch()
        assert "Unapplying" not in output, step
        assert "Applying" not in output, step
        project.assert_in_step()
        assert_row_is_there(project)


@pytest.mark.committed
def test_a_squash_before_checkout(squashing: Project) -> None:
    project = squashing
    project.checkout("before")
    project.manage("migrate")
    add_row(project)
    for step in ("after", "before", "during"):
        output = project.switch(step)
        assert "pplying" not in output, step
        project.checkout(step)
        project.assert_in_step()
    assert_row_is_there(project)


def test_new_work_on_top_of_a_squash_left_behind(squashing: Project) -> None:
    project = squashing
    project.checkout("before")
    project.manage("migrate")
    add_row(project)
    project.checkout("main")
    project.switch()
    project.checkout("-b", "feature")
    add_colour(project)
    file = project.path / "shop/migrations/0003_colour.py"
    file.write_text(file.read_text().replace("0002_longer_name", "0001_squashed"))
    project.commit()
    project.switch()
    assert "colour" in columns(project)
    project.assert_in_step()

    project.checkout("main")
    output = project.switch()

    assert "Unapplying shop.0003_colour" in output
    assert output.count("Unapplying") == 1
    assert_row_is_there(project)
    project.assert_in_step()


@pytest.mark.committed
def test_a_squash_that_is_applied_in_part(vendor_project: Project) -> None:
    make_shop(vendor_project)
    vendor_project.manage("migrate", "shop", "0001")
    vendor_project.manage("migrate", "contenttypes")
    add_row(vendor_project)
    squash(vendor_project, replaces=True, keep_files=False)
    vendor_project.commit()

    output = vendor_project.switch()

    assert "Applying shop.0002_longer_name" in output
    assert_row_is_there(vendor_project)
    vendor_project.assert_in_step()


def test_a_package_that_squashed(project: Project, tmp_path) -> None:  # type: ignore[no-untyped-def]
    make_shop(project)
    install_package(project, tmp_path / "site-packages", "0001_initial", "0002_f1")
    project.settings('INSTALLED_APPS += ["package"]')
    project.commit()
    project.manage("migrate")
    project.manage("migrations_snapshot")
    package = Project(tmp_path / "site-packages", {}, project.zygote)
    fields = '("f0", models.IntegerField(null=True)), ("f1", models.IntegerField(null=True))'
    package.migration(
        "package",
        "0001_squashed",
        f'migrations.CreateModel("Thing", [{ID} {fields}]),',
        body='replaces = [("package", "0001_initial"), ("package", "0002_f1")]',
    )
    package.remove("package/migrations/0001_initial.py")
    package.remove("package/migrations/0002_f1.py")
    project.switch()
    project.assert_in_step()
    package.migration(
        "package", "0001_squashed", f'migrations.CreateModel("Thing", [{ID} {fields}]),'
    )

    assert "pplying" not in project.switch()
    assert project.states() == {
        "package.0001_initial": "obsolete",
        "package.0002_f1": "obsolete",
    }
    project.assert_in_step()


def test_an_app_that_was_taken_out_long_ago(project: Project) -> None:
    make_shop(project)
    project.app("old", "class Old(models.Model):\n    pass\n")
    project.migration("old", "0001_initial", f'migrations.CreateModel("Old", [{ID}]),')
    project.commit("Old")
    project.manage("migrate")
    project.manage("migrations_snapshot")
    project.checkout("-b", "feature")
    project.manage("migrations_snapshot")
    project.checkout("main")
    settings = project.path / "config/settings.py"
    settings.write_text(settings.read_text().replace("INSTALLED_APPS += ['old']", ""))
    project.remove("old")
    project.commit("Take it out")

    assert "Nothing to do" in project.switch()
    assert "old_old" in tables(project)
    assert project.states() == {"old.0001_initial": "obsolete"}


def test_a_package_that_was_taken_out_long_ago(project: Project, tmp_path) -> None:  # type: ignore[no-untyped-def]
    make_shop(project)
    install_package(project, tmp_path / "site-packages", "0001_initial")
    project.settings('INSTALLED_APPS += ["package"]')
    project.commit("Package")
    project.manage("migrate")
    project.checkout("-b", "feature")
    project.manage("migrations_snapshot")
    project.checkout("main")
    settings = project.path / "config/settings.py"
    settings.write_text(settings.read_text().replace('INSTALLED_APPS += ["package"]', ""))
    project.commit("Take it out")

    assert "Nothing to do" in project.switch()
    assert project.states() == {"package.0001_initial": "obsolete"}
    assert "package_thing" in tables(project)


def test_migrations_reset_and_made_anew(project: Project) -> None:
    make_shop(project)
    project.manage("migrate")
    project.manage("migrations_snapshot")
    add_row(project)
    project.remove("shop/migrations/0001_initial.py")
    project.remove("shop/migrations/0002_longer_name.py")
    project.migration("shop", "0001_initial", SQUASHED)
    project.commit("Reset")

    output = project.switch()

    assert "forget 2 of shop, record 1 of shop" in output
    assert project.states() == {}
    assert_row_is_there(project)
    project.assert_in_step()


def test_reset_on_a_branch_and_new_work_on_top(vendor_project: Project) -> None:
    make_shop(vendor_project)
    vendor_project.manage("migrate")
    vendor_project.manage("migrations_snapshot")
    add_row(vendor_project)
    vendor_project.checkout("-b", "reset")
    vendor_project.remove("shop/migrations/0002_longer_name.py")
    vendor_project.migration("shop", "0001_initial", SQUASHED)
    add_colour(vendor_project, "0002_colour")
    file = vendor_project.path / "shop/migrations/0002_colour.py"
    file.write_text(file.read_text().replace("0002_longer_name", "0001_initial"))
    vendor_project.commit("Reset")

    vendor_project.switch()
    assert columns(vendor_project) == {"id", "name", "colour"}
    vendor_project.assert_in_step()
    assert_row_count(vendor_project)
    vendor_project.checkout("main")
    vendor_project.switch()
    assert columns(vendor_project) == {"id", "name"}
    assert_row_is_there(vendor_project)
    vendor_project.assert_in_step()


def assert_row_count(project: Project) -> None:
    assert_row_is_there(project)


@pytest.mark.parametrize("committed", [True, False])
def test_deleted_and_made_anew_on_one_branch(vendor_project: Project, committed: bool) -> None:
    make_shop(vendor_project)
    add_colour(vendor_project, "0003_foo")
    if committed:
        vendor_project.commit("Foo")
    vendor_project.manage("migrate")
    vendor_project.manage("migrations_snapshot")
    vendor_project.remove("shop/migrations/0003_foo.py")
    vendor_project.models("shop", PRODUCT + "    price = models.IntegerField(null=True)\n")
    vendor_project.migration(
        "shop",
        "0003_bar",
        'migrations.AddField("product", "price", models.IntegerField(null=True)),',
        [("shop", "0002_longer_name")],
    )

    output = vendor_project.switch()

    assert "Unapplying shop.0003_foo" in output
    assert "Applying shop.0003_bar" in output
    assert columns(vendor_project) == {"id", "name", "price"}
    vendor_project.assert_in_step()


def test_a_file_that_only_got_another_name(project: Project) -> None:
    make_shop(project)
    add_colour(project, "0003_foo")
    project.commit("Foo")
    project.manage("migrate")
    project.git("mv", "shop/migrations/0003_foo.py", "shop/migrations/0003_bar.py")
    project.commit("Bar")

    output = project.switch()

    assert "pplying" not in output
    assert "Recording shop.0003_bar... OK" in output
    project.assert_in_step()


def test_two_branches_did_the_same_under_other_names(project: Project) -> None:
    make_shop(project)
    project.checkout("-b", "one")
    add_colour(project, "0003_one")
    project.commit()
    project.checkout("main")
    project.checkout("-b", "two")
    add_colour(project, "0003_two")
    project.commit()
    project.manage("migrate")
    project.python('from shop.models import Product; Product.objects.create(colour="blue")')
    for branch in ("one", "two"):
        project.checkout(branch)
        assert "pplying" not in project.switch()
        project.assert_in_step()
        assert project.states() == {}
    assert (
        project.python("from shop.models import Product; print(Product.objects.get().colour)")
        == "blue"
    )


def test_merged_and_reverted_on_main(project: Project) -> None:
    make_shop(project)
    project.checkout("-b", "feature")
    add_colour(project)
    project.commit("Colour")
    project.manage("migrate")
    project.checkout("main")
    project.git("merge", "--quiet", "feature")
    project.git("revert", "--no-edit", "HEAD")

    project.switch()

    assert columns(project) == {"id", "name"}
    project.assert_in_step()


def test_what_was_obsolete_on_another_branch_does_not_come_from_there(
    project: Project,
) -> None:
    make_shop(project)
    project.manage("migrate")
    project.python(
        """
        from django.db import connection
        from django.db.migrations.recorder import MigrationRecorder
        MigrationRecorder(connection).record_applied("comments", "0001_initial")
        """
    )
    project.checkout("-b", "feature")
    project.manage("migrations_snapshot")
    project.checkout("main")
    assert project.states() == {"comments.0001_initial": "obsolete"}
    assert "Nothing to do" in project.switch()


@pytest.mark.own_order
def test_a_verdict_is_remembered_with_the_branch(project: Project) -> None:
    make_shop(project)
    project.manage("migrate")
    squash(project, replaces=True, keep_files=False)
    project.commit("Squash")
    project.manage("migrate")
    squash(project, replaces=False, keep_files=False)
    project.commit("Done")
    project.manage("migrations_snapshot")
    expected = {"shop.0001_initial": "obsolete", "shop.0002_longer_name": "obsolete"}
    assert project.states() == expected
    # From the snapshot alone: history has nothing to say any more.
    project.git("checkout", "--quiet", "--orphan", "anew")
    project.commit("Anew")
    project.git("branch", "--force", "main")
    project.checkout("main")

    assert project.states() == expected
    assert "Nothing to do" in project.switch()


def test_an_app_of_a_branch_that_was_never_committed_is_not_a_removed_package(
    project: Project,
) -> None:
    project.settings("DJANGO_DEVTOOLS = {}")
    make_shop(project)
    project.checkout("-b", "feature")
    add_reviews(project)
    project.manage("migrate")
    project.git("checkout", "--quiet", "--force", "main")
    project.remove("reviews")

    project.switch()

    assert not {"reviews_review", "reviews_review_tags"} & tables(project)
    project.assert_in_step()


def test_a_package_that_uncommitted_settings_install_belongs_to_its_branch(
    project: Project, tmp_path: Path
) -> None:
    project.settings("DJANGO_DEVTOOLS = {}")
    make_shop(project)
    install_package(project, tmp_path / "site-packages", "0001_initial")
    project.checkout("-b", "feature")
    project.settings('INSTALLED_APPS += ["package"]')
    project.manage("migrate")
    project.git("checkout", "--quiet", "--force", "main")

    project.switch()

    assert "package_thing" not in tables(project)
    project.assert_in_step()
