from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("catalogue", "0001_initial"),
        ("customers", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="customer",
            name="wishlist",
            field=models.ManyToManyField(
                blank=True, related_name="wanted_by", to="catalogue.product"
            ),
        ),
    ]
