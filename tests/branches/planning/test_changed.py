"""Migrations of the same name that read differently."""

from itertools import pairwise

import pytest

from tests.branches.shop import COLOUR, ID, PRODUCT, add_colour, columns, make_shop, tables
from tests.project import Project
from tests.templates import made_once

DATA = """
def forwards(apps, schema_editor):
    Product = apps.get_model("shop", "Product")
    Product.objects.using(schema_editor.connection.alias).create(name={name!r})


def backwards(apps, schema_editor):
    Product = apps.get_model("shop", "Product")
    Product.objects.using(schema_editor.connection.alias).filter(name={name!r}).delete()
"""


def edit(project: Project, name: str, old: str, new: str) -> None:
    file = project.path / "shop/migrations" / f"{name}.py"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def names(project: Project) -> str:
    return project.python(
        "from shop.models import Product; print(*Product.objects.values_list('name', flat=True))"
    )


@made_once
def make_changed_leaf(project: Project) -> None:
    """On branch edit, which has another 0003_colour than main: what main has is applied."""
    make_shop(project)
    add_colour(project)
    project.commit()
    project.manage("migrate")
    project.manage("migrations_snapshot")
    project.checkout("-b", "edit")
    edit(project, "0003_colour", "max_length=20", "max_length=30")
    edit(project, "0003_colour", '"colour"', '"paint"')
    project.models("shop", PRODUCT + "    paint = models.CharField(max_length=30)\n")
    project.commit("Edit")


@pytest.mark.no_cover
def test_a_changed_leaf_is_unapplied_as_it_was_and_applied_as_it_is(
    vendor_project: Project,
) -> None:
    make_changed_leaf(vendor_project)
    assert vendor_project.states() == {"shop.0003_colour": "changed"}

    output = vendor_project.switch()

    assert output.index("Unapplying shop.0003_colour") < output.index("Applying shop.0003_colour")
    assert columns(vendor_project) == {"id", "name", "paint"}
    vendor_project.assert_in_step()
    vendor_project.switch("main")
    assert columns(vendor_project) == {"id", "name", "colour"}
    vendor_project.checkout("main")
    vendor_project.assert_in_step()


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("class Migration", "# A comment\nclass Migration"),
        ("    operations", '    """A docstring."""\n    operations'),
        ("max_length=20", "max_length = 20"),
        ("max_length=20", "max_length=20, help_text='Help'"),
        ("max_length=20", "max_length=20, verbose_name='Name'"),
        ("max_length=20", "max_length=20, choices=[('a', 'A')]"),
        ("max_length=20", "max_length=20, validators=[lambda value: None]"),
        ("max_length=20", "max_length=20, blank=True, editable=False"),
        ("operations = [", "operations = [migrations.AlterModelOptions('product', {}),"),
    ],
)
def test_what_has_no_effect_on_the_database_is_no_change(
    project: Project, old: str, new: str
) -> None:
    make_shop(project)
    add_colour(project)
    project.manage("migrate")
    project.manage("migrations_snapshot")

    edit(project, "0003_colour", old, new)

    assert project.states() == {}
    assert "Nothing to do" in project.switch()


@made_once
def make_changed_root(project: Project) -> None:
    """0001 was changed, and 0002 depends on it."""
    make_shop(project)
    project.manage("migrate")
    project.manage("migrations_snapshot")
    edit(project, "0001_initial", '("name"', '("extra", models.IntegerField(null=True)), ("name"')
    project.models("shop", PRODUCT + "    extra = models.IntegerField(null=True)\n")
    project.commit()


def test_not_all_that_both_sides_share_is_named(project: Project) -> None:
    make_changed_root(project)
    below = "0002_longer_name"
    for number in range(3, 7):
        project.migration("shop", f"000{number}_d", "", [("shop", below)])
        below = f"000{number}_d"
    project.manage("migrate")
    said = project.manage("migrations_switch", "--no-input").stderr
    first = "shop.0002_longer_name, shop.0003_d, shop.0004_d and 2 others (-v 2 names them)"
    assert f"rolling it back would take along {first}, which both sides have." in said


def test_what_both_sides_share_is_not_rolled_back_without_consent(project: Project) -> None:
    make_changed_root(project)
    result = project.manage("migrations_switch", "--no-input")

    assert "Nothing to do: database 'default' is left as it is." in result.stdout
    assert (
        "shop.0001_initial was changed since it was applied, and left as it is: rolling it back "
        "would take along shop.0002_longer_name, which both sides have."
    ) in result.stderr
    project.manage("migrations_switch", "--check")
    project.manage("migrations_status", "--check", status=1)

    project.switch("--roll-back-shared")
    assert columns(project) == {"id", "name", "extra"}
    project.assert_in_step()


def test_an_edited_initial_migration_empties_no_table_by_itself(vendor_project: Project) -> None:
    vendor_project.app("shop", "class Product(models.Model):\n    pass\n")
    vendor_project.migration("shop", "0001_initial", f'migrations.CreateModel("Product", [{ID}]),')
    vendor_project.commit()
    vendor_project.manage("migrate")
    vendor_project.manage("migrations_snapshot")
    vendor_project.python("from shop.models import Product; Product.objects.create()")
    vendor_project.models(
        "shop", "class Product(models.Model):\n    a = models.IntegerField(null=True)\n"
    )
    edit(vendor_project, "0001_initial", "[(", "[('a', models.IntegerField(null=True)), (")

    result = vendor_project.manage("migrations_switch", "--no-input")

    assert "rows of tables that both sides have" in result.stderr
    assert columns(vendor_project) == {"id"}
    vendor_project.manage(
        "shell",
        "-c",
        "from django.db import connection as c; c.cursor().execute('DELETE FROM shop_product')",
    )
    vendor_project.switch()
    assert columns(vendor_project) == {"id", "a"}
    vendor_project.assert_in_step()


def test_accepting_a_change(project: Project) -> None:
    make_changed_root(project)
    project.manage("migrations_snapshot", "--accept")
    assert project.states() == {}
    assert project.manage("migrations_switch").stderr == ""


@made_once
def make_data_migration(project: Project) -> None:
    make_shop(project)
    project.migration(
        "shop",
        "0003_data",
        "migrations.RunPython(forwards, backwards),",
        [("shop", "0002_longer_name")],
        before=DATA.format(name="old"),
    )
    project.commit()
    project.manage("migrate")
    project.manage("migrations_snapshot")


def test_run_python_that_reads_differently_is_only_run_again_on_request(
    vendor_project: Project,
) -> None:
    make_data_migration(vendor_project)
    edit(vendor_project, "0003_data", "'old'", "'new'")

    result = vendor_project.manage("migrations_switch", "--no-input")
    assert "Nothing to do" in result.stdout
    assert "shop.0003_data: RunPython or RunSQL reads differently" in result.stderr
    assert "reads differently" in vendor_project.manage("migrations_status").stdout
    assert names(vendor_project) == "old"

    assert vendor_project.manage("migrations_switch", "--rerun").stderr == ""
    assert names(vendor_project) == "new"
    assert vendor_project.manage("migrations_switch").stderr == ""


@pytest.mark.parametrize(
    ("edited", "said"),
    [
        pytest.param(4, "shop.0003_d, shop.0004_d, shop.0005_d, shop.0006_d: Run", id="four"),
        pytest.param(
            5,
            "shop.0003_d, shop.0004_d, shop.0005_d and 2 others (-v 2 names them): Run",
            id="five",
        ),
    ],
)
def test_many_that_read_differently_are_named_in_one_line(
    project: Project, edited: int, said: str
) -> None:
    make_shop(project)
    order = ["0002_longer_name", *(f"000{number}_d" for number in range(3, 3 + edited))]
    code = "migrations.RunSQL('SELECT 1', 'SELECT 2'),"
    for before, name in pairwise(order):
        project.migration("shop", name, code, [("shop", before)])
    project.manage("migrate")
    project.manage("migrations_snapshot")
    for name in order[1:]:
        edit(project, name, "SELECT 1", "SELECT 3")

    switch = project.manage("migrations_switch")
    assert switch.stderr.count("reads differently") == 1
    assert said in switch.stderr
    assert said in project.manage("migrations_status").stdout
    assert f"shop.000{edited + 2}_d: Run" in project.manage("migrations_status", "-v", "2").stdout


@pytest.mark.parametrize(
    ("field", "is_said"),
    [
        pytest.param("models.CharField(max_length=50, help_text='x')", True, id="no effect"),
        pytest.param("models.CharField(max_length=60)", False, id="rolled back anyway"),
    ],
)
def test_run_python_that_reads_differently_beside_other_changes(
    project: Project, field: str, is_said: bool
) -> None:
    make_data_migration(project)
    edit(
        project,
        "0003_data",
        "migrations.RunPython(",
        f'migrations.AlterField("product", "name", {field}), migrations.RunPython(',
    )
    edit(project, "0003_data", "'old'", "'new'")

    status = project.manage("migrations_status").stdout
    assert ("reads differently" in status) is is_said
    assert ("changed" in status) is not is_said
    result = project.manage("migrations_switch", "--no-input", "--rerun")
    assert result.stderr == ""
    assert names(project) == "new"


def test_run_sql_that_reads_differently(project: Project) -> None:
    make_shop(project)
    project.migration(
        "shop",
        "0003_data",
        "migrations.RunSQL(\"INSERT INTO shop_product (name) VALUES ('old')\", 'SELECT 1'),",
        [("shop", "0002_longer_name")],
    )
    project.manage("migrate")
    project.manage("migrations_snapshot")
    edit(project, "0003_data", "'old'", "'new'")

    assert "reads differently" in project.manage("migrations_switch").stderr
    project.switch("--rerun")
    assert names(project) == "old new"


def test_a_changed_migration_whose_old_text_needs_a_helper_that_is_gone(
    project: Project,
) -> None:
    make_shop(project)
    project.write("shop/helpers.py", "WIDTH = 20\n")
    add_colour(project)
    edit(project, "0003_colour", "max_length=20", "max_length=WIDTH")
    edit(project, "0003_colour", "\n\nclass", "\nfrom shop.helpers import WIDTH\n\nclass")
    project.commit()
    project.manage("migrate")
    project.manage("migrations_snapshot")
    project.checkout("-b", "edit")
    project.remove("shop/helpers.py")
    add_colour(project)
    edit(project, "0003_colour", '"colour"', '"paint"')
    project.models("shop", PRODUCT + COLOUR.replace("colour", "paint"))
    project.commit()

    result = project.manage("migrations_switch", "--no-input")

    assert "shop.0003_colour differs from the text that was applied" in result.stderr
    assert "No module named 'shop.helpers'" in result.stderr
    assert columns(project) == {"id", "name", "colour"}


def test_the_changed_one_of_several_apps(project: Project) -> None:
    make_changed_leaf(project)
    project.app("other", "class Other(models.Model):\n    pass\n")
    project.migration(
        "other",
        "0001_initial",
        f'migrations.CreateModel("Other", [{ID}]),',
        [("shop", "0003_colour")],
    )
    project.commit()
    project.switch()
    assert "other_other" in tables(project)
    project.assert_in_step()


def test_changed_dependencies_alone_are_no_change(project: Project) -> None:
    """As after a rebase: the branch's own migration now comes after one of main."""
    make_shop(project)
    project.checkout("-b", "feature")
    add_colour(project)
    project.commit()
    project.manage("migrate")
    project.manage("migrations_snapshot")
    project.models("shop", PRODUCT + COLOUR + "    price = models.IntegerField(null=True)\n")
    project.migration(
        "shop",
        "0003_price",
        'migrations.AddField("product", "price", models.IntegerField(null=True)),',
        [("shop", "0002_longer_name")],
    )
    edit(project, "0003_colour", "0002_longer_name", "0003_price")
    project.commit("Rebased")

    output = project.switch()

    assert "Unapplying" not in output
    assert columns(project) == {"id", "name", "colour", "price"}
    project.assert_in_step()


LENGTH = 'migrations.AlterField("product", "name", models.CharField(max_length={})),'
RENAME = 'migrations.RenameModel("Product", "Item"),'
ITEM = PRODUCT.replace("Product", "Item")


@pytest.mark.parametrize(
    ("own", "models", "length", "table"),
    [
        (LENGTH.format(90), PRODUCT.replace("50", "90"), 90, "shop_product"),
        (RENAME, ITEM.replace("50", "70"), 70, "shop_item"),
    ],
)
def test_a_rebase_onto_a_main_that_has_altered_the_same(
    vendor_project: Project, own: str, models: str, length: int, table: str
) -> None:
    project = vendor_project
    make_shop(project)
    project.checkout("-b", "feature")
    project.models("shop", models.replace("70", "50"))
    project.migration("shop", "0003_own", own, [("shop", "0002_longer_name")])
    project.commit("Own")
    project.manage("migrate")
    project.manage("migrations_snapshot")
    model = table.removeprefix("shop_").title()
    long = "Chair" * (length // 10)
    project.python(f"from shop.models import {model}; {model}.objects.create(name={long[:50]!r})")
    project.migration("shop", "0003_theirs", LENGTH.format(70), [("shop", "0002_longer_name")])
    edit(project, "0003_own", "0002_longer_name", "0003_theirs")
    project.models("shop", models)
    project.commit("Rebased")

    output = project.switch()

    steps = [line.strip() for line in output.splitlines() if line.startswith("  ")]
    assert [step for step in steps if "pplying" in step] == [
        "Unapplying shop.0003_own... OK",
        "Applying shop.0003_theirs... OK",
        "Applying shop.0003_own... OK",
    ]
    project.assert_in_step()
    assert project.python(
        f"""
        from django.db import connection
        from shop.models import {model}
        with connection.cursor() as cursor:
            found = connection.introspection.get_table_description(cursor, "{table}")
        print(*[column.display_size for column in found if column.name == "name"])
        print(*{model}.objects.values_list("name", flat=True))
        """
    ).split() == [str(length), long[:50]]


def test_remade_ones_do_not_empty_tables_that_both_sides_have(vendor_project: Project) -> None:
    """Deleted and made anew with another name, other columns, and rows in the table."""
    vendor_project.app("shop", PRODUCT)
    fields = (
        'migrations.CreateModel("Product", [{id} ("name", models.CharField(max_length={n}))]),'
    )
    vendor_project.migration("shop", "0001_old", fields.format(id=ID, n=40))
    vendor_project.commit()
    vendor_project.manage("migrate")
    vendor_project.python("from shop.models import Product; Product.objects.create(name='Chair')")
    vendor_project.remove("shop/migrations/0001_old.py")
    vendor_project.migration("shop", "0001_new", fields.format(id=ID, n=50))
    vendor_project.commit("Anew")

    result = vendor_project.manage("migrations_switch", status=1)

    assert (
        "shop.0001_old was deleted and recreated, and unapplying it would empty" in result.stderr
    )
    assert (
        "was deleted and recreated" in vendor_project.manage("migrations_switch", "--plan").stderr
    )
    assert names(vendor_project) == "Chair"
    vendor_project.switch("--roll-back-shared")
    vendor_project.assert_in_step()


def test_status_classifies_once_what_reads_differently(project: Project) -> None:
    make_data_migration(project)
    edit(project, "0003_data", "'old'", "'new'")
    after = [("shop", "0003_data")]
    project.migration("shop", "0004_more", "migrations.RunSQL('SELECT 1'),", after)

    calls = project.python(
        "from unittest.mock import patch; from io import StringIO; "
        "from django.core.management import call_command; "
        "from django_devtools.branches.planning import classify; "
        "spy = patch.object(classify, 'classify', side_effect=classify.classify).start(); "
        "call_command('migrations_status', stdout=StringIO()); print(spy.call_count)"
    )

    assert calls == "1"
