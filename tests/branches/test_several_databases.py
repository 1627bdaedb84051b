"""Projects with more than one database."""

from collections.abc import Callable

import pytest

from tests.branches.shop import ID, columns, make_shop, make_shop_with_feature, tables
from tests.databases import Configuration
from tests.project import Project

ROUTER = """
class Router:
    def allow_migrate(self, db, app_label, **hints):
        return db == ("logs" if app_label == "logs" else "default")
"""


@pytest.fixture
def routed(
    request: pytest.FixtureRequest,
    make_project: Callable[..., Project],
    make_database: Callable[[str], Configuration],
    database: Configuration,
) -> Project:
    """On main, coming from feature: apps on two databases, both of which feature changed."""
    project = make_project(default=database, logs=make_database("sqlite"))
    project.write("config/router.py", ROUTER)
    project.settings('DATABASE_ROUTERS = ["config.router.Router"]')
    project.app("logs", "class Entry(models.Model):\n    pass\n")
    project.migration("logs", "0001_initial", f'migrations.CreateModel("Entry", [{ID}]),')
    make_shop_with_feature(project)
    project.models("logs", "class Entry(models.Model):\n    text = models.TextField(default='')\n")
    project.migration(
        "logs",
        "0002_text",
        'migrations.AddField("entry", "text", models.TextField(default="")),',
        [("logs", "0001_initial")],
    )
    project.commit("Text")
    project.manage("migrate")
    project.manage("migrate", "--database=logs")
    project.checkout("main")
    return project


def test_each_by_the_rules_of_its_router(routed: Project) -> None:
    assert columns(routed, "logs_entry", "logs") == {"id", "text"}

    routed.switch()

    assert columns(routed) == {"id", "name"}
    assert columns(routed, "logs_entry", "logs") == {"id"}
    assert "logs_entry" not in tables(routed)
    assert "shop_product" not in tables(routed, "logs")
    routed.assert_in_step()


def test_a_switch_is_taken_back_in_the_databases_that_it_has_changed(routed: Project) -> None:
    routed.switch("--database=default")
    routed.switch("--database=logs")
    routed.switch("--undo")
    assert columns(routed, "logs_entry", "logs") == {"id", "text"}
    assert columns(routed) == {"id", "name"}
    routed.switch("--undo", "--database=default")
    assert columns(routed) == {"id", "name", "colour"}


def test_one_switch_of_both_is_taken_back_in_both(routed: Project) -> None:
    routed.switch()
    routed.switch("--undo")
    assert columns(routed) == {"id", "name", "colour"}
    assert columns(routed, "logs_entry", "logs") == {"id", "text"}


def test_one_by_name(routed: Project) -> None:
    routed.switch("--database=logs")
    assert columns(routed, "logs_entry", "logs") == {"id"}
    assert columns(routed) == {"id", "name", "colour"}
    assert {row["database"] for row in routed.status()} == {"default"}


def test_the_plan_counts_only_what_is_there(routed: Project) -> None:
    routed.manage(
        "shell",
        "-c",
        "from shop.models import Product as P; "
        "from django.db import connection as c; "
        "c.cursor().execute(\"INSERT INTO shop_product (name, colour) VALUES ('a', 'b')\")",
    )
    output = routed.switch("--plan")
    assert output.count("column shop_product.colour (1 row)") == 1
    assert output.count("column logs_entry.text (0 rows)") == 1


def test_an_unknown_database(routed: Project) -> None:
    result = routed.manage("migrations_switch", "--database=other", status=1)
    assert "invalid choice: 'other'" in result.stderr


def test_mirrors_and_what_was_never_migrated_are_left_alone(
    make_project: Callable[..., Project], make_database: Callable[[str], Configuration]
) -> None:
    default = make_database("sqlite")
    project = make_project(
        default=default,
        replica={**make_database("sqlite"), "TEST": {"MIRROR": "default"}},
        same=default,
        legacy=make_database("sqlite"),
    )
    make_shop_with_feature(project)
    project.checkout("main")

    result = project.manage("migrations_switch", "--no-input", "--verbosity=2")

    assert tables(project, "legacy") == set()
    assert tables(project, "replica") == set()
    assert result.stdout.count("Switch database") == 1
    assert result.stderr.strip() == (
        "Database 'legacy' was never migrated, and is left alone. "
        "To include it: --database legacy."
    )
    project.switch("--database=legacy")
    assert "shop_product" in tables(project, "legacy")


def test_a_database_that_does_not_answer(
    make_project: Callable[..., Project], make_database: Callable[[str], Configuration]
) -> None:
    gone = {**make_database("sqlite"), "NAME": "/nowhere/at/all.sqlite3"}
    project = make_project(default=make_database("sqlite"), gone=gone)
    make_shop_with_feature(project)
    result = project.manage("migrations_switch", status=1)
    assert result.stderr.startswith("CommandError: Database 'gone' can't be reached: ")
    assert result.stderr.strip().endswith("Start it, or name the others with --database.")
    project.databases = {"default": gone}
    result = project.manage("migrations_switch", status=1)
    assert result.stderr.strip().endswith("\nStart it.")


def test_the_default_database_does_not_answer(make_project: Callable[..., Project]) -> None:
    gone = {"ENGINE": "django.db.backends.sqlite3", "NAME": "/nowhere/at/all.sqlite3"}
    project = make_project(default=gone)
    project.commit()
    for command in ("migrations_switch", "migrations_status", "migrations_snapshot"):
        result = project.manage(command, status=1)
        assert result.stderr.startswith("CommandError: Database 'default' can't be reached: ")


def test_what_one_database_went_on_with_is_taken_back_in_all(
    make_project: Callable[..., Project], make_database: Callable[[str], Configuration]
) -> None:
    databases = {"default": make_database("sqlite"), "logs": make_database("sqlite")}
    project = make_project(**databases)
    make_shop(project)
    for alias in databases:
        project.manage("migrate", f"--database={alias}")
    project.checkout("-b", "feature")
    project.migration(
        "shop",
        "0003_boom",
        "migrations.RunPython(boom, migrations.RunPython.noop),",
        [("shop", "0002_longer_name")],
        before="""
        import os

        def boom(apps, schema_editor):
            if schema_editor.connection.alias == "logs" and "BOOM" in os.environ:
                from django.db import OperationalError

                raise OperationalError("boom")
        """,
    )
    project.commit()
    project.environment["BOOM"] = "1"
    project.manage("migrations_switch", status=1)
    del project.environment["BOOM"]
    assert "Switch database 'logs' to branch feature: apply 1 of shop" in project.switch()
    said = project.switch("--undo")
    assert said.count("unapply 1 of shop") == 2
    assert said.count("database 'logs'") == said.count("database 'default'") == 1


def test_what_goes_on_with_an_undoing_is_about_its_databases(
    make_project: Callable[..., Project], make_database: Callable[[str], Configuration]
) -> None:
    databases = {"default": make_database("sqlite"), "logs": make_database("sqlite")}
    project = make_project(**databases)
    make_shop(project)
    boom = """
    import os

    def boom(apps, schema_editor):
        if "BOOM" in os.environ:
            from django.db import OperationalError

            raise OperationalError("boom")
    """
    for branch in ("one", "two"):
        project.checkout("-b", branch, "main")
        project.migration(
            "shop",
            f"0003_{branch}",
            "migrations.RunPython(migrations.RunPython.noop, boom),",
            [("shop", "0002_longer_name")],
            before=boom,
        )
        project.commit()
    project.checkout("one")
    project.switch("--database=default")
    project.checkout("main")
    project.manage("migrations_snapshot", "--database=default")
    project.switch("--database=logs")
    project.checkout("two")
    project.switch("--database=logs")
    project.environment["BOOM"] = "1"
    result = project.manage(
        "migrations_switch", "--undo", "--database=logs", "--plan", "--check", status=1
    )
    assert result.stdout.endswith(
        "To see each step: manage.py migrations_switch --undo --plan --database logs\n"
    )
    result = project.manage("migrations_switch", "--undo", "--database=logs", status=1)
    assert result.stderr.strip().endswith(
        "Once that is fixed, run `manage.py migrations_switch main --database=logs`; it resumes "
        "where this run stopped. Use --traceback to see where it stopped."
    )
