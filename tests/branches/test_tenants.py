"""Tenants with schemas of their own, as django-tenants makes them."""

import json
from collections.abc import Callable

import pytest

from tests.branches.shop import COLOUR, PRODUCT
from tests.databases import Configuration
from tests.project import Project

SETTINGS = """
DATABASES["default"]["ENGINE"] = "django_tenants.postgresql_backend"
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
SHARED_APPS = ["django_tenants", "django.contrib.contenttypes", "clients", "django_devtools"]
TENANT_APPS = ["django.contrib.contenttypes", "shop"]
INSTALLED_APPS = [*SHARED_APPS, "shop"]
TENANT_MODEL = "clients.Client"
TENANT_DOMAIN_MODEL = "clients.Domain"
"""
CLIENTS = """
from django_tenants.models import DomainMixin, TenantMixin

class Client(TenantMixin):
    pass

class Domain(DomainMixin):
    pass
"""
PLAN = CLIENTS.replace("    pass", "    plan = models.CharField(max_length=9, default='')", 1)
IN_EACH = """
from django.db import connection
from django_tenants.utils import schema_context
from shop.models import Product
for schema in ("green", "red"):
    with schema_context(schema):
"""


@pytest.fixture
def tenants(
    make_project: Callable[..., Project], make_database: Callable[[str], Configuration]
) -> Project:
    """On branch feature, whose columns the shared schema and those of two tenants have."""
    project = make_project(default=make_database("postgresql"))
    for app, models in (("clients", CLIENTS), ("shop", PRODUCT)):
        project.app(app, models)
    project.settings(SETTINGS)
    project.manage("makemigrations", "clients", "shop")
    project.commit("Shop")
    project.manage("migrate_schemas", "--shared")
    project.python(
        "from clients.models import Client\n"
        "for name in ('green', 'red'):\n"
        "    Client.objects.create(schema_name=name)"
    )
    # A schema that nothing was migrated in is not its tenant's.
    project.python(
        "from clients.models import Client\n"
        "late = Client(schema_name='late')\n"
        "late.auto_create_schema = False\n"
        "late.save()"
    )
    project.checkout("-b", "feature")
    project.models("clients", PLAN)
    project.models("shop", PRODUCT + COLOUR.replace("20", "20, default='none'"))
    project.manage("makemigrations", "clients", "shop", "--name=more")
    project.commit("More")
    project.manage("migrate_schemas", "--schema=public")
    for name in ("green", "red"):
        project.manage("migrate_schemas", f"--schema={name}")
    project.python("from clients.models import Client; Client.objects.update(plan='gold')")
    project.python(f"{IN_EACH}        Product.objects.create(name=schema, colour=schema)")
    project.manage("migrations_snapshot")
    project.checkout("main")
    return project


def products(project: Project) -> list[list[list[str]]]:
    """The values of each product, by tenant."""
    values = "[list(one[1:]) for one in Product.objects.order_by('id').values_list()]"
    lines = project.python(f"import json\n{IN_EACH}        print(json.dumps({values}))")
    return [*map(json.loads, lines.splitlines())]


def test_each_schema_is_switched_and_gets_its_own_values_back(tenants: Project) -> None:
    switched = tenants.switch()

    assert "green:   Saving column shop_product.colour... OK\n" in switched
    assert products(tenants) == [[["green"]], [["red"]]]
    tenants.python(f"{IN_EACH}        Product.objects.create(name='new')")

    tenants.checkout("feature")
    tenants.switch()

    assert products(tenants) == [[[name, name], ["new", "none"]] for name in ("green", "red")]
    plans = "from clients.models import Client; print(*Client.objects.values_list('plan'))"
    assert tenants.python(plans) == "('gold',) ('gold',) ('gold',)"
    tenants.manage("migrations_switch", "--check")
    tenants.checkout("main")
    tenants.switch("--undo")
    assert products(tenants) == [[[name], ["new"]] for name in ("green", "red")]


def test_what_is_out_of_step_is_told_of_each_tenant(tenants: Project) -> None:
    more = {(row["database"], row["app"], row["name"]) for row in tenants.status()}

    assert more == {
        (database, app, "0002_more")
        for database in ("default", "default:green", "default:red")
        for app in ("clients", "shop")
    }
    warned = tenants.manage("check", "--database=default").stderr
    assert "Database 'default:red' is out of step with branch main: " in warned
    plans = json.loads(tenants.manage("migrations_switch", "--plan", "--json").stdout)
    assert [plan["database"] for plan in plans] == ["default", "default:green", "default:red"]


def test_commands_that_are_suggested_name_the_tenant(tenants: Project) -> None:
    tenants.switch()

    status = tenants.manage("migrations_status").stdout

    command = "tenant_command migrations_stash --schema=red list"
    assert f"To look at them: manage.py {command}" in status
    listed = tenants.manage(*command.split()).stdout
    assert "shop_product.colour" in listed
    assert "clients_client.plan" not in listed


def test_a_command_for_one_tenant_leaves_the_others_alone(tenants: Project) -> None:
    tenants.manage("tenant_command", "migrations_switch", "--schema=red")

    assert {row["database"] for row in tenants.status()} == {"default", "default:green"}


def test_a_refusal_names_the_tenant_and_leaves_those_after_it_alone(tenants: Project) -> None:
    tenants.python(
        "from django.db import connection\n"
        "connection.cursor().execute('CREATE VIEW green.colours AS"
        " SELECT colour FROM green.shop_product')"
    )

    refused = tenants.manage("migrations_switch", "--no-input", status=1).stderr

    assert refused.startswith("green: CommandError: This switch would drop column")
    shell = "`DROP VIEW colours` in `manage.py dbshell`, after `SET search_path TO green;`"
    assert shell in refused
    assert "`manage.py tenant_command migrations_switch --schema=green`" in refused
    assert {row["database"] for row in tenants.status()} == {"default:green", "default:red"}
    looked = tenants.manage("migrations_switch", "--check", "--json", status=1)
    assert [plan["database"] for plan in json.loads(looked.stdout)] == ["default", "default:green"]


def test_the_hook_follows_a_checkout_with_all_schemas(tenants: Project) -> None:
    tenants.manage("migrations_hook", "run")

    assert products(tenants) == [[["green"]], [["red"]]]
    assert tenants.status() == []


def test_a_step_that_needs_the_project_of_its_branch_knows_the_tenant(tenants: Project) -> None:
    tenants.checkout("feature")
    tenants.write("shop/helper.py", "def nothing(apps, editor):\n    pass\n")
    tenants.migration(
        "shop",
        "0003_code",
        "migrations.RunPython(nothing, nothing), "
        "migrations.AddField('product', 'size', models.IntegerField(default=1)),",
        [("shop", "0002_more")],
        before="from shop.helper import nothing",
    )
    tenants.commit("Code")
    tenants.manage("migrate_schemas", "--schema=red")
    tenants.manage("tenant_command", "migrations_snapshot", "--schema=red")
    tenants.checkout("main")

    tenants.switch()

    assert products(tenants) == [[["green"]], [["red"]]]
