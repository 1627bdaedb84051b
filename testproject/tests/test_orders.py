import pytest
from customers.models import Customer
from django.core.mail import EmailMessage
from django.db import transaction
from orders.models import Order
from orders.tasks import send_confirmation

from django_devtools.jobs.testing import RqJobs


@pytest.fixture
def ann(db: None) -> Customer:
    return Customer.objects.create(username="ann", email="ann@example.org")


def test_an_order_is_confirmed(
    ann: Customer, rq_jobs: RqJobs, mailoutbox: list[EmailMessage]
) -> None:
    order = Order.objects.create(customer=ann)

    rq_jobs.assert_enqueued(send_confirmation, args=(order.pk,))

    rq_jobs.run()
    assert mailoutbox[0].to == ["ann@example.org"]


def test_an_order_that_is_rolled_back_is_not_confirmed(ann: Customer, rq_jobs: RqJobs) -> None:
    with transaction.atomic():
        Order.objects.create(customer=ann)
        transaction.set_rollback(True)

    rq_jobs.assert_not_enqueued(send_confirmation)
