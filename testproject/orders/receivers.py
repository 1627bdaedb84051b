from typing import Any

from django.db.models.signals import post_save
from django.dispatch import receiver

from orders.models import Order
from orders.tasks import send_confirmation


@receiver(post_save, sender=Order)
def confirm(instance: Order, created: bool, **signal: Any) -> None:
    if created:
        send_confirmation.delay(instance.pk)
