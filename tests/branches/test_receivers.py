"""Snapshots that ``migrate`` takes."""

import json

import pytest

from tests.branches.shop import add_colour, make_shop
from tests.project import Project

FILE = ".git/django-devtools/snapshots.json"


def make_recorded_shop(project: Project) -> None:
    make_shop(project)
    project.settings("DJANGO_DEVTOOLS = {}")
    project.commit("Snapshots")


@pytest.fixture
def shop(project: Project) -> Project:
    make_recorded_shop(project)
    return project


@pytest.fixture
def vendor_shop(vendor_project: Project) -> Project:
    make_recorded_shop(vendor_project)
    return vendor_project


def branches(project: Project) -> dict[str, int]:
    """How many migrations of the shop the snapshot of each branch has."""
    listed = json.loads(project.manage("migrations_snapshot", "--list", "--json").stdout)
    return {
        snapshot["branch"]: sum(entry["app"] == "shop" for entry in snapshot["migrations"])
        for snapshot in listed
    }


@pytest.mark.no_cover
def test_migrate_takes_a_snapshot(shop: Project) -> None:
    shop.manage("migrate")
    assert branches(shop) == {"main": 2}

    shop.checkout("-b", "feature")
    add_colour(shop)
    shop.commit("Colour")
    shop.manage("migrate")
    assert branches(shop) == {"main": 2, "feature": 3}

    shop.checkout("main")
    assert "Unapplying shop.0003_colour... OK" in shop.switch()
    assert branches(shop) == {"main": 2, "feature": 3}


def test_migrate_backwards(shop: Project) -> None:
    shop.manage("migrate")
    shop.manage("migrate", "shop", "0001")
    assert branches(shop) == {"main": 1}


def test_what_another_branch_applied_is_left_out(shop: Project) -> None:
    shop.checkout("-b", "feature")
    add_colour(shop)
    shop.commit("Colour")
    shop.manage("migrate")
    shop.checkout("main")
    shop.manage("migrate")
    assert branches(shop) == {"feature": 3, "main": 2}


def test_switching_before_the_checkout(shop: Project) -> None:
    """The signals of a switch are no reason to write down what this branch has not."""
    shop.manage("migrate")
    shop.checkout("-b", "feature")
    add_colour(shop)
    shop.commit("Colour")
    shop.manage("migrate")
    shop.switch("main")
    assert branches(shop) == {"main": 2, "feature": 3}


def test_a_switch_with_nothing_to_do(shop: Project) -> None:
    """A new branch has a snapshot, too, once somebody has asked for it."""
    shop.manage("migrate")
    shop.checkout("-b", "other")
    assert shop.switch().startswith("Nothing to do")
    assert branches(shop) == {"main": 2, "other": 2}
    written = (shop.path / FILE).stat().st_mtime_ns
    shop.switch()
    assert (shop.path / FILE).stat().st_mtime_ns == written


def test_nothing_changed(shop: Project) -> None:
    shop.manage("migrate")
    written = (shop.path / FILE).stat().st_mtime_ns
    shop.manage("migrate")
    assert (shop.path / FILE).stat().st_mtime_ns == written


@pytest.mark.parametrize(
    "settings",
    [
        "DEBUG = False",
        'DJANGO_DEVTOOLS = {"AUTO_SNAPSHOT": False}',
        "from django.core import mail\nmail.outbox = []",
    ],
    ids=["in production", "switched off", "in tests"],
)
def test_no_snapshot(project: Project, settings: str) -> None:
    make_shop(project)
    project.settings(f"DJANGO_DEVTOOLS = {{}}\n{settings}")
    project.manage("migrate")
    assert not (project.path / FILE).exists()


def test_switched_on_in_production(project: Project) -> None:
    make_shop(project)
    project.settings('DEBUG = False\nDJANGO_DEVTOOLS = {"AUTO_SNAPSHOT": True}')
    project.manage("migrate")
    assert (project.path / FILE).exists()


def test_trouble_is_a_warning(project: Project) -> None:
    make_shop(project)
    project.settings("DJANGO_DEVTOOLS = {}")
    file = project.path / FILE
    file.parent.mkdir(parents=True)
    file.write_text("{")
    result = project.manage("migrate")
    assert "Applying shop.0002_longer_name... OK" in result.stdout
    assert result.stderr.endswith(
        f"No snapshot was taken of database 'default': {file} is damaged (Expecting property name "
        "enclosed in double quotes: line 1 column 2 (char 1)). It was not changed. Move it away, "
        "or name another file with --file.\n`manage.py migrations_snapshot` takes one.\n"
    )
    assert "No snapshot" not in project.manage("migrate", "-v0").stderr
    assert file.read_text() == "{"


def test_git_that_refuses(project: Project) -> None:
    """As in a container, whose user is not the one that has the files."""
    make_shop(project)
    project.settings("DJANGO_DEVTOOLS = {}")
    project.environment["GIT_TEST_ASSUME_DIFFERENT_OWNER"] = "1"
    result = project.manage("migrate")
    assert "Applying shop.0002_longer_name... OK" in result.stdout
    assert "No snapshot was taken of database 'default': fatal: detected dubious" in result.stderr


def test_a_wrong_setting(project: Project) -> None:
    make_shop(project)
    project.settings('DJANGO_DEVTOOLS = {"AUTO_SNAPSHOT": "yes"}')
    assert "No snapshot was taken" in project.manage("migrate", "--skip-checks").stderr


def test_without_git(make_project: object) -> None:
    project: Project = make_project(git=False)  # type: ignore[operator]
    make_shop_without_git(project)
    assert project.manage("migrate").stderr == ""
    assert not (project.path / ".django-devtools").exists()


def make_shop_without_git(project: Project) -> None:
    project.app("shop", "class Product(models.Model):\n    pass\n")
    project.settings("DJANGO_DEVTOOLS = {}")


def test_migrate_brings_back_what_the_stash_waits_for(vendor_shop: Project) -> None:
    vendor_shop.checkout("-b", "feature")
    add_colour(vendor_shop)
    vendor_shop.commit("Colour")
    vendor_shop.manage("migrate")
    vendor_shop.python(
        "from shop.models import *; Product.objects.create(name='a', colour='blue')"
    )
    vendor_shop.checkout("main")
    vendor_shop.switch()
    vendor_shop.python("from shop.models import *; Product.objects.create(name='b')")

    vendor_shop.git("merge", "--quiet", "feature")
    output = vendor_shop.manage("migrate").stdout

    assert "  Restoring column shop_product.colour... OK" in output
    colours = "Product.objects.order_by('pk').values_list('colour', flat=True)"
    assert vendor_shop.python(f"from shop.models import *; print(*{colours})") == "blue red"
    assert "stash" not in vendor_shop.manage("migrations_status").stdout


def test_migrate_fake_brings_nothing_back(vendor_shop: Project) -> None:
    vendor_shop.checkout("-b", "feature")
    add_colour(vendor_shop)
    vendor_shop.commit("Colour")
    vendor_shop.manage("migrate")
    vendor_shop.python(
        "from shop.models import *; Product.objects.create(name='a', colour='blue')"
    )
    vendor_shop.checkout("main")
    vendor_shop.switch()
    vendor_shop.checkout("feature")

    assert "Restoring" not in vendor_shop.manage("migrate", "--fake").stdout

    assert "shop_product.colour" in vendor_shop.manage("migrations_stash", "list").stdout
