"""A small shop, the project that most tests start from."""

from tests import databases
from tests.project import Project
from tests.templates import made_once

PRODUCT = """\
class Product(models.Model):
    name = models.CharField(max_length=50)
"""
ID = """\
("id", models.BigAutoField(
    auto_created=True, primary_key=True, serialize=False, verbose_name="ID",
)),"""
COLOUR = "    colour = models.CharField(max_length=20)\n"


@made_once
def make_shop(project: Project) -> None:
    """On main: an app with two migrations, committed and applied."""
    project.app("shop", PRODUCT)
    project.migration(
        "shop",
        "0001_initial",
        f"""
        migrations.CreateModel("Product", [
            {ID}
            ("name", models.CharField(max_length=40)),
        ]),
        """,
    )
    project.migration(
        "shop",
        "0002_longer_name",
        'migrations.AlterField("product", "name", models.CharField(max_length=50)),',
        [("shop", "0001_initial")],
    )
    project.commit("Shop")


def add_colour(project: Project, name: str = "0003_colour") -> None:
    """A column that is not null and has no default in the database."""
    project.models("shop", PRODUCT + COLOUR)
    project.migration(
        "shop",
        name,
        """
        migrations.AddField(
            "product", "colour", models.CharField(max_length=20, default="red"),
            preserve_default=False,
        ),
        """,
        [("shop", "0002_longer_name")],
    )


@made_once
def make_shop_with_feature(project: Project) -> None:
    """Applied on branch feature, which is checked out: the shop with a colour."""
    make_shop(project)
    project.checkout("-b", "feature")
    add_colour(project)
    project.commit("Colour")
    project.manage("migrate")


def columns(project: Project, table: str = "shop_product", alias: str = "default") -> set[str]:
    """The columns that a table has in the database."""
    return databases.columns(_as_seen_from_here(project, alias), table)


def tables(project: Project, alias: str = "default") -> set[str]:
    """The tables that a database has."""
    return databases.tables(_as_seen_from_here(project, alias))


def _as_seen_from_here(project: Project, alias: str) -> databases.Configuration:
    """A configuration whose file is found in any directory, as the project finds it in its own."""
    configuration: databases.Configuration = project.databases[alias]
    if not configuration["ENGINE"].endswith("sqlite3"):
        return configuration
    file, _, _ = str(configuration["NAME"]).removeprefix("file:").partition("?")
    return {**configuration, "NAME": str(project.path / file)}
