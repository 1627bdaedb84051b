"""Values that a branch has edited to what the column of main can't hold."""

import pytest

from tests.branches.stash.stashing import dump, go, make_branch, values, vendor
from tests.branches.stash.test_owners import fill
from tests.project import Project

pytestmark = [pytest.mark.no_cover, pytest.mark.once]

# For each field of main: a value, and one that is edited on the branch and that main can hold.
FIELDS = {
    "BooleanField()": (True, "0"),
    "DateField()": ("2020-01-02", "2022-02-02"),
    "DateTimeField()": ("2020-01-02T01:02:03Z", "2022-02-02 01:00:00"),
    "DecimalField(max_digits=5, decimal_places=1)": ("1234.5", "42.0"),
    "FloatField()": (7.5, "42.5"),
    "GenericIPAddressField()": ("10.0.0.1", "10.0.0.2"),
    "IntegerField()": (7, "42"),
    "JSONField()": ({"a": 1}, "[2]"),
    "PositiveSmallIntegerField()": (8, "43"),
    "TimeField()": ("01:02:03", "03:00:00"),
    "UUIDField()": ("00000000000000000000000000000001", "00000000000000000000000000000002"),
}
UNFIT = {
    "DecimalField(max_digits=5, decimal_places=1)": "12345.6",
    "JSONField()": "{'a': 1}",
    "PositiveSmallIntegerField()": "-1",
}


def model(fields: list[str]) -> str:
    lines = (f"    f{number} = models.{field}\n" for number, field in enumerate(fields))
    return "class Thing(models.Model):\n" + "".join(lines)


def make_things(project: Project, main: list[str], branch: list[str], rows: str) -> None:
    """Make a table on main with ``rows``, and a branch with other types, which is checked out."""
    project.app("shop", model(main))
    project.manage("makemigrations", "shop")
    project.commit("Thing")
    project.switch()
    fill(project, rows)
    make_branch(project, "feature", model(branch))
    project.switch()


def edit(project: Project, *values: object) -> None:
    """Give the first field of each thing another value."""
    for key, value in enumerate(values, 1):
        fill(project, f"Thing.objects.filter(pk={key}).update(f0={value!r})")


def test_main_has_its_own_and_the_edit_waits(vendor_project: Project) -> None:
    """What main can hold counts there, and a row that it does not know gets an empty value."""
    names = [f"f{number}" for number, _ in enumerate(FIELDS)]
    own = dict(zip(names, (value for value, _ in FIELDS.values()), strict=True))
    fit = dict(zip(names, (value for _, value in FIELDS.values()), strict=True))
    unfit = dict(zip(names, (UNFIT.get(field, "x@y.ch") for field in FIELDS), strict=True))
    project = vendor_project
    make_things(
        project,
        list(FIELDS),
        ["CharField(max_length=50)"] * len(FIELDS),
        f"[Thing.objects.create(**{own}) for _ in range(3)]",
    )
    fill(
        project,
        f"Thing.objects.filter(pk=1).update(**{unfit}); "
        f"Thing.objects.filter(pk=2).update(**{fit}); Thing.objects.create(**{unfit})",
    )
    on_feature = dump(project)

    assert go(project, "main").stderr == ""

    first, second, third, new = values(project, *names, model="Thing").split("; ")
    assert first == third
    assert first.startswith("True 2020-01-02 2020-01-02 01:02:03+00:00 1234.5 7.5 10.0.0.1 7 {'a'")
    assert second.startswith(
        "False 2022-02-02 2022-02-02 01:00:00+00:00 42.0 42.5 10.0.0.2 42 [2]"
    )
    assert new.startswith(
        "False 1970-01-01 1970-01-01 00:00:00+00:00 0.0 0.0 0.0.0.0 0 {} 0 00:00"
    )
    on_main = dump(project)
    for _ in range(2):
        assert go(project, "feature").stderr == ""
        assert dump(project) == on_feature
        assert go(project, "main").stderr == ""
        assert dump(project) == on_main
    project.assert_in_step()


def test_the_last_edit_counts_where_it_can_be_held(vendor_project: Project) -> None:
    project = vendor_project
    rows = "[Thing.objects.create(f0=number) for number in (1, 2, 3)]"
    make_things(project, ["IntegerField()"], ["CharField(max_length=9)"], rows)
    edit(project, "one", "two", "three")
    go(project, "main")
    edit(project, 10)
    go(project, "feature")
    assert values(project, "f0", model="Thing") == "10; two; three"
    edit(project, "ten", "20")
    go(project, "main")
    assert values(project, "f0", model="Thing") == "10; 20; 3"
    go(project, "feature")
    assert values(project, "f0", model="Thing") == "ten; 20; three"


def test_null_where_main_has_values_only(vendor_project: Project) -> None:
    project = vendor_project
    rows = "[Thing.objects.create(f0=number) for number in (1, 2)]"
    make_things(project, ["IntegerField()"], ["CharField(max_length=9, null=True)"], rows)
    edit(project, None)
    for _ in range(2):
        go(project, "main")
        assert values(project, "f0", model="Thing") == "1; 2"
        go(project, "feature")
        assert values(project, "f0", model="Thing") == "None; 2"


def test_a_text_that_is_too_long(vendor_project: Project) -> None:
    """SQLite holds any text in any column of texts."""
    project = vendor_project
    rows = "[Thing.objects.create(f0=text) for text in ('{}', '1')]"
    make_things(project, ["CharField(max_length=5)"], ["JSONField()"], rows)
    edit(project, [1234567], [5])
    long = "[1234567]" if vendor(project) == "sqlite" else "{}"
    for _ in range(2):
        go(project, "main")
        assert values(project, "f0", model="Thing") == f"{long}; [5]"
        go(project, "feature")
        assert values(project, "f0", model="Thing") == "[1234567]; [5]"


def test_unique_values(vendor_project: Project) -> None:
    """Nothing that is the same for all stands in for them, not for a moment."""
    project = vendor_project
    rows = "[Thing.objects.create(f0=number) for number in (1, 2, 3)]"
    unique = "(max_length=9, null=True, unique=True)"
    make_things(project, ["IntegerField(unique=True)"], [f"CharField{unique}"], rows)
    edit(project, "one", "two")
    before = dump(project)
    for _ in range(2):
        assert go(project, "main").stderr == ""
        assert values(project, "f0", model="Thing") == "1; 2; 3"
        assert go(project, "feature").stderr == ""
        assert dump(project) == before
    edit(project, None, None)
    go(project, "main")
    assert values(project, "f0", model="Thing") == "1; 2; 3"


def test_a_renamed_column(vendor_project: Project) -> None:
    project = vendor_project
    rows = "[Thing.objects.create(f0=number) for number in (1, 2)]"
    make_things(project, ["IntegerField(unique=True)"], ["IntegerField(unique=True)"], rows)
    project.models("shop", model(["CharField(max_length=9, unique=True)"]).replace("f0", "name"))
    project.migration(
        "shop",
        "0002_name",
        """
        migrations.RenameField("thing", "f0", "name"),
        migrations.AlterField("thing", "name", models.CharField(max_length=9, unique=True)),
        """,
        [("shop", "0001_initial")],
    )
    project.commit("Name")
    project.switch()
    fill(project, "[Thing.objects.filter(pk=key).update(name=key * 'x') for key in (1, 2)]")
    for _ in range(2):
        assert go(project, "main").stderr == ""
        assert values(project, "f0", model="Thing") == "1; 2"
        assert go(project, "feature").stderr == ""
        assert values(project, "name", model="Thing") == "x; xx"


def test_plain_migrate_restores_it_too(project: Project) -> None:
    """Where the database lets it unapply the migration, as SQLite does."""
    project.settings("DJANGO_DEVTOOLS = {}")
    rows = "[Thing.objects.create(f0=number) for number in (1, 2)]"
    make_things(project, ["DecimalField(max_digits=5, decimal_places=1)"], ["TextField()"], rows)
    edit(project, "one", "20")
    project.manage("migrate", "shop", "0001")
    project.checkout("main")
    assert values(project, "f0", model="Thing") == "1.0; 20.0"
    project.checkout("feature")
    project.manage("migrate")
    assert values(project, "f0", model="Thing") == "one; 20"


def test_values_that_do_not_fit_are_counted(vendor_project: Project) -> None:
    """Where the branch only makes columns wider, so that main has no values of its own."""
    project = vendor_project
    main = ["CharField(max_length=5)", "SmallIntegerField()", "IntegerField()", "DecimalField({})"]
    branch = ["TextField()", "IntegerField()", "IntegerField(null=True)", "DecimalField({})"]
    row = "Thing.objects.create(f0='abc', f1=1, f2=2, f3='1.5')"
    sizes = ("max_digits=5, decimal_places=1", "max_digits=9, decimal_places=3")
    make_things(
        project,
        [field.format(sizes[0]) for field in main],
        [field.format(sizes[1]) for field in branch],
        f"[{row} for _ in range(3)]",
    )
    fill(
        project, "Thing.objects.filter(pk=2).update(f0='abcdefg', f1=100000, f2=None, f3='1.234')"
    )
    before = dump(project)

    said = go(project, "main").stdout

    # SQLite holds anything but NULL.
    cut = ["f2"] if vendor(project) == "sqlite" else ["f0", "f1", "f2", "f3"]
    found = [line.split()[3] for line in said.splitlines() if "can't be held here" in line]
    assert found == [f"shop_thing.{name}" for name in cut]
    assert said.count("1 value of shop_thing.") == len(cut)
    assert go(project, "feature").stderr == ""
    assert dump(project) == before
