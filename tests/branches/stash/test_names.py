"""Tables and columns are followed by their names, whatever those are."""

import re
from collections.abc import Callable

import pytest

from tests.branches.shop import ID, PRODUCT, columns, make_shop
from tests.branches.stash.stashing import dump, go, kept, make_branch, values
from tests.branches.stash.test_owners import fill
from tests.branches.stash.test_stash import WEIGHT, make_products
from tests.databases import Configuration
from tests.project import Project

LONG = "a_table_with_a_name_that_is_longer_than_any_database_but_one_would_have_it"
NAMES = [
    "a table of ours",
    "it's one",
    "größe_表",
    "Shop_PRODUCTS",
    "public.parts",
    "select",
]
PART = """
class Part{number}(models.Model):
    product = models.ForeignKey(Product, models.CASCADE, db_column={key!r})
    text = models.CharField(max_length=9, unique=True, db_column={name!r})
    others = models.ManyToManyField("self", db_table={many!r})

    class Meta:
        db_table = {name!r}
"""


@pytest.mark.no_cover
def test_names_that_need_quoting(vendor_project: Project) -> None:
    make_products(vendor_project)
    fields, parts = "", ""
    for number, name in enumerate(NAMES):
        fields += f"    size{number} = models.IntegerField(default=1, db_column={name!r})\n"
        parts += PART.format(number=number, name=name, key=f"{name}_id", many=f"{name}_2")
    make_branch(vendor_project, "feature", PRODUCT + fields + parts)
    vendor_project.manage("migrate")
    vendor_project.python(
        f"""
        from shop import models
        for number in range({len(NAMES)}):
            models.Product.objects.filter(pk=2).update(**{{f"size{{number}}": 2}})
            parts = getattr(models, f"Part{{number}}").objects
            part = parts.create(product_id=2, text="a")
            part.others.add(parts.create(product_id=3, text="b"))
        """
    )
    before = dump(vendor_project)
    go(vendor_project, "main")
    vendor_project.assert_in_step()
    held = {one for name in NAMES for one in (f"{name}.* 2", f"{name}_2.* 2")}
    assert kept(vendor_project) == held | {f"shop_product.{','.join(NAMES)} 3"}
    plan = vendor_project.manage("migrations_switch", "feature", "--plan").stdout
    assert all(f"    table {name} (2 rows)\n" in plan for name in NAMES)
    assert go(vendor_project, "feature").stderr == ""
    assert dump(vendor_project) == before
    go(vendor_project, "main")
    vendor_project.python("from shop.models import *; Product.objects.filter(pk=2).delete()")
    result = go(vendor_project, "feature")
    for number, name in enumerate(NAMES):
        assert f"1 of 2 rows of table {name} stays in the stash: what they " in result.stderr
        assert f"2 of 2 rows of table {name}_2 stay in the stash: what they " in result.stderr
        assert values(vendor_project, "product", "text", model=f"Part{number}") == "3 b"
    dump(vendor_project)


@pytest.mark.no_cover
def test_long_names(vendor_project: Project) -> None:
    """Django shortens them to what the database takes; a work tree's process does so, too."""
    make_shop(vendor_project)
    model = "".join(part.title() for part in LONG.split("_"))
    text = (
        PRODUCT
        + f"\nclass {model}(models.Model):\n"
        + "    product = models.ForeignKey(Product, models.CASCADE)\n"
        + f"    {LONG[:50]} = models.ManyToManyField(Product, related_name='+')\n"
    )
    make_branch(vendor_project, "feature", text)
    file = vendor_project.path / "shop/migrations/0003_feature.py"
    vendor_project.write("shop/helpers.py", "def nothing(apps, schema_editor):\n    pass\n")
    head = "    operations = [\n"
    run = "        migrations.RunPython(nothing, nothing),\n"
    file.write_text(
        "from shop.helpers import nothing\n" + file.read_text().replace(head, head + run)
    )
    vendor_project.commit("Helpers")
    vendor_project.manage("migrate")
    vendor_project.python(
        f"""
        from shop.models import *
        product = Product.objects.create(name="p")
        {model}.objects.create(product=product).{LONG[:50]}.add(product)
        """
    )
    before = dump(vendor_project)
    go(vendor_project, "main")
    assert len(kept(vendor_project)) == 2
    go(vendor_project, "feature")
    assert dump(vendor_project) == before


@pytest.mark.no_cover
def test_renamed_on_the_branch(vendor_project: Project) -> None:
    """Made on main, renamed on the branch: no row goes anywhere, and what is new is kept."""
    make_products(vendor_project)
    vendor_project.checkout("-b", "feature")
    vendor_project.migration(
        "shop",
        "0003_renames",
        f"""
        migrations.RenameModel("Product", "Article"),
        migrations.RenameField("article", "name", "title"),
        migrations.AddField("article", "size", models.IntegerField(default=1)),
        migrations.RenameField("article", "size", "length"),
        migrations.AlterField(
            "article", "length", models.IntegerField(default=1, db_column="Len gth"),
        ),
        migrations.AlterModelTable("article", "goods"),
        migrations.CreateModel("Part", [
            {ID} ("article", models.ForeignKey("shop.article", models.CASCADE)),
            ("articles", models.ManyToManyField("shop.article", related_name="+")),
        ]),
        migrations.RenameModel("Part", "Piece"),
        migrations.RenameField("piece", "articles", "all"),
        """,
        [("shop", "0002_longer_name")],
    )
    vendor_project.models(
        "shop",
        """
class Article(models.Model):
    title = models.CharField(max_length=50)
    length = models.IntegerField(default=1, db_column="Len gth")

    class Meta:
        db_table = "goods"

class Piece(models.Model):
    article = models.ForeignKey(Article, models.CASCADE)
    all = models.ManyToManyField(Article, related_name="+")
""",
    )
    vendor_project.commit("Renames")
    vendor_project.switch()
    vendor_project.python(
        """
        from shop.models import *
        Article.objects.filter(pk=2).update(length=2)
        Piece.objects.create(article_id=3).all.add(1, 2)
        """
    )
    before = dump(vendor_project)
    result = go(vendor_project, "main")
    assert kept(vendor_project) == {"goods.Len gth 3", "shop_piece.* 1", "shop_piece_all.* 2"}
    assert values(vendor_project, "id", "name") == "1 p1; 2 p2; 3 p3"
    vendor_project.assert_in_step()
    assert "Saving table shop_piece..." in result.stdout
    assert go(vendor_project, "feature").stderr == ""
    assert dump(vendor_project) == before
    assert not kept(vendor_project)
    vendor_project.assert_in_step()


RENAMES = {
    "with the state": (
        'migrations.RunSQL("ALTER TABLE shop_product RENAME COLUMN name TO title", '
        '"ALTER TABLE shop_product RENAME COLUMN title TO name", '
        'state_operations=[migrations.RenameField("product", "name", "title")]),'
    ),
    "separated": """
        migrations.SeparateDatabaseAndState(
            [migrations.RunSQL("ALTER TABLE shop_product RENAME COLUMN name TO title",
                               "ALTER TABLE shop_product RENAME COLUMN title TO name")],
            [migrations.RenameField("product", "name", "title")],
        ),
    """,
    "as another field": """
        migrations.SeparateDatabaseAndState(
            [migrations.RunSQL("ALTER TABLE shop_product RENAME COLUMN name TO title",
                               "ALTER TABLE shop_product RENAME COLUMN title TO name")],
            [
                migrations.RemoveField("product", "name"),
                migrations.AddField("product", "title", models.CharField(max_length=50)),
            ],
        ),
    """,
    "another operation": """
        migrations.RunSQL("ALTER TABLE shop_product RENAME COLUMN name TO title",
                          "ALTER TABLE shop_product RENAME COLUMN title TO name"),
        migrations.SeparateDatabaseAndState([], [
            migrations.RemoveField("product", "name"),
            migrations.AddField("product", "title", models.CharField(max_length=50)),
        ]),
    """,
}


@pytest.mark.no_cover
@pytest.mark.parametrize("kind", RENAMES)
def test_sql_beside_the_state(project: Project, kind: str) -> None:
    rename_by_sql(project, kind)


def test_sql_beside_the_state_on_each_vendor(vendor_project: Project) -> None:
    rename_by_sql(vendor_project, "as another field")


def rename_by_sql(project: Project, kind: str) -> None:
    """It renames what the state drops and adds: nothing is lost, nor put over newer edits."""
    make_products(project)
    project.checkout("-b", "feature")
    project.migration("shop", "0003_title", RENAMES[kind], [("shop", "0002_longer_name")])
    project.models("shop", PRODUCT.replace("name", "title"))
    project.commit("Title")
    for _ in range(2):
        errors = go(project, "feature").stderr
        project.python(
            """
            from shop.models import *
            product = Product.objects.get(pk=1)
            product.title += "f"
            product.save()
            """
        )
        errors += go(project, "main").stderr
        project.python(
            """
            from shop.models import *
            product = Product.objects.get(pk=1)
            product.name += "m"
            product.save()
            """
        )
    assert values(project, "name") == "p1fmfm; p2; p3"
    assert columns(project) == {"id", "name"}
    errors += go(project, "feature").stderr
    assert values(project, "title") == "p1fmfm; p2; p3"
    if kind in ("with the state", "separated"):
        assert errors == ""
        assert not kept(project)
    else:
        # What it can't know to be the same, it keeps.
        note = r"1 of 3 rows of column shop_product.\w+ stays in the stash: other values are there"
        assert errors.count("\n") == len(re.findall(note, errors)) > 0


def test_the_state_alone_lets_go(project: Project) -> None:
    """A field that is gone from the state, and whose column stays for a while."""
    make_products(project, PRODUCT + "    size = models.IntegerField(null=True)\n")
    project.python("from shop.models import *; Product.objects.update(size=1)")
    project.checkout("-b", "feature")
    project.migration(
        "shop",
        "0004_let_go",
        """
        migrations.SeparateDatabaseAndState(
            [migrations.RunSQL("CREATE INDEX i ON shop_product (name)", "DROP INDEX i")],
            [migrations.RemoveField("product", "size")],
        ),
        """,
        [("shop", "0003_more")],
    )
    project.models("shop", PRODUCT)
    project.commit("Let go")
    go(project, "feature")
    assert "size" in columns(project)
    assert not kept(project)
    go(project, "main")
    assert values(project, "size") == "1; 1; 1"
    assert not kept(project)


ORACLE = "size = models.IntegerField()\n    class Meta:\n        required_db_vendor = 'oracle'\n"
NAMED = "class Part(models.Model):\n    class Meta:\n        db_table = {!r}\n"


def test_a_name_that_only_changes_its_case(vendor_project: Project) -> None:
    """SQLite goes on calling the table as it was called before."""
    make_products(vendor_project)
    make_branch(vendor_project, "feature", PRODUCT + NAMED.format("Shop_Parts"))
    vendor_project.models("shop", PRODUCT + NAMED.format("shop_parts"))
    vendor_project.manage("makemigrations", "shop", "--name=case")
    vendor_project.commit("Case")
    vendor_project.manage("migrate")
    vendor_project.python("from shop.models import *; Part.objects.create(pk=7)")
    plan = vendor_project.manage("migrations_switch", "main", "--plan").stdout
    assert "    table shop_parts (1 row)\n" in plan
    go(vendor_project, "main")
    assert kept(vendor_project) == {"shop_parts.* 1"}
    go(vendor_project, "feature")
    assert values(vendor_project, "id", model="Part") == "7"
    assert not kept(vendor_project)


def test_a_table_that_is_not_found_by_its_name(
    make_project: Callable[..., Project], make_database: Callable[[str], Configuration]
) -> None:
    """A trick that has PostgreSQL look for it in another schema, where nobody else does."""
    project = make_project(default=make_database("postgresql"))
    make_products(project)
    project.python("from django.db import connection as c; c.cursor().execute('CREATE SCHEMA a')")
    make_branch(project, "feature", PRODUCT + WEIGHT + NAMED.format('a"."part'))
    project.manage("migrate")
    project.python("from shop.models import *; Part.objects.create()")
    before = dump(project)

    project.checkout("main")
    result = project.manage("migrations_switch", "--no-input", status=1)

    assert result.stderr == (
        'CommandError: table a"."part (by shop.0003_feature) would be dropped and can\'t be '
        "saved: the database lists no table of this name. Save its data yourself, and then run "
        "`manage.py migrations_switch --no-stash`. If the table is gone already: "
        "`manage.py migrate --fake`.\n"
    )
    assert dump(project) == before
    assert not kept(project)
    go(project, "main", "--no-stash")
    project.assert_in_step()


def test_a_table_that_is_rightly_not_there(project: Project) -> None:
    """Of models that this database does not have, and one that SQL has dropped meanwhile."""
    make_products(project)
    project.checkout("-b", "feature")
    project.models("shop", PRODUCT + "class Part(models.Model):\n    " + ORACLE)
    project.migration(
        "shop",
        "0003_parts",
        f"""
        migrations.CreateModel("Part", [{ID}], {{"required_db_vendor": "oracle"}}),
        migrations.AddField("part", "size", models.IntegerField(default=1)),
        """,
        [("shop", "0002_longer_name")],
    )
    project.commit("Parts")
    project.checkout("-b", "sale")
    project.migration(
        "shop",
        "0004_sale",
        f"""
        migrations.CreateModel("Sale", [{ID}]),
        migrations.RunSQL("DROP TABLE shop_sale", "CREATE TABLE shop_sale (id integer)"),
        """,
        [("shop", "0003_parts")],
    )
    project.commit("Sale")
    for branch in ("sale", "feature", "main"):
        assert go(project, branch).stderr == ""
    assert not kept(project)


TAGS = """
class Tag(models.Model):
    name = models.CharField(max_length=9)

class Product(models.Model):
    name = models.CharField(max_length=50)
    tags = models.ManyToManyField(Tag{})
"""
LINK = """
class Link(models.Model):
    product = models.ForeignKey(Product, models.CASCADE)
    tag = models.ForeignKey(Tag, models.CASCADE)
    weight = models.IntegerField(default=0)
"""


def test_a_model_takes_over_the_table_of_a_many_to_many_field(vendor_project: Project) -> None:
    """As Django's documentation has it ("Changing a ManyToManyField to use a through model")."""
    make_products(vendor_project, TAGS.format(""))
    fill(vendor_project, "[product.tags.create(name='t') for product in Product.objects.all()]")
    vendor_project.checkout("-b", "feature")
    vendor_project.models("shop", TAGS.format(", through='Link'") + LINK)
    vendor_project.migration(
        "shop",
        "0004_link",
        """
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(
                sql="ALTER TABLE shop_product_tags RENAME TO shop_link",
                reverse_sql="ALTER TABLE shop_link RENAME TO shop_product_tags",
            )],
            state_operations=[
                migrations.CreateModel("Link", [
                    ("id", models.BigAutoField(auto_created=True, primary_key=True)),
                    ("product", models.ForeignKey("shop.Product", models.CASCADE)),
                    ("tag", models.ForeignKey("shop.Tag", models.CASCADE)),
                ]),
                migrations.AlterField(
                    "product", "tags", models.ManyToManyField("shop.Tag", through="shop.Link")
                ),
            ],
        ),
        migrations.AddField("link", "weight", models.IntegerField(default=0)),
        """,
        [("shop", "0003_more")],
    )
    vendor_project.commit("Link")
    vendor_project.switch()
    fill(vendor_project, "Link.objects.update(weight=7)")

    go(vendor_project, "main")
    assert kept(vendor_project) == {"shop_link.weight 3"}
    fill(
        vendor_project,
        "Product.objects.get(pk=2).tags.clear(); Product.objects.get(pk=2).tags.add(3)",
    )

    go(vendor_project, "feature")
    links = values(vendor_project, "product_id", "tag_id", "weight", model="Link")
    assert links == "1 1 7; 3 3 7; 2 3 0"


ARTICLE = """
class Article(models.Model):
    name = models.CharField(max_length=50)
    size = models.IntegerField(default=1)
"""


@pytest.mark.no_cover
@pytest.mark.parametrize("files", [["0003_article", "0004_length"], ["0003_merged"]])
def test_a_model_that_is_renamed_in_other_files(project: Project, files: list[str]) -> None:
    """Receivers of pre_migrate put in what renames its content type. That is no difference."""
    make_products(project)
    operations = (
        'migrations.RenameModel("Product", "Article"),',
        'migrations.AddField("article", "size", models.IntegerField(default=1)),',
    )
    project.checkout("-b", "feature")
    project.migration("shop", "0003_rename", operations[0], [("shop", "0002_longer_name")])
    project.migration("shop", "0004_size", operations[1], [("shop", "0003_rename")])
    project.models("shop", ARTICLE)
    project.commit("Rename")
    project.switch()
    project.python("from shop.models import *; Article.objects.filter(pk=2).update(size=5)")
    go(project, "main")
    project.checkout("-b", "other")
    parts = operations if len(files) == 2 else ["\n        ".join(operations)]
    parent = "0002_longer_name"
    for name, part in zip(files, parts, strict=True):
        project.migration("shop", name, part, [("shop", parent)])
        parent = name
    project.models("shop", ARTICLE)
    project.commit("Merged")
    assert project.manage("migrations_switch").stderr == ""
    assert values(project, "size", model="Article") == "1; 5; 1"
    project.assert_in_step()
