"""A sample of what ``tox run -e orders`` runs: see tests/orders.py."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.branches.shop import columns, make_shop_with_feature
from tests.branches.stash.stashing import go, kept, values
from tests.databases import Configuration
from tests.orders import PROJECTS
from tests.project import Zygote

ADD_A_CHAIR = 'from shop.models import *; Product.objects.create(name="Chair", colour="blue")'


@pytest.mark.no_cover
@pytest.mark.once
@pytest.mark.parametrize("order", ["migrate-first", "uncommitted"])
def test_rows_come_back_in_each_order(
    order: str, tmp_path: Path, zygote: Zygote, make_database: Callable[[str], Configuration]
) -> None:
    databases = {"default": make_database("sqlite")}
    project = PROJECTS[order].make(tmp_path / "project", databases, zygote)
    make_shop_with_feature(project)
    project.python(ADD_A_CHAIR)

    go(project, "main")
    assert columns(project) == {"id", "name"}
    assert kept(project) == {"shop_product.colour 1"}
    project.assert_in_step()

    go(project, "feature")
    assert values(project, "name", "colour") == "Chair blue"
    project.assert_in_step()
