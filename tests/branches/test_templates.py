"""Copies of what was made once are as good as made anew."""

from collections.abc import Callable

import pytest

from tests.branches.shop import columns, make_shop, make_shop_with_feature
from tests.project import Project
from tests.templates import made_once

pytestmark = [pytest.mark.no_cover, pytest.mark.once]


def test_a_copy_has_databases_and_snapshots_of_its_own(
    make_project: Callable[..., Project],
) -> None:
    made = []

    @made_once
    def make(project: Project) -> None:
        made.append(project)
        make_shop_with_feature(project)
        project.manage("migrations_snapshot")

    first, second = make_project("first"), make_project("second")
    make(first)
    make(second)
    assert made == [first]
    first.checkout("main")
    first.switch()
    assert "colour" not in columns(first)
    assert "colour" in columns(second)
    second.assert_in_step()
    assert "feature" in second.look("migrations_snapshot", "--list")


def test_what_was_done_before_stays(make_project: Callable[..., Project]) -> None:
    make_shop(make_project("first"))
    second = make_project("second")
    second.settings("DEBUG = False")
    make_shop(second)
    assert "DEBUG = False" in (second.path / "config/settings.py").read_text()
    assert second.git("status", "--porcelain") == ""
