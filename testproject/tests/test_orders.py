from django.db import transaction
from orders.models import Order
from orders.tasks import send_confirmation


def test_an_order_is_confirmed(ann, rq_jobs, mailoutbox):
    order = Order.objects.create(customer=ann)

    rq_jobs.assert_enqueued(send_confirmation, args=(order.pk,))

    rq_jobs.run()
    assert mailoutbox[0].to == ["ann@example.org"]


def test_only_orders_that_are_committed_are_confirmed(ann, rq_jobs):
    with transaction.atomic():
        Order.objects.create(customer=ann)
        transaction.set_rollback(True)

    rq_jobs.assert_not_enqueued(send_confirmation)
