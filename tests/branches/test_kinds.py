"""Every kind of migration that a project may have, there and back on every database."""

import pytest

from tests.branches.shop import ID, PRODUCT, add_colour, columns, make_shop, tables
from tests.project import Project


def walk(project: Project) -> None:
    """Between main and feature, before and after checkout; each time as from nothing."""
    project.manage("migrate")
    project.manage("migrations_snapshot")
    project.checkout("main")
    project.switch()
    project.assert_in_step()
    project.switch("feature")
    project.checkout("feature")
    project.assert_in_step()
    project.switch("main")
    project.checkout("main")
    project.assert_in_step()
    project.checkout("feature")
    project.switch()
    project.assert_in_step()
    project.checkout("main")
    project.switch()


@pytest.mark.no_cover
def test_a_dependency_that_was_forgotten_and_that_migrate_never_misses(project: Project) -> None:
    """On feature, b.0002 needs c.0002: ``migrate`` applies it for a.0002, before that of b."""
    for app in "abc":
        project.app(app, "class Thing(models.Model):\n    pass\n")
    project.manage("makemigrations", *"abc")
    project.commit("Things")
    project.manage("migrate")
    project.checkout("-b", "feature")
    project.models("c", "class Thing(models.Model):\n    size = models.IntegerField(null=True)\n")
    add_size = 'migrations.AddField("thing", "size", models.IntegerField(null=True)),'
    project.migration("c", "0002_size", add_size, [("c", "0001_initial")])
    project.migration("a", "0002_size", "", [("a", "0001_initial"), ("c", "0002_size")])
    update = '"UPDATE c_thing SET size = 1"'
    run_sql = f"migrations.RunSQL({update}, {update}),"
    project.migration("b", "0002_size", run_sql, [("b", "0001_initial")])
    project.commit("Size")

    output = project.switch()
    assert [line for line in output.splitlines() if "Applying" in line] == [
        f"  Applying {app}.0002_size... OK" for app in "cab"
    ]
    project.assert_in_step()
    project.checkout("main")
    output = project.switch()
    assert [line for line in output.splitlines() if "Unapplying" in line] == [
        f"  Unapplying {app}.0002_size... OK" for app in "bac"
    ]
    project.assert_in_step()


def test_dependencies_across_apps_and_run_before(project: Project) -> None:
    make_shop(project)
    project.app("other", "class Other(models.Model):\n    name = models.CharField(max_length=9)\n")
    project.migration(
        "other",
        "0001_initial",
        f"""
        migrations.CreateModel("Other", [{ID} ("name", models.CharField(max_length=9))]),
        """,
    )
    project.commit()
    project.checkout("-b", "feature")
    project.models(
        "other",
        "class Other(models.Model):\n    name = models.CharField(max_length=9)\n"
        '    product = models.ForeignKey("shop.Product", models.CASCADE, null=True)\n',
    )
    project.migration(
        "other",
        "0002_product",
        """
        migrations.AddField(
            "other", "product", models.ForeignKey("shop.Product", models.CASCADE, null=True)
        ),
        """,
        [("other", "0001_initial"), ("shop", "0003_colour")],
    )
    add_colour(project)
    project.migration(
        "shop",
        "0004_first",
        "",
        [("shop", "0003_colour")],
        body='run_before = [("other", "0002_product")]',
    )
    project.commit()
    walk(project)
    assert columns(project, "other_other") == {"id", "name"}


@pytest.mark.no_cover
def test_a_custom_user_model(vendor_project: Project) -> None:
    vendor_project.settings(
        'INSTALLED_APPS += ["django.contrib.auth"]\nAUTH_USER_MODEL = "people.Person"\n'
    )
    user = """\
    from django.contrib.auth.models import AbstractBaseUser

    class Person(AbstractBaseUser):
        email = models.CharField(max_length=50, unique=True)
        USERNAME_FIELD = "email"
    """
    vendor_project.app("people", user)
    vendor_project.migration(
        "people",
        "0001_initial",
        f"""
        migrations.CreateModel("Person", [
            {ID}
            ("password", models.CharField(max_length=128, verbose_name="password")),
            ("last_login", models.DateTimeField(
                blank=True, null=True, verbose_name="last login")),
            ("email", models.CharField(max_length=50, unique=True)),
        ], options={{"abstract": False}}),
        """,
    )
    make_shop(vendor_project)
    vendor_project.checkout("-b", "feature")
    vendor_project.settings("from django.conf import settings  # noqa")
    vendor_project.models(
        "shop",
        "from django.conf import settings\n\n"
        + PRODUCT
        + "    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True)\n",
    )
    vendor_project.migration(
        "shop",
        "0003_owner",
        """
        migrations.AddField("product", "owner", models.ForeignKey(
            settings.AUTH_USER_MODEL, models.CASCADE, null=True)),
        """,
        "[migrations.swappable_dependency(settings.AUTH_USER_MODEL),"
        ' ("shop", "0002_longer_name")]',
    )
    vendor_project.commit()
    walk(vendor_project)
    assert columns(vendor_project) == {"id", "name"}


@pytest.mark.no_cover
def test_many_to_many_proxies_and_tables_of_parents(vendor_project: Project) -> None:
    make_shop(vendor_project)
    vendor_project.checkout("-b", "feature")
    vendor_project.models(
        "shop",
        PRODUCT
        + """\
    related = models.ManyToManyField("self", blank=True)


class Cheap(Product):
    class Meta:
        proxy = True


class Book(Product):
    pages = models.IntegerField()
    sellers = models.ManyToManyField("Seller", through="Offer")


class Seller(models.Model):
    pass


class Offer(models.Model):
    book = models.ForeignKey(Book, models.CASCADE)
    seller = models.ForeignKey(Seller, models.CASCADE)
""",
    )
    vendor_project.migration(
        "shop",
        "0003_books",
        f"""
        migrations.CreateModel("Cheap", [], options={{"proxy": True, "indexes": [],
            "constraints": []}}, bases=("shop.product",)),
        migrations.CreateModel("Book", [
            ("product_ptr", models.OneToOneField(
                auto_created=True, on_delete=models.CASCADE, parent_link=True,
                primary_key=True, serialize=False, to="shop.product")),
            ("pages", models.IntegerField()),
        ], bases=("shop.product",)),
        migrations.CreateModel("Seller", [{ID}]),
        migrations.CreateModel("Offer", [
            {ID}
            ("book", models.ForeignKey("shop.Book", models.CASCADE)),
            ("seller", models.ForeignKey("shop.Seller", models.CASCADE)),
        ]),
        migrations.AddField("book", "sellers", models.ManyToManyField(
            "shop.Seller", through="shop.Offer")),
        migrations.AddField("product", "related", models.ManyToManyField(
            "shop.Product", blank=True)),
        """,
        [("shop", "0002_longer_name")],
    )
    vendor_project.commit()
    walk(vendor_project)
    assert {name for name in tables(vendor_project) if name.startswith("shop_")} == {
        "shop_product"
    }


def test_renames_and_other_primary_keys(vendor_project: Project) -> None:
    make_shop(vendor_project)
    vendor_project.checkout("-b", "feature")
    vendor_project.models(
        "shop",
        """
        class Article(models.Model):
            id = models.AutoField(primary_key=True)
            title = models.CharField(max_length=50, db_index=True)
            class Meta:
                db_table = "articles"
                indexes = [models.Index(fields=["title", "id"], name="by_title")]
                constraints = [models.UniqueConstraint(fields=["title"], name="one_title")]

        class Tag(models.Model):
            articles = models.ManyToManyField(Article)
            first = models.ForeignKey(Article, models.CASCADE, related_name="+")
        """,
    )
    vendor_project.migration(
        "shop",
        "0003_renames",
        """
        migrations.RenameModel("Product", "Article"),
        migrations.RenameField("article", "name", "title"),
        migrations.AlterField("article", "id", models.AutoField(
            primary_key=True, serialize=False)),
        migrations.AlterModelTable("article", "articles"),
        migrations.AlterField("article", "title", models.CharField(
            max_length=50, db_index=True)),
        migrations.AddIndex("article", models.Index(fields=["title", "id"], name="by_title")),
        migrations.AddConstraint("article", models.UniqueConstraint(
            fields=["title"], name="one_title")),
        """,
        [("shop", "0002_longer_name")],
    )
    vendor_project.migration(
        "shop",
        "0004_tag",
        f"""
        migrations.CreateModel("Tag", [
            {ID}
            ("articles", models.ManyToManyField("shop.Article")),
            ("first", models.ForeignKey("shop.Article", models.CASCADE, related_name="+")),
        ]),
        """,
        [("shop", "0003_renames")],
    )
    vendor_project.commit()
    walk(vendor_project)
    assert columns(vendor_project) == {"id", "name"}


@pytest.mark.no_cover
def test_state_and_database_separated(vendor_project: Project) -> None:
    make_shop(vendor_project)
    vendor_project.checkout("-b", "feature")
    vendor_project.models("shop", PRODUCT + "    size = models.IntegerField(null=True)\n")
    vendor_project.migration(
        "shop",
        "0003_size",
        """
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(
                "ALTER TABLE shop_product ADD COLUMN size integer NULL",
                "ALTER TABLE shop_product DROP COLUMN size")],
            state_operations=[migrations.AddField(
                "product", "size", models.IntegerField(null=True))],
        ),
        """,
        [("shop", "0002_longer_name")],
    )
    vendor_project.commit()
    walk(vendor_project)
    assert columns(vendor_project) == {"id", "name"}


@pytest.mark.no_cover
def test_without_a_transaction(vendor_project: Project) -> None:
    make_shop(vendor_project)
    vendor_project.checkout("-b", "feature")
    vendor_project.models("shop", PRODUCT + "    size = models.IntegerField(null=True)\n")
    vendor_project.migration(
        "shop",
        "0003_size",
        'migrations.AddField("product", "size", models.IntegerField(null=True)),',
        [("shop", "0002_longer_name")],
        body="atomic = False",
    )
    vendor_project.commit()
    walk(vendor_project)
    assert columns(vendor_project) == {"id", "name"}
    assert not {name for name in tables(vendor_project) if name.startswith("django_devtools")}


@pytest.mark.no_cover
@pytest.mark.parametrize("where", ["elsewhere.shop_migrations", "shop.database"])
def test_migrations_in_a_module_of_another_name(project: Project, where: str) -> None:
    make_shop(project)
    directory = where.replace(".", "/")
    project.settings(f'MIGRATION_MODULES = {{"shop": "{where}"}}')
    project.write(f"{directory.split('/')[0]}/__init__.py", "")
    project.git("mv", "shop/migrations", directory)
    project.commit("Move")
    project.checkout("-b", "feature")
    add_colour(project)
    project.git("add", "--all")
    project.git("mv", "shop/migrations/0003_colour.py", f"{directory}/0003_colour.py")
    project.commit()
    walk(project)
    assert columns(project) == {"id", "name"}


@pytest.mark.no_cover
def test_apps_without_migrations(project: Project) -> None:
    make_shop(project)
    project.app("plain", "class Plain(models.Model):\n    pass\n")
    project.remove("plain/migrations")
    project.commit()
    project.checkout("-b", "feature")
    add_colour(project)
    project.commit()
    project.manage("migrate", "--run-syncdb")
    walk(project)
    assert "plain_plain" in tables(project)


def test_an_app_that_gets_migrations_on_a_branch(project: Project) -> None:
    make_shop(project)
    project.app("plain", "class Plain(models.Model):\n    pass\n")
    project.remove("plain/migrations")
    project.commit()
    project.checkout("-b", "feature")
    project.write("plain/migrations/__init__.py", "")
    project.migration("plain", "0001_initial", f'migrations.CreateModel("Plain", [{ID}]),')
    project.commit()
    walk(project)


def test_data_migrations_see_the_models_of_their_time(vendor_project: Project) -> None:
    make_shop(vendor_project)
    vendor_project.manage("migrate")
    vendor_project.python('from shop.models import Product; Product.objects.create(name="Chair")')
    vendor_project.checkout("-b", "feature")
    add_colour(vendor_project)
    vendor_project.migration(
        "shop",
        "0004_paint",
        "migrations.RunPython(paint, unpaint),",
        [("shop", "0003_colour")],
        before="""
        def paint(apps, schema_editor):
            Product = apps.get_model("shop", "Product")
            Product.objects.using(schema_editor.connection.alias).update(colour="blue")

        def unpaint(apps, schema_editor):
            Product = apps.get_model("shop", "Product")
            for product in Product.objects.using(schema_editor.connection.alias):
                product.name = product.colour + " " + product.name
                product.save()
        """,
    )
    vendor_project.commit()
    vendor_project.switch()
    vendor_project.checkout("main")
    vendor_project.switch()
    names = "from shop.models import Product; print(Product.objects.get().name)"
    assert vendor_project.python(names) == "blue Chair"
    vendor_project.assert_in_step()


def test_signals_are_sent_once_as_migrate_sends_them(project: Project) -> None:
    make_shop(project)
    project.write(
        "shop/apps.py",
        """
        from django.apps import AppConfig
        from django.db.models.signals import post_migrate, pre_migrate

        def say(name):
            def receive(sender, apps, plan, using, **kwargs):
                models = [m.__name__ for m in apps.get_models() if m._meta.app_label == "shop"]
                print(name, using, models, [(str(m), back) for m, back in plan])
            return receive

        class ShopConfig(AppConfig):
            name = "shop"

            def ready(self):
                pre_migrate.connect(say("pre"), sender=self, weak=False)
                post_migrate.connect(say("post"), sender=self, weak=False)
        """,
    )
    project.commit()
    project.checkout("-b", "feature")
    project.models("shop", PRODUCT + "\nclass Tag(models.Model):\n    pass\n")
    project.migration(
        "shop",
        "0003_tag",
        f'migrations.CreateModel("Tag", [{ID}]),',
        [("shop", "0002_longer_name")],
    )
    project.commit()
    project.manage("migrate")
    project.checkout("main")

    lines = [line for line in project.switch().splitlines() if line.startswith(("pre ", "post "))]

    assert lines == [
        "pre default ['Product', 'Tag'] [('shop.0003_tag', True)]",
        "post default ['Product'] [('shop.0003_tag', True)]",
    ]


def test_content_types_follow_a_renamed_model_both_ways(vendor_project: Project) -> None:
    make_shop(vendor_project)
    vendor_project.manage("migrate")
    find = """
    from django.contrib.contenttypes.models import ContentType
    print(ContentType.objects.get(app_label="shop").pk)
    """
    before = vendor_project.python(find)
    vendor_project.checkout("-b", "feature")
    vendor_project.models("shop", PRODUCT.replace("Product", "Article"))
    vendor_project.migration(
        "shop",
        "0003_rename",
        'migrations.RenameModel("Product", "Article"),',
        [("shop", "0002_longer_name")],
    )
    vendor_project.commit()
    vendor_project.switch()
    assert vendor_project.python(find) == before
    vendor_project.checkout("main")
    vendor_project.switch()
    assert vendor_project.python(find) == before
