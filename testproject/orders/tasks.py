from django.core.mail import send_mail

from django_devtools.jobs import async_job
from orders.models import Order


@async_job
def send_confirmation(order_id: int) -> None:
    order = Order.objects.get(pk=order_id)
    send_mail(f"Your order {order_id}", "Thank you.", None, [order.customer.email])
