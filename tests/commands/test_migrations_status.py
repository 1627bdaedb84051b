import json

from django_devtools.management.commands.migrations_status import obsolete_words
from tests.branches.shop import add_colour, make_shop, make_shop_with_feature
from tests.project import Project


def test_in_step(project: Project) -> None:
    make_shop(project)
    project.manage("migrate")
    result = project.manage("migrations_status", "--check")
    assert result.stdout == "Databases and code are in step.\n"


def test_the_table(project: Project) -> None:
    make_shop_with_feature(project)
    project.manage("migrations_snapshot")
    commit = project.git("rev-parse", "HEAD")[:10]
    project.checkout("main")
    add_colour(project, "0003_other")
    project.python(
        """
        from django.db import connection
        from django.db.migrations.recorder import MigrationRecorder
        MigrationRecorder(connection).record_applied("comments", "0001_initial")
        """
    )

    result = project.manage("migrations_status", "--check", status=1)

    assert result.stdout == (
        "app       migration     state     branch   source\n"
        "comments  0001_initial  obsolete  -        -\n"
        f"shop      0003_colour   phantom   feature  snapshot, {commit}\n"
        "shop      0003_other    pending   main     file\n"
        "To bring them into step: manage.py migrations_switch\n"
    )
    project.remove("shop/migrations/0003_other.py")
    project.switch()
    assert project.manage("migrations_status", "--check").stdout.endswith(
        "Obsolete rows do no harm.\n"
    )


def test_what_prunes_obsolete_rows() -> None:
    prune = "Obsolete rows do no harm; `manage.py migrate APP --prune` deletes "
    assert obsolete_words({"shop"}, {"shop", "auth"}) == f"{prune}them."
    assert obsolete_words({"shop", "gone"}, {"shop"}) == f"{prune}those of installed apps."
    assert obsolete_words({"gone"}, {"shop"}) == "Obsolete rows do no harm."


def test_all(project: Project) -> None:
    make_shop(project)
    project.manage("migrate")
    lines = project.manage("migrations_status", "--all").stdout.splitlines()
    assert ["shop", "0001_initial", "applied", "main", "file"] in [line.split() for line in lines]


def test_json(project: Project) -> None:
    make_shop_with_feature(project)
    project.checkout("main")
    rows = json.loads(project.manage("migrations_status", "--json").stdout)
    assert {
        "database": "default",
        "app": "shop",
        "name": "0001_initial",
        "state": "applied",
        "branch": "main",
        "source": "file",
    } in rows
    assert [row["name"] for row in rows if row["state"] == "phantom"] == ["0003_colour"]


def test_several_databases_have_a_column_of_their_own(make_project, make_database) -> None:  # type: ignore[no-untyped-def]
    project = make_project(default=make_database("sqlite"), other=make_database("sqlite"))
    make_shop(project)
    project.manage("migrate")
    project.manage("migrate", "--database=other", "contenttypes")
    output = project.manage("migrations_status").stdout
    assert output.startswith("database  app   migration         state    branch  source\n")


def test_what_is_in_the_stash(project: Project) -> None:
    make_shop_with_feature(project)
    project.python("from shop.models import Product; Product.objects.create(colour='red')")
    project.switch("main")
    project.checkout("main")
    assert project.manage("migrations_status", "--check").stdout == (
        "Databases and code are in step.\n"
        "In the stash of database 'default': column shop_product.colour (1 row). "
        "To look at them: manage.py migrations_stash list\n"
    )


def test_check_is_quiet_when_told_so(project: Project) -> None:
    make_shop_with_feature(project)
    project.environment["GITHUB_ACTIONS"] = "true"
    assert project.manage("migrations_status", "--check", "-v", "0").stdout == ""
    project.checkout("main")
    assert project.manage("migrations_status", "--check", "-v", "0", status=1).stdout == ""


def test_each_state_has_its_colour(project: Project) -> None:
    make_shop_with_feature(project)
    project.checkout("main")
    project.migration("shop", "0003_other", "", [("shop", "0002_longer_name")])
    lines = project.manage("migrations_status", "--force-color").stdout.splitlines()
    assert lines[1].startswith("\x1b[33;1mshop  0003_colour  phantom")
    assert lines[2].startswith("\x1b[1mshop  0003_other   pending")


def make_shop_with_a_part_of_a_squash(project: Project) -> None:
    """Nothing has the files of 0004_b and 0005_c, which the squash replaces beside 0003_a."""
    make_shop(project)
    project.manage("migrate")
    add_colour(project, "0003_squashed")
    file = "shop/migrations/0003_squashed.py"
    replaces = '[("shop", "0003_a"), ("shop", "0004_b"), ("shop", "0005_c")]'
    text = (project.path / file).read_text()
    project.write(file, f"{text}\nMigration.replaces = {replaces}\n")
    project.python(
        """
        from django.db import connection
        from django.db.migrations.recorder import MigrationRecorder
        MigrationRecorder(connection).record_applied("shop", "0003_a")
        """
    )


APPLIED_IN_PART = (
    "shop.0003_squashed is applied in part. Not applied, and not found on disk, in a snapshot or "
    "in the git history of any ref: shop.0004_b, shop.0005_c. Neither a switch nor `migrate` goes "
    "on there. Put back what is missing, and run `manage.py migrations_switch`.\n"
)


def test_a_squash_of_which_nobody_has_the_rest(project: Project) -> None:
    make_shop_with_a_part_of_a_squash(project)
    assert project.manage("migrations_status").stdout == APPLIED_IN_PART
    result = project.manage("migrations_switch")
    assert result.stdout == "Nothing to do: database 'default' is left as it is.\n"
    assert result.stderr == APPLIED_IN_PART


def test_nothing_is_applied_on_top_of_a_part_of_a_squash(project: Project) -> None:
    make_shop_with_a_part_of_a_squash(project)
    project.migration("shop", "0006_more", "", [("shop", "0003_squashed")])
    result = project.manage("migrations_switch", status=1)
    assert result.stderr.startswith(
        "CommandError: shop.0006_more depends on shop.0003_squashed. " + APPLIED_IN_PART[:40]
    )
    assert project.states()["shop.0006_more"] == "pending"
