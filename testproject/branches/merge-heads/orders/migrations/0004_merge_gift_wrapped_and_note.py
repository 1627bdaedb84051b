from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0003_order_gift_wrapped"),
        ("orders", "0003_order_note"),
    ]

    operations = []
