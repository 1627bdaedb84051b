"""A managestate.json of django-extensions as the target."""

from tests.branches.shop import columns, make_shop, make_shop_with_feature, tables
from tests.branches.test_switch import add_reviews
from tests.project import Project


def test_there_and_back(vendor_project: Project) -> None:
    make_shop(vendor_project)
    vendor_project.manage("migrate")
    vendor_project.settings('INSTALLED_APPS += ["django_extensions"]')
    vendor_project.commit()
    vendor_project.manage("managestate", "dump", "main")
    vendor_project.git("add", "--all")
    vendor_project.git("commit", "--quiet", "--message=State")
    vendor_project.checkout("-b", "feature")
    add_reviews(vendor_project)
    vendor_project.commit()
    vendor_project.manage("migrate")
    vendor_project.manage("managestate", "dump", "feature")

    vendor_project.switch("main", "--file=managestate.json")
    assert "reviews_review" not in tables(vendor_project)
    assert vendor_project.states() == {"reviews.0001_initial": "pending"}
    assert "Nothing to do" in vendor_project.switch("main", "--file=managestate.json")

    vendor_project.switch("feature", "--file=managestate.json")
    vendor_project.assert_in_step()


def test_after_checkout(vendor_project: Project) -> None:
    make_shop_with_feature(vendor_project)
    vendor_project.write(
        "managestate.json",
        '{"main": {"shop": "0002_longer_name", "nothing": "zero"}, "updated_at": "2026-01-01"}',
    )
    vendor_project.checkout("main")
    output = vendor_project.switch("main", "--file=managestate.json")
    assert "contenttypes" not in output
    assert columns(vendor_project) == {"id", "name"}
    vendor_project.assert_in_step()


def test_back_to_zero(vendor_project: Project) -> None:
    make_shop_with_feature(vendor_project)
    vendor_project.write("managestate.json", '{"default": {"shop": "zero"}, "updated_at": "now"}')
    vendor_project.switch("--file=managestate.json")
    assert set(vendor_project.states()) == {
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
