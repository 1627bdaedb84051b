from decimal import Decimal

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps
from django.db.models import F


def take_a_tenth_off(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    invoices = apps.get_model("billing", "Invoice").objects.all()
    invoices.update(before_discount=F("total"))
    invoices.update(total=F("before_discount") * Decimal("0.9"))


def charge_it_again(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    apps.get_model("billing", "Invoice").objects.update(total=F("before_discount"))


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0002_invoice_before_discount"),
        ("catalogue", "0005_open_the_sale"),
    ]

    operations = [
        migrations.RunPython(take_a_tenth_off, charge_it_again),
    ]
