from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps


def open_the_sale(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    sale = apps.get_model("catalogue", "Category").objects.create(name="Sale")
    products = apps.get_model("catalogue", "Product").objects.all()
    products.update(discount=10)
    sale.products.set(products)


def close_the_sale(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    apps.get_model("catalogue", "Category").objects.filter(name="Sale").delete()


class Migration(migrations.Migration):
    dependencies = [
        ("catalogue", "0004_product_discount"),
    ]

    operations = [
        migrations.RunPython(open_the_sale, close_the_sale),
    ]
