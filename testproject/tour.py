"""A tour of a shop whose branches disagree about the database, and whose orders make jobs.

Run it with `tox run -e demo`. What each branch changes lies in `branches/`.
"""

from stage import REDIS, Shop, shop, why_not

OPEN_THE_SHOP = """
ann = Customer.objects.create(username='ann')
home = Address.objects.create(customer=ann, street='High Street 1', city='York')
tea = Product.objects.create(name='Tea', price=100, stock=3)
order = Order.objects.create(customer=ann, deliver_to=home)
order.lines.create(product=tea)
Invoice.objects.create(order=order, total=100)
"""

REVIEW_THE_TEA = """
tea, ann = Product.objects.get(), Customer.objects.get()
bob = Customer.objects.create(username='bob', nickname='Bobby')
eve = Customer.objects.create(username='eve')
bob.reviews.create(product=tea, stars=5).found_helpful_by.add(ann)
eve.reviews.create(product=tea, stars=1)
"""

READ_THE_REVIEWS = """
for review in Product.objects.get().reviews.all():
    print(review, 'from', review.author.nickname, 'helped', review.found_helpful_by.get())
"""

ORDER_AND_WORK = """
import django_rq
Order.objects.create(customer=Customer.objects.get(username='ann'))
job = django_rq.get_queue().jobs[0]
print(job.description, 'is', job.get_status().value)
django_rq.get_worker().work(burst=True, logging_level='ERROR')
print(job.description, 'is', job.get_status().value)
"""

SALE_AND_TOTAL = "print(Category.objects.all(), Invoice.objects.get().total)"


def main() -> None:
    with shop() as tour:
        there_and_back(tour)
        before_the_checkout(tour)
        installed_today(tour)
        edited_migration(tour)
        two_heads(tour)
        sideways(tour)
        back_in_time(tour)
        by_itself(tour)
        jobs_without_redis(tour)
        jobs_with_redis(tour)
        print(f"Tour finished: {tour.walks} walks, every database as it should be.")


def there_and_back(tour: Shop) -> None:
    chapter("A shop on main, with one customer, one product and one order.")
    tour.run("python manage.py migrate -v 0")
    tour.run(shell(OPEN_THE_SHOP))

    chapter("A colleague's branch adds an app, and columns to two others. You try it.")
    tour.run("git checkout feature/reviews")
    tour.run("python manage.py migrate -v 0")
    tour.run(shell(REVIEW_THE_TEA))

    chapter("Back on main the code has forgotten the branch, and the database has not.")
    tour.run("git checkout main")
    tour.run(shell("Customer.objects.create(username='cat')"), status=1, lines=1)
    tour.run("python manage.py migrations_status", says="phantom")

    chapter("See what would be done, do it, and see that there is nothing left to do.")
    tour.run("python manage.py migrations_switch --plan", says="Would be saved in the stash")
    tour.run("python manage.py migrations_switch")
    tour.run("python manage.py migrations_switch", says="Nothing to do")
    tour.run(shell("Customer.objects.create(username='cat')"))
    tour.arrive("main")

    chapter("The branch's rows are in the stash. Meanwhile, on main, Eve leaves the shop.")
    tour.run("python manage.py migrations_stash list", says="table reviews_review")
    tour.run(shell("Customer.objects.get(username='eve').delete()"))

    chapter("The branch again, with its rows; but for the review that has lost its author.")
    tour.run("git checkout feature/reviews")
    tour.run("python manage.py migrations_switch", says="1 of 2 rows of table reviews_review")
    tour.run(shell(READ_THE_REVIEWS), says="5 stars for Tea from Bobby helped ann")
    tour.arrive("feature/reviews")

    chapter("What was hers waits in the stash until you say what is to become of it.")
    tour.run("python manage.py migrations_stash show 2", says="Did not come back")
    tour.run("python manage.py migrations_stash drop 1 2")
    tour.run("python manage.py migrations_stash list", says="The stash is empty.")


def before_the_checkout(tour: Shop) -> None:
    chapter("Or the database first, while the branch's code is still there.")
    tour.run("python manage.py migrations_snapshot --list")
    tour.run("python manage.py migrations_switch main")
    tour.run("git checkout main")
    tour.run(shell("Product.objects.create(name='Coffee', price=200)"))
    tour.arrive("main")


def installed_today(tour: Shop) -> None:
    chapter("A branch was migrated before django_devtools was installed: git history will do.")
    tour.run("git checkout feature/discounts")
    tour.run("python manage.py migrate -v 0 --settings=shop.without_devtools")
    tour.run(shell(SALE_AND_TOTAL), says="<QuerySet [<Category: Sale>]> 90.00")
    tour.run("git checkout main")
    tour.run("python manage.py migrations_status", says="git history")
    tour.run("python manage.py migrations_switch")
    tour.run(shell(SALE_AND_TOTAL), says="<QuerySet []> 100.00")
    tour.arrive("main")


def edited_migration(tour: Shop) -> None:
    chapter("A branch has edited catalogue.0003, which is applied here under the same name.")
    tour.run("git checkout edit-migration")
    tour.run("python manage.py migrations_switch")
    tour.run(shell("Product.objects.create(name='Cocoa', price=300, barcode='4' * 13)"))
    tour.arrive("edit-migration")


def two_heads(tour: Shop) -> None:
    chapter("A branch has two leaf migrations in one app, and a third that merges them.")
    tour.run("python manage.py migrations_switch merge-heads")
    tour.run("git checkout merge-heads")
    tour.run(shell("Order.objects.update(note='Ring twice', gift_wrapped=True)"))
    tour.arrive("merge-heads")


def sideways(tour: Shop) -> None:
    chapter("From one branch straight to another.")
    tour.run("git checkout feature/discounts")
    tour.run("python manage.py migrations_switch")
    tour.run(shell(SALE_AND_TOTAL), says="<QuerySet [<Category: Sale>]> 90.00")
    tour.arrive("feature/discounts")


def back_in_time(tour: Shop) -> None:
    chapter("A customer reports a bug in the release v1.")
    tour.run("python manage.py migrations_switch v1")
    tour.run("git checkout v1")
    tour.run(shell("Product.objects.create(name='Water', price=1)"))
    tour.arrive("v1")

    chapter("And home, where what v1 does not know is as it was.")
    tour.run("git checkout main")
    tour.run("python manage.py migrations_switch")
    tour.run(shell("Customer.objects.get(username='ann').wishlist.set(Product.objects.all())"))
    tour.arrive("main")


def by_itself(tour: Shop) -> None:
    chapter("Install a hook, and from then on `git checkout` is all that you type.")
    tour.run("python manage.py migrations_hook install")
    tour.run("git checkout merge-heads", says="in step with branch merge-heads: 3 applied")
    tour.arrive("merge-heads")

    chapter("Where no migration differs, git alone finds that out, and nothing is said.")
    tour.run("git checkout -b look-around")
    tour.run("git checkout merge-heads")

    chapter("What the branch has in its columns is kept, and comes back.")
    tour.run("git checkout main", says="Kept in the stash: columns orders_order.gift_wrapped")
    tour.arrive("main")
    tour.run("git checkout merge-heads", says="Back from the stash")
    tour.run(shell("print(Order.objects.get().note)"), says="Ring twice")
    tour.arrive("merge-heads")


def jobs_without_redis(tour: Shop) -> None:
    chapter("Each new order is confirmed by a job. Here FAKE_REDIS is on: no Redis has to run.")
    tour.run("cat orders/receivers.py orders/tasks.py")
    tour.run(shell(ORDER_AND_WORK), says="send_confirmation(2) is finished")

    chapter("Its tests need no setting and no worker, either.")
    tour.run("cat tests/test_orders.py")
    tour.run("python -m pytest", says="2 passed")


def jobs_with_redis(tour: Shop) -> None:
    if reason := why_not(REDIS):
        chapter(f"The same tests can run on a real Redis. Skipped here: {reason}.")
        return
    chapter("The same tests on a real Redis.")
    tour.run(f"python -m pytest --real-redis={REDIS}", says="2 passed")


def chapter(situation: str) -> None:
    print(f"# {situation}\n", flush=True)


def shell(code: str) -> str:
    return f'python manage.py shell -v 0 -c "{code}"'


if __name__ == "__main__":
    main()
