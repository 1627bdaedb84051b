"""What the command says and asks, and what it refuses."""

import os
import pty
import re
import subprocess
import sys
from contextlib import AbstractContextManager

from tests.branches.planning.test_changed import make_changed_root
from tests.branches.shop import columns, make_shop, make_shop_with_feature, tables
from tests.processes import read_until, run, started
from tests.project import Project

ADD = 'from shop.models import Product; Product.objects.create(name="Chair")'


def at_terminal(project: Project, answer: str, *arguments: str) -> tuple[int, str]:
    """Run the command at a terminal where a person types ``answer``."""
    controller, terminal = pty.openpty()
    os.write(controller, answer.encode() + b"\n")
    process = run(
        [sys.executable, "manage.py", "migrations_switch", *arguments],
        cwd=project.path,
        env=project.full_environment(measured=True),
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    os.close(terminal)
    os.close(controller)
    return process.returncode, process.stdout


def test_the_plan(project: Project) -> None:
    make_shop_with_feature(project)
    project.python('from shop.models import Product; Product.objects.create(colour="red")')
    project.manage("migrations_snapshot")
    commit = project.git("rev-parse", "HEAD")[:10]
    project.migration(
        "shop",
        "0003_data",
        'migrations.RunPython(migrations.RunPython.noop), migrations.RunSQL("SELECT 1"),',
        [("shop", "0002_longer_name")],
    )
    project.git("stash", "--quiet", "--include-untracked")
    project.checkout("main")
    project.git("stash", "pop", "--quiet")
    before = project.manage("migrate", "--plan").stdout

    output = project.manage("migrations_switch", "--plan").stdout

    assert re.sub(r" of \d{4}-\d\d-\d\d \d\d:\d\d", " of TIME", output) == (
        "Planned operations for database 'default', to branch main:\n"
        f"Unapply shop.0003_colour from feature (snapshot of TIME, {commit})\n"
        "    Undo Add field colour to product\n"
        "Apply shop.0003_data (file)\n"
        "    Raw Python operation (its effect can't be foreseen)\n"
        "    Raw SQL operation -> SELECT 1 (its effect can't be foreseen)\n"
        "Would be saved in the stash:\n"
        "    column shop_product.colour (1 row)\n"
    )
    assert project.manage("migrations_switch", "--plan", "--no-stash").stdout == output.replace(
        "Would be saved in the stash:", "Would be dropped:"
    )
    assert project.manage("migrate", "--plan").stdout == before
    assert columns(project) == {"id", "name", "colour"}


def test_the_plan_says_that_only_the_reflog_has_it(project: Project) -> None:
    make_shop_with_feature(project)
    commit = project.git("rev-parse", "HEAD")[:10]
    project.checkout("main")
    plan = project.manage("migrations_switch", "--plan").stdout
    assert f"Unapply shop.0003_colour from feature (git history, {commit})\n" in plan
    project.git("branch", "-D", "feature")
    plan = project.manage("migrations_switch", "--plan").stdout
    assert f"Unapply shop.0003_colour (git reflog, {commit})\n" in plan


def test_the_plan_of_nothing(project: Project) -> None:
    make_shop(project)
    project.manage("migrate")
    assert project.manage("migrations_switch", "--plan").stdout == (
        "Planned operations for database 'default', to branch main:\n"
        "  No planned migration operations.\n"
    )


def test_check_says_whether_there_is_anything_to_do(project: Project) -> None:
    make_shop_with_feature(project)
    project.manage("migrations_switch", "--check")
    project.checkout("main")
    project.manage("migrations_switch", "--check", status=1)
    project.manage("migrations_switch", "--check", "--plan", status=1)
    project.manage("migrations_switch", "feature", "--check")


def test_check_says_what_differs(project: Project) -> None:
    make_shop_with_feature(project)
    assert project.manage("migrations_switch", "--check").stdout == ""
    project.checkout("main")
    assert project.manage("migrations_switch", "--check", status=1).stdout == (
        "Database 'default' is out of step with branch main: unapply shop.0003_colour. "
        "To see each step: manage.py migrations_switch --plan\n"
    )
    assert project.manage("migrations_switch", "--check", "-v", "0", status=1).stdout == ""
    project.git("tag", "a'b", "main")
    said = project.manage("migrations_switch", "a'b", "--check", status=1).stdout
    assert said.endswith("manage.py migrations_switch 'a'\"'\"'b' --plan\n")


def test_check_says_that_a_source_is_missing(project: Project) -> None:
    make_shop(project)
    project.manage("migrate")
    project.python(
        """
        from django.db import connection
        from django.db.migrations.recorder import MigrationRecorder
        MigrationRecorder(connection).record_applied("shop", "0003_gone")
        """
    )
    said = project.manage("migrations_switch", "--check", status=1).stdout
    assert said.startswith(
        "Database 'default' is out of step with branch main: "
        "the source of shop.0003_gone was not found. "
    )


def timeless(output: str) -> str:
    """What was said, without how long it took."""
    return re.sub(r"in \d+\.\d s", "in 0.0 s", output)


def test_the_words_and_the_verbosity(project: Project) -> None:
    make_shop_with_feature(project)
    assert timeless(project.switch("main")) == (
        "Operations to perform:\n"
        "  Switch database 'default' to branch main: unapply 1 of shop\n"
        "Running migrations:\n"
        "  Rendering model states... DONE\n"
        "  Unapplying shop.0003_colour... OK\n"
        "Done in 0.0 s.\n"
    )
    assert "OK (" in project.switch("feature", "--verbosity=2")
    assert project.switch("main", "--verbosity=0") == ""
    assert project.switch("main", "--verbosity=0") == ""
    assert project.switch("feature", "--verbosity=0") == ""
    project.python(ADD)
    assert timeless(project.switch("main")) == (
        "Operations to perform:\n"
        "  Switch database 'default' to the snapshot of branch main: unapply 1 of shop\n"
        "Running migrations:\n"
        "  Rendering model states... DONE\n"
        "  Saving column shop_product.colour... OK\n"
        "  Unapplying shop.0003_colour... OK\n"
        "Done in 0.0 s.\n"
    )
    assert timeless(project.switch("feature")) == (
        "Operations to perform:\n"
        "  Switch database 'default' to the snapshot of branch feature: apply 1 of shop\n"
        "Running migrations:\n"
        "  Rendering model states... DONE\n"
        "  Applying shop.0003_colour... OK\n"
        "  Restoring column shop_product.colour... OK\n"
        "Done in 0.0 s.\n"
    )


def test_the_words_both_ways(vendor_project: Project) -> None:
    """What one migration drops when it is applied, and another one when it is unapplied."""
    make_shop(vendor_project)
    vendor_project.manage("migrate")
    vendor_project.python(ADD)
    vendor_project.checkout("-b", "feature")
    vendor_project.migration(
        "shop",
        "0003_size",
        """
        migrations.AddField("product", "size", models.IntegerField(default=1)),
        migrations.AlterField("product", "name", models.CharField(max_length=50, default="")),
        migrations.RemoveField("product", "name"),
        """,
        [("shop", "0002_longer_name")],
    )
    vendor_project.commit("Size")

    assert vendor_project.switch().splitlines()[3:-1] == [
        "  Rendering model states... DONE",
        "  Saving column shop_product.name... OK",
        "  Applying shop.0003_size... OK",
    ]
    assert vendor_project.switch("main").splitlines()[3:-1] == [
        "  Rendering model states... DONE",
        "  Saving column shop_product.size... OK",
        "  Unapplying shop.0003_size... OK",
        "  Restoring column shop_product.name... OK",
    ]
    assert vendor_project.switch().splitlines()[3:-1] == [
        "  Rendering model states... DONE",
        "  Saving column shop_product.name... OK",
        "  Applying shop.0003_size... OK",
        "  Restoring column shop_product.size... OK",
    ]


def test_it_refuses_where_debug_is_off(project: Project) -> None:
    make_shop_with_feature(project)
    project.checkout("main")
    project.settings("DEBUG = False")

    result = project.manage("migrations_switch", status=1)

    assert result.stderr.strip() == (
        "CommandError: DEBUG is off: this may be production, and a switch can drop tables. "
        "To switch all the same, run `manage.py migrations_switch --allow-debug-off`."
    )
    project.manage("migrations_switch", "--check", status=1)
    project.switch("--allow-debug-off")
    assert columns(project) == {"id", "name"}


def test_a_person_confirms_that_rows_are_destroyed(project: Project) -> None:
    make_shop_with_feature(project)
    project.python(ADD)
    project.checkout("main")

    status, output = at_terminal(project, "no", "--no-stash")
    assert status == 1
    assert "column shop_product.colour (1 row)" in output
    assert "Switch cancelled. Nothing was changed." in output
    assert columns(project) == {"id", "name", "colour"}

    status, output = at_terminal(project, "yes", "--no-stash")
    assert status == 0
    assert columns(project) == {"id", "name"}
    assert tables(project) == {"django_content_type", "django_migrations", "shop_product"}


def test_nobody_is_asked_about_rows_that_are_kept(project: Project) -> None:
    make_shop_with_feature(project)
    project.python(ADD)
    project.checkout("main")
    status, output = at_terminal(project, "")
    assert status == 0
    assert "Type 'yes'" not in output


def test_nobody_is_asked_about_empty_tables(project: Project) -> None:
    make_shop_with_feature(project)
    project.checkout("main")
    status, output = at_terminal(project, "", "--no-stash")
    assert status == 0
    assert "Type 'yes'" not in output


def test_a_person_agrees_to_roll_back_what_both_sides_share(project: Project) -> None:
    make_changed_root(project)

    status, output = at_terminal(project, "no")
    assert status == 0
    assert "shop.0001_initial; rolling it back takes along shop.0002_longer_name" in output
    assert columns(project) == {"id", "name"}

    status, output = at_terminal(project, "yes")
    assert status == 0
    assert columns(project) == {"id", "name", "extra"}


def test_two_at_the_same_time(vendor_project: Project) -> None:
    """The first waits inside a migration until the second has said that it waits."""
    make_shop(vendor_project)
    vendor_project.checkout("-b", "feature")
    vendor_project.migration(
        "shop",
        "0003_slow",
        "migrations.RunPython(wait, migrations.RunPython.noop),",
        [("shop", "0002_longer_name")],
        before="""
        def wait(apps, schema_editor):
            print("Waiting.", flush=True)
            input()
        """,
    )
    vendor_project.commit()

    def switch() -> AbstractContextManager["subprocess.Popen[str]"]:
        return started(
            [sys.executable, "manage.py", "migrations_switch"],
            cwd=vendor_project.path,
            env=vendor_project.full_environment(measured=True),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    with switch() as first:
        first_said = read_until(first, "Waiting.")
        with switch() as second:
            told = read_until(second, "Another switch is working")
            assert f"(process {first.pid}, since" in told
            first_said += first.communicate("go on\n")[0]
            second_said = second.communicate()[0]
    assert "Applying shop.0003_slow...Waiting.\n OK" in first_said
    assert "Nothing to do" in second_said
    assert (first.returncode, second.returncode) == (0, 0)
