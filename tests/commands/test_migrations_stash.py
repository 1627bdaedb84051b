"""What the stash's own command shows, brings back and throws away."""

import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from functools import partial

import pytest

from tests.branches.shop import ID, PRODUCT, make_shop
from tests.branches.stash.stashing import dump, go, kept, make_branch, values
from tests.databases import Configuration
from tests.processes import started
from tests.project import Project
from tests.templates import made_once

pytestmark = pytest.mark.once

MODELS = (
    PRODUCT
    + """\
    note = models.TextField(null=True)

class Spare(models.Model):
    product = models.ForeignKey(Product, models.CASCADE, null=True)
    name = models.CharField(max_length=60, unique=True)
"""
)
CTRL_D = "\x04"
NO_ID = (
    "CommandError: Which ones? `manage.py migrations_stash {} ID`; "
    "`manage.py migrations_stash list` shows their numbers.\n"
)
WHEN_MENDED = (
    "Once that is fixed, run this again. If the table of an entry is gone, "
    "`manage.py migrations_stash drop` forgets the entry. "
    "Use --traceback to see where it stopped.\n"
)
UNKNOWN = (
    "CommandError: The stash has no {}. `manage.py migrations_stash list` shows what it has.\n"
)


@made_once
def fill_stash(project: Project) -> None:
    """On main: two parts and a note are in the stash."""
    make_shop(project)
    project.checkout("-b", "feature")
    project.models("shop", MODELS)
    project.migration(
        "shop",
        "0003_feature",
        f"""
        migrations.AddField("product", "note", models.TextField(null=True)),
        migrations.CreateModel("Spare", [
            {ID}
            ("name", models.CharField(max_length=60, unique=True)),
            ("product", models.ForeignKey("shop.product", models.CASCADE, null=True)),
        ]),
        """,
        [("shop", "0002_longer_name")],
    )
    project.commit("Feature")
    project.manage("migrate")
    project.python(
        """
        from shop.models import *
        product = Product.objects.create(name="p", note="a\\nnote")
        Spare.objects.create(product=product, name="x" * 50)
        Spare.objects.create(name="NULL")
        """
    )
    go(project, "main")


@pytest.fixture
def stash(project: Project) -> Project:
    fill_stash(project)
    return project


def test_an_empty_stash(project: Project) -> None:
    make_shop(project)
    assert project.manage("migrations_stash", "list").stdout == "The stash is empty.\n"
    assert project.manage("migrations_stash", "list", "--json").stdout == "[]\n"
    result = project.manage("migrations_stash", "drop", "--older-than=0")
    assert result.stdout == "There is nothing to drop.\n"
    for action in ("show", "restore", "drop"):
        result = project.manage("migrations_stash", action, status=1)
        assert result.stderr == NO_ID.format(action)
        result = project.manage("migrations_stash", action, "3", "1", status=1)
        assert result.stderr == UNKNOWN.format("1, 3")
    project.manage("migrations_stash", "3", status=1)


def test_the_list(vendor_project: Project) -> None:
    fill_stash(vendor_project)
    output = vendor_project.manage("migrations_stash", "list").stdout
    assert vendor_project.manage("migrations_stash").stdout == output
    output = re.sub(r"\d+\.\d\s[KM]B", "0 KB", output)
    output = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "then", output)
    assert [line.split("  ") for line in re.sub("   +", "  ", output).splitlines()] == [
        ["id", "what", "rows", "size", "branch", "migration", "since"],
        ["1", "column shop_product.note", "1", "0 KB", "feature", "shop.0003_feature", "then"],
        ["2", "table shop_spare", "2", "0 KB", "feature", "shop.0003_feature", "then"],
    ]
    output = vendor_project.manage("migrations_stash", "list", "2").stdout
    assert "shop_spare" in output
    assert "shop_product" not in output


def test_the_list_as_json(stash: Project) -> None:
    found = json.loads(stash.manage("migrations_stash", "list", "--json").stdout)
    for one in found:
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", one.pop("at"))
        assert one.pop("bytes") > 0
    assert found == [
        {
            "database": "default",
            "id": 1,
            "table": "shop_product",
            "columns": ["note"],
            "rows": 1,
            "branch": "feature",
            "migrations": ["shop.0003_feature"],
            "copy": "django_devtools_stash_1",
            "reason": None,
        },
        {
            "database": "default",
            "id": 2,
            "table": "shop_spare",
            "columns": None,
            "rows": 2,
            "branch": "feature",
            "migrations": ["shop.0003_feature"],
            "copy": "django_devtools_stash_2",
            "reason": None,
        },
    ]


def test_without_time_zones(vendor_project: Project) -> None:
    vendor_project.settings("USE_TZ = False")
    fill_stash(vendor_project)
    since = r"\d{4}-\d\d-\d\d \d\d:\d\d"
    assert re.search(since, vendor_project.manage("migrations_stash", "list").stdout)
    found = json.loads(vendor_project.manage("migrations_stash", "list", "--json").stdout)
    assert all(datetime.fromisoformat(one["at"]).tzinfo is None for one in found)
    drop = ("migrations_stash", "drop")
    assert vendor_project.manage(*drop, "--older-than=1").stdout == "There is nothing to drop.\n"
    output = vendor_project.manage(*drop, "--older-than=0").stdout
    assert output == "Dropped 1: column shop_product.note.\nDropped 2: table shop_spare.\n"


def test_show(vendor_project: Project) -> None:
    fill_stash(vendor_project)
    assert vendor_project.manage("migrations_stash", "show", "1", "2").stdout == (
        "1: column shop_product.note, in default, as django_devtools_stash_1\n"
        "id  note\n"
        "1   a note\n"
        "2: table shop_spare, in default, as django_devtools_stash_2\n"
        "id  name                                      product_id\n"
        f"1   {'x' * 39}…  1\n"
        "2   NULL                                      NULL\n"
    )


def test_show_many(project: Project) -> None:
    make_shop(project)
    make_branch(project, "feature", MODELS)
    project.manage("migrate")
    project.python(
        "from shop.models import *; "
        "Spare.objects.bulk_create(Spare(name=str(number)) for number in range(1030))"
    )
    go(project, "main")
    lines = project.manage("migrations_stash", "show", "1").stdout.splitlines()
    assert len(lines) == 23
    assert lines[-1] == "... and 1,010 more"
    assert "table shop_spare  1,030  " in project.manage("migrations_stash").stdout
    assert "table shop_spare (1,030 rows)" in project.manage("migrations_status").stdout


def test_what_could_not_come_back(vendor_project: Project) -> None:
    """It is shown with the reason, and can be brought back when that is mended."""
    fill_stash(vendor_project)
    vendor_project.python("from shop.models import *; Product.objects.all().delete()")
    go(vendor_project, "feature")
    assert values(vendor_project, "name", model="Spare") == "NULL"
    output = vendor_project.manage("migrations_stash", "list").stdout
    assert output.endswith(
        "1 was not restored: the rows they belong to are gone\n"
        "2 was not restored: what they refer to in shop_product is gone\n"
    )
    output = vendor_project.manage("migrations_stash", "show", "2").stdout
    assert output.splitlines()[1] == ("Not restored: what they refer to in shop_product is gone")
    assert "xxx" in output
    assert "NULL" not in output
    assert (
        "column shop_product.note (1 row, not restored), table shop_spare (1 row, not restored). "
    ) in vendor_project.manage("migrations_status").stdout

    vendor_project.python(
        "from shop.models import *; Product.objects.create(pk=1, name='again'); "
        "Spare.objects.create(name='new')"
    )
    result = vendor_project.manage("migrations_stash", "restore", "1", "2")
    assert result.stdout == (
        "  Restoring table shop_spare... OK\n  Restoring column shop_product.note... OK\n"
    )
    assert result.stderr == ""
    assert values(vendor_project, "name", "note") == "again a\nnote"
    assert values(vendor_project, "name", "product", model="Spare") == (
        f"{'x' * 50} 1; NULL None; new None"
    )
    dump(vendor_project)
    assert not kept(vendor_project)


def test_other_rows_have_their_keys(stash: Project) -> None:
    stash.python("from shop.models import *; Product.objects.all().delete()")
    go(stash, "feature")
    stash.python(
        "from shop.models import *; Product.objects.create(pk=1); "
        "Spare.objects.create(pk=1, name='mine')"
    )
    result = stash.manage("migrations_stash", "restore", "2")
    assert result.stderr == (
        "1 of 1 row of table shop_spare stays in the stash: other rows are there with their keys. "
        "To look at them: manage.py migrations_stash show 2\n"
    )
    assert values(stash, "id", "name", model="Spare") == "1 mine; 2 NULL"
    assert kept(stash) == {"shop_product.note 1", "shop_spare.* 1"}


def test_others_have_their_unique_values(vendor_project: Project) -> None:
    fill_stash(vendor_project)
    vendor_project.python("from shop.models import *; Product.objects.all().delete()")
    go(vendor_project, "feature")
    vendor_project.python(
        "from shop.models import *; Product.objects.create(pk=1); "
        "Spare.objects.create(pk=7, name='x' * 50)"
    )
    result = vendor_project.manage("migrations_stash", "restore", "2")
    assert result.stderr.startswith("1 of 1 row of table shop_spare stays in the stash: ")
    assert re.search("unique|duplicate", result.stderr.lower())
    assert values(vendor_project, "id", model="Spare") == "2; 7"
    assert kept(vendor_project) == {"shop_product.note 1", "shop_spare.* 1"}
    dump(vendor_project)


def test_restore_where_it_has_no_place(stash: Project) -> None:
    result = stash.manage("migrations_stash", "restore", "1", "2")
    assert result.stderr == (
        "column shop_product.note: still in the stash. There is no such table or column now. "
        "To look at it: manage.py migrations_stash show 1\n"
        "table shop_spare: still in the stash. There is no such table or column now. "
        "To look at it: manage.py migrations_stash show 2\n"
    )
    assert kept(stash) == {"shop_product.note 1", "shop_spare.* 2"}


def test_restore_replaces_only_what_is_named(stash: Project) -> None:
    """Else one branch's values would take the place of another's."""
    make_branch(stash, "other", PRODUCT + "    note = models.TextField(null=True)\n")
    stash.manage("migrate")
    stash.python("from shop.models import *; Product.objects.update(note='own')")
    result = stash.manage("migrations_stash", "restore", status=1)
    assert result.stderr == NO_ID.format("restore")
    assert values(stash, "note") == "own"
    stash.manage("migrations_stash", "restore", "1")
    assert values(stash, "note") == "a\nnote"


def test_restore(stash: Project) -> None:
    stash.checkout("feature")
    stash.manage("migrate")  # without AUTO_SNAPSHOT, it brings nothing back
    assert values(stash, "name", "note") == "p None"
    assert stash.manage("migrations_stash", "restore", "1", "2").stdout == (
        "  Restoring table shop_spare... OK\n  Restoring column shop_product.note... OK\n"
    )
    assert values(stash, "name", "note") == "p a\nnote"
    assert values(stash, "id", model="Spare") == "1; 2"
    assert not kept(stash)


def test_drop(stash: Project) -> None:
    result = stash.manage("migrations_stash", "drop", "2", "4", status=1)
    assert result.stderr == UNKNOWN.format("4")
    result = stash.manage("migrations_stash", "drop", status=1)
    assert result.stderr == NO_ID.format("drop")
    assert len(kept(stash)) == 2

    assert stash.manage("migrations_stash", "drop", "2").stdout == "Dropped 2: table shop_spare.\n"
    assert kept(stash) == {"shop_product.note 1"}
    assert stash.manage("migrations_stash", "drop", "1", "--verbosity=0").stdout == ""
    assert not kept(stash)
    go(stash, "feature")
    assert values(stash, "name", "note") == "p None"


def test_drop_what_is_old(stash: Project) -> None:
    older = "--older-than=30"
    drop = ("migrations_stash", "drop", older)
    assert stash.manage(*drop).stdout == "There is nothing to drop.\n"
    stash.python(
        """
        from datetime import timedelta
        from django.utils import timezone
        from django.db import connection
        old = timezone.now() - timedelta(days=31)
        with connection.cursor() as cursor:
            cursor.execute("UPDATE django_devtools_stash SET at = %s WHERE id = 1", [old])
        """
    )
    assert (
        stash.manage("migrations_stash", "drop", "2", older).stdout
        == "There is nothing to drop.\n"
    )
    assert stash.manage(*drop).stdout == "Dropped 1: column shop_product.note.\n"
    assert kept(stash) == {"shop_spare.* 2"}
    output = stash.manage("migrations_stash", "drop", "--older-than=0").stdout
    assert output == "Dropped 2: table shop_spare.\n"
    assert not kept(stash)


@pytest.mark.parametrize("days", ["36501", "-1", "soon"])
def test_drop_what_is_older_than_anything(stash: Project, days: str) -> None:
    result = stash.manage("migrations_stash", "drop", f"--older-than={days}", status=1)
    assert f"--older-than: '{days}' is not a number of days from 0 to 36500" in result.stderr
    assert len(kept(stash)) == 2


@pytest.mark.parametrize("action", ["restore", "drop"])
def test_while_the_database_is_locked(stash: Project, action: str) -> None:
    stash.settings('DATABASES["default"]["OPTIONS"] = {"timeout": 0}')
    stash.checkout("feature")
    stash.manage("migrate")
    with closing(sqlite3.connect(stash.databases["default"]["NAME"])) as other:
        other.execute("BEGIN IMMEDIATE")
        result = stash.manage("migrations_stash", action, "1", status=1)
    assert result.stderr == f"CommandError: Database error: database is locked\n{WHEN_MENDED}"
    assert len(kept(stash)) == 2


def test_a_copy_is_gone(vendor_project: Project) -> None:
    fill_stash(vendor_project)
    vendor_project.python(
        "from django.db import connection; "
        "connection.cursor().execute('DROP TABLE django_devtools_stash_1')"
    )
    assert "column shop_product.note" in vendor_project.manage("migrations_stash", "list").stdout
    result = vendor_project.manage("migrations_stash", "show", "1", status=1)
    assert result.stderr.startswith("CommandError: Database error: ")
    assert "django_devtools_stash_1" in result.stderr
    assert result.stderr.endswith(WHEN_MENDED)
    output = vendor_project.manage("migrations_stash", "drop", "1").stdout
    assert output == "Dropped 1: column shop_product.note.\n"


@pytest.mark.parametrize(("answer", "status"), [("no", 1), (CTRL_D, 1), ("yes", 0)])
def test_a_person_is_asked_before_it_is_dropped(stash: Project, answer: str, status: int) -> None:
    controller, terminal = pty.openpty()
    os.write(controller, answer.encode() + b"\n")
    process = subprocess.run(
        [sys.executable, "manage.py", "migrations_stash", "drop", "2"],
        cwd=stash.path,
        env=stash.full_environment(measured=True),
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    os.close(terminal)
    os.close(controller)
    asked = (
        "    2: table shop_spare (2 rows)\n"
        "Dropped entries can't be restored. Type 'yes' to drop these: "
    )
    said = "CommandError: Nothing was dropped.\n" if status else "Dropped 2: table shop_spare.\n"
    assert (process.returncode, process.stdout) == (status, asked + said)
    assert len(kept(stash)) == (2 if status else 1)


def test_ctrl_c_instead_of_an_answer(stash: Project) -> None:
    controller, terminal = pty.openpty()
    with started(
        [sys.executable, "manage.py", "migrations_stash", "drop", "2"],
        cwd=stash.path,
        env=stash.full_environment(measured=True),
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # Who runs the tests in the background may have had it ignored.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout
        said = ""
        while not said.endswith("Type 'yes' to drop these: ") and process.poll() is None:
            said += process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        os.write(controller, b"yes\n")  # Python waits for that if the signal came before it read
        assert process.communicate()[0] == "CommandError: Nothing was dropped.\n"
    os.close(terminal)
    os.close(controller)
    assert process.returncode == 1
    assert len(kept(stash)) == 2


def test_in_production(stash: Project) -> None:
    stash.settings("DEBUG = False")
    for action in ("drop", "restore"):
        result = stash.manage("migrations_stash", action, "1", status=1)
        assert result.stderr == (
            "CommandError: DEBUG is off: this may be production, and the stash is for development "
            "only.\n"
        )
    assert len(kept(stash)) == 2


@pytest.fixture
def two_databases(
    make_project: Callable[..., Project], make_database: Callable[[str], Configuration]
) -> Project:
    """On main: each of the databases has an entry 1 in its stash."""
    project = make_project(default=make_database("sqlite"), other=make_database("sqlite"))
    make_shop(project)
    project.checkout("-b", "feature")
    make_branch(project, "feature2", MODELS)
    project.manage("migrate")
    project.manage("migrate", "--database=other")
    project.python(
        """
        from shop.models import *
        for alias in ("default", "other"):
            Spare.objects.using(alias).create(name=alias)
        """
    )
    go(project, "main")
    return project


def test_several_databases(two_databases: Project) -> None:
    project = two_databases
    output = project.manage("migrations_stash", "list").stdout
    assert [line.split()[:3] for line in output.splitlines()] == [
        ["database", "id", "what"],
        ["default", "1", "table"],
        ["other", "1", "table"],
    ]
    for alias in ("default", "other"):
        output = project.manage("migrations_stash", "show", "1", f"--database={alias}").stdout
        assert output.startswith(f"1: table shop_spare, in {alias}, as django_devtools_stash_1\n")
    output = project.manage("migrations_stash", "drop", "1", "--database=other").stdout
    assert output == "Dropped 1: table shop_spare.\n"
    assert project.manage("migrations_stash", "list", "--database=other").stdout == (
        "The stash is empty.\n"
    )
    go(project, "feature2")
    assert values(project, "name", model="Spare") == "default"


def test_a_number_that_several_databases_have(two_databases: Project) -> None:
    for action in ("show", "restore", "drop"):
        result = two_databases.manage("migrations_stash", action, "1", status=1)
        assert result.stderr == (
            "CommandError: The databases default, other have an entry 1 each. Say which one is "
            f"meant: `manage.py migrations_stash {action} 1 --database default`\n"
        )
    result = two_databases.manage("migrations_stash", "drop", "1", "--older-than=0", status=1)
    assert "Say which one is meant" in result.stderr
    output = two_databases.manage("migrations_stash", "drop", "--older-than=0").stdout
    assert output == "Dropped 1: table shop_spare.\n" * 2


def test_what_could_come_back_to_several_databases(two_databases: Project) -> None:
    two_databases.checkout("feature2")
    two_databases.manage("migrate")
    two_databases.manage("migrate", "--database=other")
    hint = (
        "The stash has data that could be restored: table shop_spare (from feature2). "
        "To restore it: manage.py migrations_stash restore 1 --database "
    )
    result = two_databases.manage("migrations_switch")
    assert result.stderr == f"{hint}default\n{hint}other\n"
    for alias in ("default", "other"):
        result = two_databases.manage("migrations_stash", "restore", "1", f"--database={alias}")
        assert result.stdout == "  Restoring table shop_spare... OK\n"


@pytest.mark.parametrize(
    "words",
    [
        ["show", "1", "--database", "default"],
        ["show", "--database", "default", "1"],
        ["--database", "default", "show", "1"],
    ],
)
def test_options_stand_anywhere(stash: Project, words: list[str]) -> None:
    assert stash.manage("migrations_stash", *words).stdout.startswith("1: ")
