from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0002_order_deliver_to"),
    ]

    operations = [
        migrations.AddField(
            model_name="order",
            name="gift_wrapped",
            field=models.BooleanField(default=False),
        ),
    ]
