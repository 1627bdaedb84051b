"""Branches with rows of their own, and what the database and the stash hold of them."""

import json

from tests.branches.shop import tables
from tests.project import Project, Result

# What the database holds, as its driver gives it, and SQLite's types of single values.
DUMP = """
from django.db import connection
introspection, quote = connection.introspection, connection.ops.quote_name
with connection.cursor() as cursor:
    for table in sorted(introspection.table_names(cursor)):
        if not table.startswith("django_"):
            found = introspection.get_table_description(cursor, table)
            columns = sorted(quote(column.name) for column in found)
            if connection.vendor == "sqlite":
                columns += [f"typeof({column})" for column in columns]
            names = ", ".join(columns).replace("%", "%%")
            cursor.execute(f"SELECT {names} FROM {quote(table).replace('%', '%%')}", [])
            print(table, columns, *sorted(map(repr, cursor.fetchall())), sep="\\n")
connection.check_constraints()
"""


def make_branch(project: Project, name: str, models: str, start: str | None = None) -> None:
    """Make a branch with ``models``, and the migration that makemigrations writes for them."""
    project.checkout("-b", name, *([start] if start else []))
    project.models("shop", models)
    project.manage("makemigrations", "shop", f"--name={name}")
    project.commit(name)


def go(project: Project, branch: str, *options: str) -> Result:
    """Check out a branch, and have the database follow."""
    project.checkout(branch)
    return project.manage("migrations_switch", "--no-input", *options)


def dump(project: Project) -> str:
    """All rows of the project's tables, which satisfy all constraints."""
    return project.python(DUMP)


def values(project: Project, *fields: str, model: str = "Product") -> str:
    """The rows of a model, one after the other."""
    return (
        project.python(
            f"""
        from shop.models import *
        for row in {model}.objects.order_by("pk").values_list(*{fields!r}):
            print(*row, sep=" ", end=";\\n")
        """
        )
        .removesuffix(";")
        .replace(";\n", "; ")
    )


def kept(project: Project) -> set[str]:
    """What the stash has, and how many rows of it."""
    found = json.loads(project.look("migrations_stash", "list", "--json"))
    names = {one["copy"] for one in found}
    ours = {name for name in tables(project) if name.startswith("django_devtools")}
    registry = {"django_devtools_stash"} if found else set()
    beside = {f"{name}_{what}" for name in names for what in ("narrowed", "made")}
    assert ours - beside == names | registry
    return {f"{one['table']}.{','.join(one['columns'] or '*')} {one['rows']}" for one in found}


def vendor(project: Project) -> str:
    engine: str = project.databases["default"]["ENGINE"]
    return engine.rpartition(".")[2].removesuffix("3")
