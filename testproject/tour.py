"""
A tour of a shop whose branches disagree about the database, and whose orders make jobs.

`tox run -e demo` shows all of it, `tox run -e demo -- --pause` one screen at a time. `branches/`
holds what each branch changes. The tour checks what it claims, and fails if a claim is wrong.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stage import REDIS, Shop, bold, say, shell, shop, typed, why_not


@dataclass(frozen=True)
class Chapter:
    """One screen of the tour: its docstring is the text below the heading."""

    title: str
    walk: Callable[[Shop], None]

    @property
    def name(self) -> str:
        return self.walk.__name__.replace("_", "-")

    @property
    def text(self) -> str:
        return "\n".join(line.strip() for line in (self.walk.__doc__ or "").strip().splitlines())


CHAPTERS: list[Chapter] = []


def chapter(title: str) -> Callable[[Callable[[Shop], None]], Callable[[Shop], None]]:
    """Make a function the next chapter of the tour."""

    def register(walk: Callable[[Shop], None]) -> Callable[[Shop], None]:
        CHAPTERS.append(Chapter(title, walk))
        return walk

    return register


@chapter("The database follows git checkout")
def hook(tour: Shop) -> None:
    """
    A colleague's branch adds an app, and a column to the customers. Install the hook once;
    from then on you only type `git checkout`.
    """
    tour.run("python manage.py migrations_hook install")
    tour.run("git checkout feature/reviews", says="3 applied")
    tour.run(shell("Customer.objects.create(username='bob', nickname='Bobby')"))
    tour.run("git checkout main", says="column customers_customer.nickname (2 rows)")
    tour.arrive("main")
    tour.run(shell("Customer.objects.create(username='cat')"))
    tour.run("git checkout feature/reviews", says="Restored from the stash")
    tour.run(
        shell("print(*Customer.objects.values_list('username', 'nickname'))"),
        says="('ann', '') ('bob', 'Bobby') ('cat', '')",
    )


@chapter("No row is lost")
def stash(tour: Shop) -> None:
    """
    What a branch's tables and columns hold waits in the stash, inside the same database.
    Here Eve leaves the shop meanwhile, so her review has no author to come back to.
    """
    tour.prepare(HOOK, "git checkout feature/reviews", shell(REVIEW_THE_TEA))
    tour.run("git checkout main", says="table reviews_review (2 rows)")
    tour.run(shell("Customer.objects.get(username='eve').delete()"))
    tour.run("git checkout feature/reviews", says="1 of 2 rows of table reviews_review")
    tour.arrive("feature/reviews")
    tour.run("python manage.py migrations_stash show 2", says="customers_customer")
    tour.prepare(shell(ONE_REVIEW_IS_BACK))


@chapter("Without the hook")
def by_hand(tour: Shop) -> None:
    """
    Back on main the code has forgotten the branch's column, and the database has not.
    `migrations_switch` brings them into step.
    """
    tour.prepare(*TRY_THE_REVIEWS)
    tour.run("git checkout main")
    tour.run(
        shell("Customer.objects.create(username='cat')"),
        status=1,
        lines=1,
        says="IntegrityError: NOT NULL constraint failed: customers_customer.nickname",
    )
    tour.run("python manage.py migrations_switch")
    tour.run("python manage.py migrations_switch", says="Nothing to do")
    tour.run(shell("Customer.objects.create(username='cat')"))
    tour.arrive("main")


@chapter("Look before you switch")
def look_first(tour: Shop) -> None:
    """
    `migrations_status` says what is out of step and which branch it comes from. `--plan` says
    what a switch would do; it changes nothing.
    """
    tour.prepare(*TRY_THE_REVIEWS)
    tour.run("git checkout main")
    tour.run("python manage.py migrations_status", says="phantom")
    tour.run("python manage.py migrations_switch --plan", says="table reviews_review (0 rows)")


@chapter("The database first, then the code")
def before_the_checkout(tour: Shop) -> None:
    """
    A switch can also go ahead of the checkout, to a branch, a tag or a commit. A snapshot says
    what a branch had applied here.
    """
    tour.prepare(*TRY_THE_REVIEWS)
    tour.run("python manage.py migrations_snapshot --list", says="feature/reviews")
    tour.run("python manage.py migrations_switch main")
    tour.run("git checkout main")
    tour.arrive("main")


@chapter("It helps on the day you install it")
def installed_today(tour: Shop) -> None:
    """
    A branch was migrated before django_devtools was installed. Git history has its migrations:
    here a data migration that opened a sale, and took a tenth off each invoice.
    """
    tour.prepare(
        "git checkout feature/discounts",
        "python manage.py migrate -v 0 --settings=shop.without_devtools",
    )
    tour.run(shell(SALE_AND_TOTAL), says="<QuerySet [<Category: Sale>]> 90.00")
    tour.run("git checkout main")
    tour.run("python manage.py migrations_switch")
    tour.run(shell(SALE_AND_TOTAL), says="<QuerySet []> 100.00")
    tour.arrive("main")


@chapter("The same migration, edited")
def edited_migration(tour: Shop) -> None:
    """
    A branch has edited catalogue.0003, which is applied here under the same name. The old text
    is unapplied, the new one applied.
    """
    tour.run("git checkout edit-migration")
    tour.run("python manage.py migrations_switch", says="Applying catalogue.0003_product_sku")
    tour.run(shell("Product.objects.create(name='Cocoa', price=300, barcode='4' * 13)"))
    tour.arrive("edit-migration")


@chapter("From branch to branch")
def sideways(tour: Shop) -> None:
    """
    One branch has two leaf migrations and one that merges them, the other has data migrations.
    Where no migration differs, git alone finds that out, and nothing is said.
    """
    tour.prepare(HOOK)
    tour.run("git checkout merge-heads", says="3 applied")
    tour.run(shell("Order.objects.update(note='Ring twice', gift_wrapped=True)"))
    tour.run("git checkout -b look-around")
    tour.run("git checkout feature/discounts", says="4 applied")
    tour.arrive("feature/discounts")
    tour.run("git checkout merge-heads", says="Restored from the stash")
    tour.run(shell("print(Order.objects.get().note)"), says="Ring twice")
    tour.arrive("merge-heads")


@chapter("Back in time")
def back_in_time(tour: Shop) -> None:
    """
    A customer reports a bug in the release v1. On main everything that v1 does not know is
    there again.
    """
    tour.prepare(HOOK)
    tour.run("git checkout v1", says="4 unapplied")
    tour.arrive("v1")
    tour.run(shell("Product.objects.create(name='Water', price=1)"))
    tour.run("git checkout main", says="Restored from the stash")
    tour.run(shell("print(Order.objects.get().deliver_to)"), says="High Street 1, York")
    tour.arrive("main")


@chapter("Jobs without Redis")
def jobs(tour: Shop) -> None:
    """
    A job confirms each new order. With FAKE_REDIS on, tasks, queues, workers and django-rq's
    dashboard share a fake.
    """
    tour.show("orders/tasks.py")
    tour.run(shell(ORDER_AND_WORK), says="send_confirmation(2) is finished")


@chapter("Tests of jobs")
def tests_of_jobs(tour: Shop) -> None:
    """Tests need no setting, no worker and no Redis."""
    tour.show("tests/test_orders.py")
    tour.run("python -m pytest -q", says="2 passed")


@chapter("Tests of jobs on a real Redis")
def real_redis(tour: Shop) -> None:
    """The same tests, on a Redis that runs."""
    if reason := why_not(REDIS):
        say(f"Skipped here: {reason}.\n")
    else:
        tour.run(f"python -m pytest -q --real-redis={REDIS}", says="2 passed")


HOOK = "python manage.py migrations_hook install"

TRY_THE_REVIEWS = (
    "git checkout feature/reviews",
    "python manage.py migrate -v 0",
    shell("Customer.objects.create(username='bob', nickname='Bobby')"),
)

REVIEW_THE_TEA = """
tea, ann = Product.objects.get(), Customer.objects.get()
bob = Customer.objects.create(username='bob', nickname='Bobby')
eve = Customer.objects.create(username='eve')
bob.reviews.create(product=tea, stars=5).found_helpful_by.add(ann)
eve.reviews.create(product=tea, stars=1)
"""

ONE_REVIEW_IS_BACK = """
review = Review.objects.get()
assert (review.author.nickname, review.stars) == ('Bobby', 5)
assert review.found_helpful_by.get().username == 'ann'
"""

SALE_AND_TOTAL = "print(Category.objects.all(), Invoice.objects.get().total)"

ORDER_AND_WORK = """
import django_rq
Order.objects.create(customer=Customer.objects.get(username='ann'))
job = django_rq.get_queue().jobs[0]
print(job.description, 'is', job.get_status().value)
django_rq.get_worker().work(burst=True, logging_level='ERROR')
print(job.description, 'is', job.get_status().value)
"""


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    if options.list:
        contents()
        return
    with shop() as tour:
        for number in options.chapters or range(1, len(CHAPTERS) + 1):
            if options.pause and tour.chapters:
                wait()
            open_chapter(number)
            tour.begin()
            CHAPTERS[number - 1].walk(tour)
        say("The tour is over, and every claim was checked.")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A tour of django_devtools in a small shop.")
    parser.add_argument(
        "chapters",
        nargs="*",
        type=number_of,
        metavar="CHAPTER",
        help="the number or the name of a chapter; all of them by default",
    )
    parser.add_argument("--list", action="store_true", help="list the chapters and stop")
    parser.add_argument("--pause", action="store_true", help="wait for Enter between the chapters")
    options = parser.parse_args(arguments)
    if options.pause and not (sys.stdin.isatty() and sys.stdout.isatty()):
        parser.error("--pause needs a terminal to wait at")
    return options


def number_of(name: str) -> int:
    """Return the number of a chapter that is given by its number or its name."""
    for number, chapter in enumerate(CHAPTERS, start=1):
        if name in (str(number), chapter.name):
            return number
    raise argparse.ArgumentTypeError(f"there is no chapter {name!r}; --list shows them")


def wait() -> None:
    try:
        input("Press Enter for the next chapter, Ctrl-C to leave. ")
    except EOFError:
        raise KeyboardInterrupt from None
    say("")


def contents() -> None:
    width = max(len(chapter.name) for chapter in CHAPTERS)
    for number, chapter in enumerate(CHAPTERS, start=1):
        say(f"{number:>2}  {typed(f'{chapter.name:<{width}}')}  {chapter.title}")


def open_chapter(number: int) -> None:
    chapter = CHAPTERS[number - 1]
    say(bold(f"== {number} of {len(CHAPTERS)}: {chapter.title} ({chapter.name}) =="))
    say(f"{chapter.text}\n")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
