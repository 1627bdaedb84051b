"""Where things come from, and what is said when they come from nowhere."""

from collections.abc import Callable

import pytest

from tests.branches.shop import (
    ID,
    PRODUCT,
    add_colour,
    columns,
    make_shop,
    make_shop_with_feature,
    tables,
)
from tests.branches.test_switch import add_reviews
from tests.databases import Configuration
from tests.project import Project

pytestmark = pytest.mark.once


def test_without_git_files_are_all_there_is(make_project: Callable[..., Project]) -> None:
    project = make_project(git=False)
    project.app("shop", PRODUCT)
    project.migration(
        "shop",
        "0001_initial",
        f'migrations.CreateModel("Product", [{ID} ("name", models.CharField(max_length=50))]),',
    )
    project.manage("migrate")
    project.manage("migrations_snapshot", "before")
    add_colour(project)
    text = (project.path / "shop/migrations/0003_colour.py").read_text()
    text = text.replace("0002_longer_name", "0001_initial")
    (project.path / "shop/migrations/0003_colour.py").write_text(text)
    project.manage("migrate")
    project.manage("migrations_snapshot", "after;x")

    project.switch("before")
    assert columns(project) == {"id", "name"}
    project.switch("after;x")
    assert columns(project) == {"id", "name", "colour"}
    project.remove("shop/migrations/0003_colour.py")
    result = project.manage("migrations_switch", status=1)
    assert "The source of shop.0003_colour was not found" in result.stderr
    project.manage("migrate", "--prune", "shop")
    result = project.manage("migrations_switch", "after;x", status=1)
    assert result.stderr.strip() == (
        "CommandError: The source of shop.0003_colour, which the snapshot of 'after;x' names, was "
        "not found. Run `git checkout 'after;x'` and then `manage.py migrations_switch`."
    )


def test_two_branches_made_the_same_table_in_their_own_way(vendor_project: Project) -> None:
    make_shop(vendor_project)
    for branch, field in (("one", "a"), ("two", "b")):
        vendor_project.checkout("-b", branch, "main")
        vendor_project.app(
            "notes", f"class Note(models.Model):\n    {field} = models.TextField()\n"
        )
        vendor_project.migration(
            "notes",
            f"0001_{branch}",
            f'migrations.CreateModel("Note", [{ID} ("{field}", models.TextField())]),',
        )
        vendor_project.commit()
    vendor_project.manage("migrate")
    vendor_project.python("from notes.models import Note; Note.objects.create(b='text')")
    vendor_project.checkout("one")

    result = vendor_project.manage("migrations_switch", "--no-stash", status=1)

    assert result.stderr.strip() == (
        "CommandError: This switch would drop something that the target has as well, together "
        "with its data: table notes_note (by notes.0001_two). Without --no-stash the data is "
        "saved. If you don't need it, run `manage.py migrations_switch --no-stash "
        "--roll-back-shared`."
    )
    vendor_project.switch()
    assert columns(vendor_project, "notes_note") == {"id", "a"}
    vendor_project.assert_in_step()


RESTORE = """
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django_devtools.branches.running.foreign_keys import restore_foreign_keys

state = MigrationLoader(connection).project_state()
model = state.apps.get_model("reviews", "Review")
field = model._meta.get_field("product")
without = field.clone()
without.set_attributes_from_name("product")
without.model, without.db_constraint = model, False

def count():
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, "reviews_review")
    return sum(bool(constraint["foreign_key"]) for constraint in found.values())

numbers = [count()]
with connection.schema_editor() as editor:
    for name in editor._constraint_names(model, ["product_id"], foreign_key=True):
        editor.execute(editor._delete_fk_sql(model, name))
numbers.append(count())
for app in ("contenttypes", "shop", "shop"):
    restore_foreign_keys(connection, state, app)
    numbers.append(count())
print(numbers)
"""


@pytest.mark.parametrize("vendor", ["postgresql", "mariadb"])
def test_a_foreign_key_that_an_interruption_took_away(
    make_project: Callable[..., Project],
    make_database: Callable[[str], Configuration],
    vendor: str,
) -> None:
    project = make_project(default=make_database(vendor))
    make_shop(project)
    add_reviews(project)
    project.manage("migrate")
    assert project.python(RESTORE) == "[1, 0, 0, 1, 1]"


def test_settings_outside_of_the_repository(make_project: Callable[..., Project]) -> None:
    """Only the app is one, and the settings lie above it."""
    project = make_project(git=False)
    project.app("shop", PRODUCT)
    project.migration(
        "shop",
        "0001_initial",
        f'migrations.CreateModel("Product", [{ID} ("name", models.CharField(max_length=50))]),',
    )
    shop = Project(project.path / "shop", {}, project.zygote)
    shop.git("init", "--quiet", "--initial-branch=main")
    shop.commit("Shop")
    project.switch()
    assert columns(project) == {"id", "name"}


def test_a_source_that_git_has_lost(project: Project) -> None:
    make_shop_with_feature(project)
    project.manage("migrations_snapshot")
    project.checkout("main")
    project.switch()
    project.git("branch", "-D", "feature")
    refs = project.git("for-each-ref", "--format=%(refname)", "refs/django-devtools")
    for ref in refs.split():
        project.git("update-ref", "-d", ref)
    project.git("reflog", "expire", "--expire=now", "--all")
    project.git("gc", "--quiet", "--prune=now")

    result = project.manage("migrations_switch", "feature", status=1)

    assert "The source of shop.0003_colour, which the snapshot of 'feature' names" in result.stderr


def test_without_git_no_app_is_known_as_ones_own(make_project: Callable[..., Project]) -> None:
    project = make_project(git=False)
    project.manage("migrate")
    project.python(
        """
        from django.db import connection
        from django.db.migrations.recorder import MigrationRecorder
        MigrationRecorder(connection).record_applied("comments", "0001_initial")
        """
    )
    assert project.states() == {"comments.0001_initial": "obsolete"}


def test_settings_of_a_ref_that_are_no_python(project: Project) -> None:
    make_shop(project)
    project.checkout("-b", "feature")
    add_reviews(project)
    project.write("config/broken.py", "<<<<<<< HEAD\n")
    project.commit()
    project.checkout("main")
    project.switch("feature")
    assert "reviews_review" in tables(project)
