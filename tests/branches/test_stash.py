"""What a switch drops comes back with the next one."""

from tests.branches.shop import ID, PRODUCT, make_shop
from tests.project import Project

REVIEWS = """
class Tag(models.Model):
    name = models.CharField(max_length=20, unique=True)

class Review(models.Model):
    product = models.ForeignKey(Product, models.CASCADE)
    text = models.TextField()
    answer_to = models.ForeignKey("self", models.CASCADE, null=True)
    tags = models.ManyToManyField(Tag)
"""
WEIGHT = "    weight = models.IntegerField(default=0)\n"


def make_shop_with_reviews(project: Project) -> None:
    """Applied on branch feature, which is checked out, and with rows: reviews, and a weight."""
    make_shop(project)
    project.checkout("-b", "feature")
    project.models("shop", PRODUCT + WEIGHT + REVIEWS)
    project.migration(
        "shop",
        "0003_reviews",
        f"""
        migrations.CreateModel("Tag", [
            {ID} ("name", models.CharField(max_length=20, unique=True)),
        ]),
        migrations.CreateModel("Review", [
            {ID}
            ("product", models.ForeignKey("shop.product", models.CASCADE)),
            ("text", models.TextField()),
            ("answer_to", models.ForeignKey("shop.review", models.CASCADE, null=True)),
            ("tags", models.ManyToManyField("shop.tag")),
        ]),
        migrations.AddField("product", "weight", models.IntegerField(default=0)),
        """,
        [("shop", "0002_longer_name")],
    )
    project.commit("Reviews")
    project.manage("migrate")
    project.python(
        """
        from shop.models import *
        for number in range(1, 4):
            product = Product.objects.create(name=f"p{number}", weight=number * 10)
            review = Review.objects.create(product=product, text=f"é {number}")
            Review.objects.create(product=product, text="no", answer_to=review)
            review.tags.add(Tag.objects.create(name=f"t{number}"))
        """
    )


DUMP = """
from django.apps import apps
for model in apps.get_models(include_auto_created=True):
    if model._meta.app_label == "shop":
        for row in model.objects.order_by("pk").values_list():
            print(model.__name__, *row)
"""


def test_there_and_back(project: Project) -> None:
    make_shop_with_reviews(project)
    before = project.python(DUMP)
    project.checkout("main")

    output = project.switch()
    assert "  Keeping table shop_review... OK" in output
    project.assert_in_step()
    assert project.python(DUMP) == "Product 1 p1\nProduct 2 p2\nProduct 3 p3"

    project.checkout("feature")
    project.switch()
    assert project.python(DUMP) == before
    project.assert_in_step()
    project.python("from shop.models import *; Tag.objects.create(name='new')")
    assert not [n for n in project.python(TABLES).split() if n.startswith("django_devtools")]


TABLES = "from django.db import connection; print(*connection.introspection.table_names())"


def test_rows_that_can_not_come_back(project: Project) -> None:
    make_shop_with_reviews(project)
    project.checkout("main")
    project.switch()
    project.python("from shop.models import *; Product.objects.filter(pk=2).delete()")
    project.python("from shop.models import *; Product.objects.create(name='new')")

    project.checkout("feature")
    result = project.manage("migrations_switch", "--no-input")
    print(result.stdout, result.stderr)
    print(project.python(DUMP))
    project.assert_in_step()
    assert "2 of 6 rows of table shop_review stay in the stash" in result.stderr
