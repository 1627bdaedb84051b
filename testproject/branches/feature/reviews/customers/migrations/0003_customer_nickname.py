from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("customers", "0002_customer_wishlist"),
    ]

    operations = [
        migrations.AddField(
            model_name="customer",
            name="nickname",
            field=models.CharField(default="", max_length=30),
        ),
    ]
