"""Walks between branches, before and after ``git checkout``."""

from itertools import pairwise
from pathlib import Path

import pytest

from tests.branches.shop import (
    COLOUR,
    ID,
    PRODUCT,
    add_colour,
    columns,
    make_shop,
    make_shop_with_feature,
    tables,
)
from tests.project import Project


def test_after_checkout_from_a_snapshot(vendor_project: Project) -> None:
    make_shop_with_feature(vendor_project)
    vendor_project.manage("migrations_snapshot")
    vendor_project.checkout("main")
    assert vendor_project.states() == {"shop.0003_colour": "phantom"}

    output = vendor_project.switch()

    assert "  Unapplying shop.0003_colour... OK" in output
    assert columns(vendor_project) == {"id", "name"}
    vendor_project.assert_in_step()
    assert (
        "Nothing to do: database 'default' is in step with branch main." in vendor_project.switch()
    )


def test_after_checkout_from_git_history(project: Project) -> None:
    make_shop_with_feature(project)
    project.checkout("main")

    project.switch()

    assert columns(project) == {"id", "name"}
    project.assert_in_step()


def test_after_checkout_of_a_branch_that_was_deleted(project: Project) -> None:
    make_shop_with_feature(project)
    project.checkout("main")
    project.git("branch", "-D", "feature")

    project.switch()

    project.assert_in_step()


@pytest.mark.committed
def test_before_checkout_to_refs_and_back(vendor_project: Project) -> None:
    make_shop_with_feature(vendor_project)

    vendor_project.switch("main")
    assert columns(vendor_project) == {"id", "name"}
    vendor_project.checkout("main")
    vendor_project.assert_in_step()

    vendor_project.switch("feature")
    assert columns(vendor_project) == {"id", "name", "colour"}
    vendor_project.checkout("feature")
    vendor_project.assert_in_step()


def test_before_checkout_to_snapshots_and_back(project: Project) -> None:
    make_shop(project)
    project.manage("migrate")
    project.manage("migrations_snapshot")
    project.checkout("-b", "feature")
    add_colour(project)
    project.commit()
    project.manage("migrate")
    project.manage("migrations_snapshot")

    project.switch("main")
    assert columns(project) == {"id", "name"}
    project.switch("feature")
    assert columns(project) == {"id", "name", "colour"}
    project.assert_in_step()


@pytest.mark.committed
def test_to_a_tag_and_to_a_commit_without_a_name(project: Project) -> None:
    make_shop(project)
    project.git("tag", "v1")
    add_colour(project)
    project.commit()
    project.manage("migrate")

    project.switch("v1")
    assert columns(project) == {"id", "name"}
    project.checkout("v1")
    project.assert_in_step()
    project.checkout("main")
    project.switch()
    assert columns(project) == {"id", "name", "colour"}
    project.switch("HEAD~1")
    assert columns(project) == {"id", "name"}


def test_a_snapshot_that_its_branch_has_outgrown_rolls_nothing_of_it_back(
    project: Project,
) -> None:
    make_shop(project)
    project.manage("migrate")
    project.manage("migrations_snapshot")
    add_colour(project)
    project.commit()
    project.manage("migrate")

    assert "Nothing to do" in project.switch("main")


@pytest.mark.own_order
def test_no_such_target(project: Project) -> None:
    make_shop_with_feature(project)
    result = project.manage("migrations_switch", "nowhere", status=1)
    assert result.stderr.strip() == (
        "CommandError: 'nowhere' is neither a branch that has a snapshot in this database (these "
        "have: none) nor a git ref. `git branch --all` lists the branches, and "
        "`manage.py migrations_snapshot --list` the snapshots."
    )


@pytest.mark.own_order
def test_a_branch_of_nearly_this_name(project: Project) -> None:
    make_shop_with_feature(project)
    result = project.manage("migrations_switch", "features", status=1)
    assert "nor a git ref. Did you mean feature? `git branch" in result.stderr


@pytest.mark.own_order
@pytest.mark.parametrize("name", ["-", "@{-1}"])
def test_the_branch_that_was_checked_out_before(project: Project, name: str) -> None:
    make_shop_with_feature(project)
    project.checkout("main")
    result = project.manage("migrations_switch", name)
    assert "is in step with branch feature." in result.stdout
    assert result.stderr == (
        "Another branch is checked out. To work on feature: git checkout feature\n"
    )


@pytest.mark.own_order
def test_an_untracked_migration_is_part_of_the_checkout(project: Project) -> None:
    make_shop(project)
    add_colour(project)
    project.manage("migrate")

    assert "Nothing to do" in project.switch()
    assert "(file)" in project.switch("main", "--plan")
    project.switch("main")
    assert columns(project) == {"id", "name"}


@pytest.mark.own_order
def test_the_file_was_edited_after_it_was_applied(project: Project) -> None:
    make_shop(project)
    add_colour(project)
    project.manage("migrate")
    project.manage("migrations_snapshot", "mine")
    file = project.path / "shop/migrations/0003_colour.py"
    file.write_text(file.read_text().replace("colour", "size"))

    project.switch("main")

    assert columns(project) == {"id", "name"}


@pytest.mark.own_order
def test_a_source_that_is_nowhere(project: Project) -> None:
    make_shop(project)
    add_colour(project)
    project.manage("migrate")
    project.git("checkout", "--", ".")
    project.remove("shop/migrations/0003_colour.py")

    result = project.manage("migrations_switch", status=1)

    assert result.stderr.strip() == (
        "CommandError: The source of shop.0003_colour was not found: not on disk, not in a "
        "snapshot, not in the git history of any ref. Put the file back, fetch the branch or "
        "install the version of the package that has it, or leave it applied with "
        "--irreversible=keep."
    )
    project.manage("migrations_switch", "--check", status=1)
    assert "was not found" in project.manage("migrations_switch", "--plan").stderr
    result = project.manage("migrations_switch", "--irreversible=keep")
    assert "Nothing to do: database 'default' is left as it is." in result.stdout
    assert "shop.0003_colour was left applied" in result.stderr
    assert "colour" in columns(project)


def test_pending_ones_are_applied_in_the_same_run(vendor_project: Project) -> None:
    make_shop_with_feature(vendor_project)
    vendor_project.checkout("main")
    vendor_project.models("shop", PRODUCT + "    price = models.IntegerField(null=True)\n")
    vendor_project.migration(
        "shop",
        "0003_price",
        'migrations.AddField("product", "price", models.IntegerField(null=True)),',
        [("shop", "0002_longer_name")],
    )
    vendor_project.commit()

    output = vendor_project.switch()

    assert output.index("Unapplying shop.0003_colour") < output.index("Applying shop.0003_price")
    assert columns(vendor_project) == {"id", "name", "price"}
    vendor_project.assert_in_step()


REVIEW = """\
class Review(models.Model):
    product = models.ForeignKey("shop.Product", models.CASCADE)
    tags = models.ManyToManyField("shop.Product", related_name="+")
"""


def add_reviews(project: Project) -> None:
    project.app("reviews", REVIEW)
    project.migration(
        "reviews",
        "0001_initial",
        f"""
        migrations.CreateModel("Review", [
            {ID}
            ("product", models.ForeignKey("shop.Product", models.CASCADE)),
            ("tags", models.ManyToManyField("shop.Product", related_name="+")),
        ]),
        """,
        [("shop", "0002_longer_name")],
    )


def test_an_app_that_only_the_other_branch_has(vendor_project: Project) -> None:
    make_shop(vendor_project)
    vendor_project.checkout("-b", "feature")
    add_reviews(vendor_project)
    vendor_project.commit()
    vendor_project.manage("migrate")

    vendor_project.checkout("main")
    vendor_project.switch()
    assert not {"reviews_review", "reviews_review_tags"} & tables(vendor_project)
    vendor_project.assert_in_step()

    vendor_project.switch("feature")
    assert {"reviews_review", "reviews_review_tags"} <= tables(vendor_project)
    vendor_project.checkout("feature")
    vendor_project.assert_in_step()


def test_an_app_with_a_label_of_its_own_that_only_the_other_branch_has(
    project: Project,
) -> None:
    make_shop(project)
    project.checkout("-b", "feature")
    add_reviews(project)
    project.write(
        "reviews/apps.py",
        """
        from django.apps import AppConfig

        class ReviewsConfig(AppConfig):
            name = "reviews"
            label = "opinions"
        """,
    )
    project.commit()
    project.manage("migrate")

    project.checkout("main")
    project.switch()
    assert "opinions_review" not in tables(project)
    project.switch("feature")
    assert "opinions_review" in tables(project)
    project.checkout("feature")
    project.assert_in_step()


def test_the_row_of_an_app_whose_package_left_no_trace_is_left_alone(
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
    assert project.states() == {"comments.0001_initial": "obsolete"}
    assert "Nothing to do" in project.switch()


@pytest.mark.committed
def test_a_virtual_environment_inside_the_repository_is_no_part_of_it(
    project: Project,
) -> None:
    install_package(project, project.path / "env", "0001_initial")
    project.write(".gitignore", "*.sqlite3\nenv\n")
    make_shop(project)
    project.settings('INSTALLED_APPS += ["package"]')
    project.commit()
    project.manage("migrate")
    project.commit("Another")

    assert "Nothing to do" in project.switch("HEAD~1")


def install_package(project: Project, directory: Path, *names: str) -> None:
    """A package from elsewhere, with these migrations."""
    package = Project(directory, {}, project.zygote)
    package.write("package/__init__.py", "")
    package.write("package/migrations/__init__.py", "")
    fields = "".join(
        f"    f{index} = models.IntegerField(null=True)\n" for index in range(len(names))
    )
    package.models("package", "class Thing(models.Model):\n" + fields)
    for file in (directory / "package/migrations").glob("0*.py"):
        file.unlink()
    package.migration(
        "package",
        names[0],
        f"""
        migrations.CreateModel("Thing", [
            {ID} ("f0", models.IntegerField(null=True)),
        ]),
        """,
    )
    for index, (parent, name) in enumerate(pairwise(names), 1):
        package.migration(
            "package",
            name,
            f'migrations.AddField("thing", "f{index}", models.IntegerField(null=True)),',
            [("package", parent)],
        )
    paths = [*project.environment.get("PYTHONPATH", "").split(":"), str(directory)]
    paths += [str(Path(__file__).parents[2])]
    project.environment["PYTHONPATH"] = ":".join(dict.fromkeys(filter(None, paths)))


def test_a_package_that_one_branch_upgrades(project: Project, tmp_path: Path) -> None:
    make_shop(project)
    install_package(project, tmp_path / "site-packages", "0001_initial", "0002_f1")
    project.settings('INSTALLED_APPS += ["package"]')
    project.commit("Package")
    project.manage("migrate")
    project.manage("migrations_snapshot")
    project.checkout("-b", "upgrade")
    names = ("0001_initial", "0002_f1", "0003_f2", "0004_f3")
    install_package(project, tmp_path / "site-packages", *names)
    project.commit("Upgrade")
    project.manage("migrate")
    project.manage("migrations_snapshot")

    project.checkout("main")
    install_package(project, tmp_path / "site-packages", "0001_initial", "0002_f1")
    project.switch()
    assert columns(project, "package_thing") == {"id", "f0", "f1"}
    project.assert_in_step()

    project.checkout("upgrade")
    install_package(project, tmp_path / "site-packages", *names)
    project.switch()
    assert columns(project, "package_thing") == {"id", "f0", "f1", "f2", "f3"}
    project.assert_in_step()


@pytest.mark.committed
def test_two_heads_and_their_merge(project: Project) -> None:
    make_shop(project)
    project.checkout("-b", "merge")
    add_colour(project, "0003_colour")
    project.migration(
        "shop",
        "0003_price",
        'migrations.AddField("product", "price", models.IntegerField(null=True)),',
        [("shop", "0002_longer_name")],
    )
    project.models("shop", PRODUCT + COLOUR + "    price = models.IntegerField(null=True)\n")
    project.commit("Two heads")
    project.migration("shop", "0004_merge", "", [("shop", "0003_colour"), ("shop", "0003_price")])
    project.commit("Merge")
    project.manage("migrate")

    project.checkout("main")
    project.switch()
    assert columns(project) == {"id", "name"}
    project.assert_in_step()
    project.switch("merge~1")
    assert columns(project) == {"id", "name", "colour", "price"}
    project.checkout("merge")
    project.switch()
    project.assert_in_step()


@pytest.mark.own_order
def test_below_the_top_of_the_repository_and_with_spaces(make_project) -> None:  # type: ignore[no-untyped-def]
    project = make_project("a repository/the back end", git=False)
    top = Project(project.path.parent, project.databases, project.zygote)
    top.git("init", "--quiet", "--initial-branch=main")
    make_shop_with_feature(project)
    project.checkout("main")

    project.switch()

    project.assert_in_step()
    project.switch("feature")
    assert "colour" in columns(project)


def test_rows_that_are_obsolete_do_not_hide_what_is_pending(project: Project) -> None:
    make_shop(project)
    project.manage("migrate")
    project.checkout("-b", "feature")
    add_colour(project)
    project.commit()
    assert project.states() == {"shop.0003_colour": "pending"}
    project.switch()
    assert project.states() == {}


def test_a_tag_of_the_same_name_as_a_branch(project: Project) -> None:
    make_shop_with_feature(project)
    project.git("tag", "feature", "main")
    project.git("checkout", "--quiet", "main")
    project.switch()
    project.switch("feature")
    assert columns(project) == {"id", "name", "colour"}


def test_a_snapshot_whose_commit_was_collected_as_garbage(project: Project) -> None:
    make_shop_with_feature(project)
    project.manage("migrations_snapshot")
    project.checkout("main")
    project.switch()
    project.git("branch", "-D", "feature")
    project.migration("shop", "0003_other", "", [("shop", "0002_longer_name")])
    project.commit()
    project.manage("migrate")
    project.git("reflog", "expire", "--expire=now", "--all")
    project.git("gc", "--quiet", "--prune=now")

    project.switch("feature")

    assert columns(project) == {"id", "name", "colour"}
    project.switch()
    project.assert_in_step()


@pytest.mark.own_order
def test_a_source_that_is_no_python(project: Project) -> None:
    # Both texts are older than the row, so that the newer one counts.
    project.environment["GIT_COMMITTER_DATE"] = "2020-01-01T00:00:00Z"
    make_shop_with_feature(project)
    file = project.path / "shop/migrations/0003_colour.py"
    file.write_text("<<<<<<< HEAD\n" + file.read_text())
    project.commit("Conflict")
    project.checkout("main")

    assert project.states() == {"shop.0003_colour": "phantom"}
    result = project.manage("migrations_switch", status=1)
    assert "shop.migrations.0003_colour is not valid Python" in result.stderr


@pytest.mark.committed
def test_settings_that_are_a_link_to_elsewhere(project: Project) -> None:
    make_shop_with_feature(project)
    settings = project.path / "config/settings.py"
    settings.rename(project.path.parent / "settings.py")
    settings.symlink_to(project.path.parent / "settings.py")
    project.git("stash", "--quiet")
    project.checkout("main")
    project.git("stash", "pop", "--quiet")
    project.switch()
    assert columns(project) == {"id", "name"}


@pytest.mark.committed
def test_head_is_what_git_calls_so(project: Project) -> None:
    """And not what was switched to last without a branch."""
    make_shop(project)
    project.git("tag", "v1")
    add_colour(project)
    project.commit()
    project.manage("migrate")
    project.switch("v1")
    project.switch("HEAD")
    assert columns(project) == {"id", "name", "colour"}


def test_what_two_branches_have_came_from_the_smaller_one(project: Project) -> None:
    make_shop(project)
    project.git("tag", "v1")
    add_colour(project)
    project.commit()
    project.manage("migrate")
    project.manage("migrations_snapshot")
    project.checkout("-b", "another")
    project.migration("shop", "0004_empty", "", [("shop", "0003_colour")])
    project.commit()
    project.manage("migrate")
    project.manage("migrations_snapshot")
    plan = project.switch("v1", "--plan")
    assert "Unapply shop.0003_colour from main" in plan
    assert "Unapply shop.0004_empty from another" in plan


AUDIT = """
class Audit(models.Model):
    pass


@receiver([signals.pre_delete, signals.post_delete])
def look(**signal):
    Audit.objects.exists()
"""


@pytest.mark.committed
def test_receivers_for_all_models_dont_look_at_a_table_that_was_just_dropped(
    vendor_project: Project,
) -> None:
    make_shop(vendor_project)
    vendor_project.checkout("-b", "feature")
    imports = "from django.db.models import signals\nfrom django.dispatch import receiver\n"
    vendor_project.models("shop", imports + PRODUCT + AUDIT)
    vendor_project.migration(
        "shop",
        "0003_audit",
        f'migrations.CreateModel("Audit", [{ID}]),',
        [("shop", "0002_longer_name")],
    )
    vendor_project.commit()
    vendor_project.manage("migrate")

    vendor_project.switch("main")

    assert tables(vendor_project) & {"shop_product", "shop_audit"} == {"shop_product"}
    vendor_project.switch()
    vendor_project.assert_in_step()
