"""A managestate.json of django-extensions as the target."""

import pytest

from tests.branches.shop import columns, make_shop, make_shop_with_feature, tables
from tests.branches.test_switch import add_reviews
from tests.project import Project

pytestmark = pytest.mark.once


@pytest.mark.no_cover
def test_there_and_back(project: Project) -> None:
    make_shop(project)
    project.manage("migrate")
    project.settings('INSTALLED_APPS += ["django_extensions"]')
    project.commit()
    project.manage("managestate", "dump", "main")
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message=State")
    project.checkout("-b", "feature")
    add_reviews(project)
    project.commit()
    project.manage("migrate")
    project.manage("managestate", "dump", "feature")

    project.switch("main", "--file=managestate.json")
    assert "reviews_review" not in tables(project)
    assert project.states() == {"reviews.0001_initial": "pending"}
    assert "Nothing to do" in project.switch("main", "--file=managestate.json")

    project.switch("feature", "--file=managestate.json")
    project.assert_in_step()


def test_after_checkout(project: Project) -> None:
    make_shop_with_feature(project)
    project.write(
        "managestate.json",
        '{"main": {"shop": "0002_longer_name", "nothing": "zero"}, "updated_at": "2026-01-01"}',
    )
    project.checkout("main")
    output = project.switch("main", "--file=managestate.json")
    assert "contenttypes" not in output
    assert columns(project) == {"id", "name"}
    project.assert_in_step()


def test_back_to_zero(project: Project) -> None:
    make_shop_with_feature(project)
    project.write("managestate.json", '{"default": {"shop": "zero"}, "updated_at": "now"}')
    project.switch("--file=managestate.json")
    assert set(project.states()) == {
        "shop.0001_initial",
        "shop.0002_longer_name",
        "shop.0003_colour",
    }


def test_no_such_state(project: Project) -> None:
    make_shop(project)
    project.write("managestate.json", '{"main": {}, "updated_at": "now"}')
    file = project.path / "managestate.json"
    result = project.manage("migrations_switch", "x", "--file=managestate.json", status=1)
    assert result.stderr.strip() == f"CommandError: {file} has no state 'x'. It has: 'main'."


def test_migrations_that_are_nowhere(project: Project) -> None:
    make_shop(project)
    project.write("managestate.json", '{"main": {"shop": "0009_no_such"}, "updated_at": "now"}')
    result = project.manage("migrations_switch", "main", "--file=managestate.json", status=1)
    assert result.stderr.strip() == (
        "CommandError: managestate.json names migrations that are neither on disk nor applied: "
        "shop.0009_no_such. Check out the branch that has them, and run "
        "`manage.py migrations_switch`."
    )


def test_it_is_no_file_to_write_snapshots_to(project: Project) -> None:
    make_shop(project)
    project.write("managestate.json", '{"main": {}, "updated_at": "now"}')
    result = project.manage("migrations_snapshot", "--file=managestate.json", status=1)
    assert "managestate.json is not a snapshot file of django_devtools." in result.stderr
    text = (project.path / "managestate.json").read_text()
    assert text == '{"main": {}, "updated_at": "now"}'
