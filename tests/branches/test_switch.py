from tests.branches.shop import add_colour, columns, make_shop, make_shop_with_feature, tables
from tests.project import Project


def test_after_checkout_from_a_snapshot(project: Project) -> None:
    make_shop_with_feature(project)
    project.manage("migrations_snapshot")
    project.checkout("main")
    assert project.states() == {"shop.0003_colour": "phantom"}

    output = project.switch()

    assert "  Unapplying shop.0003_colour... OK" in output
    assert columns(project) == {"id", "name"}
    project.assert_in_step()
    assert "Nothing to do" in project.switch()


def test_after_checkout_from_git_history(project: Project) -> None:
    make_shop_with_feature(project)
    project.checkout("main")

    project.switch()

    assert columns(project) == {"id", "name"}
    project.assert_in_step()


def test_before_checkout_to_a_ref_and_back(project: Project) -> None:
    make_shop_with_feature(project)
    project.switch("main")
    assert columns(project) == {"id", "name"}
    project.checkout("main")
    project.assert_in_step()
    project.switch("feature")
    assert columns(project) == {"id", "name", "colour"}
    project.checkout("feature")
    project.assert_in_step()
