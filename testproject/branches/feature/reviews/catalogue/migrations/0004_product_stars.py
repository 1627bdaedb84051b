from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("catalogue", "0003_product_sku"),
    ]

    operations = [
        migrations.AddField(
            model_name="product",
            name="stars",
            field=models.FloatField(blank=True, null=True),
        ),
    ]
