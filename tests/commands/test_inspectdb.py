"""Django's own commands leave the tables of this app alone."""

import json

from tests.branches.shop import make_shop_with_feature, tables
from tests.branches.stash.stashing import kept
from tests.project import Project

ADD = 'from shop.models import Product; Product.objects.create(name="Chair", colour="red")'


def make_stash(project: Project) -> set[str]:
    """On main: a column in the stash. The tables of this app."""
    make_shop_with_feature(project)
    project.python(ADD)
    project.checkout("main")
    project.switch()
    return {name for name in tables(project) if name.startswith("django_devtools")}


def test_inspectdb_leaves_them_out(vendor_project: Project) -> None:
    assert make_stash(vendor_project) == {"django_devtools_stash", "django_devtools_stash_1"}
    vendor_project.python(
        "from django.db import connection; "
        "connection.cursor().execute('CREATE VIEW goods AS SELECT * FROM shop_product')"
    )
    output = vendor_project.manage("inspectdb").stdout
    assert "class ShopProduct(models.Model):" in output
    assert "evtools" not in output
    assert "class Goods" not in output

    output = vendor_project.manage("inspectdb", "--include-views").stdout
    assert "class Goods(models.Model):" in output
    assert "class ShopProduct(models.Model):" in output
    assert "evtools" not in output


def test_inspectdb_shows_what_it_is_asked_for(project: Project) -> None:
    make_stash(project)
    output = project.manage("inspectdb", "shop_product").stdout
    assert output.count("class ") == output.count("class Meta") + 1
    output = project.manage("inspectdb", "django_devtools_stash_1").stdout
    assert "class DjangoDevtoolsStash1(models.Model):" in output


def test_inspectdb_without_a_stash(project: Project) -> None:
    make_shop_with_feature(project)
    output = project.manage("inspectdb").stdout
    assert "class ShopProduct(models.Model):" in output
    assert "colour = models.CharField(max_length=20)" in output


def test_flush_and_dumpdata(vendor_project: Project) -> None:
    make_stash(vendor_project)
    dumped = json.loads(vendor_project.manage("dumpdata").stdout)
    assert {one["model"] for one in dumped} == {"contenttypes.contenttype", "shop.product"}
    dumped = json.loads(vendor_project.manage("dumpdata", "--all", "shop").stdout)
    assert [one["fields"] for one in dumped] == [{"name": "Chair"}]

    vendor_project.manage("flush", "--no-input")

    assert kept(vendor_project) == {"shop_product.colour 1"}
    vendor_project.python("from shop.models import Product; Product.objects.create(name='Chair')")
    vendor_project.checkout("feature")
    vendor_project.switch()
    product = "from shop.models import *; print(Product.objects.get().colour)"
    assert vendor_project.python(product) == "red"
    vendor_project.manage("makemigrations", "--check")
