"""The page on the architecture names files that exist, and leaves no module out."""

import re
import tomllib

import pytest

from tests.docs.pages import ROOT, page

pytestmark = [pytest.mark.no_cover, pytest.mark.once]

PACKAGE = ROOT / "django_devtools"
TEXT = page("architecture.md")
NAMED = sorted(set(re.findall(r"`((?:[\w.]+/)*(?:[\w-]+\.(?:py|sh)|\w+/))`", TEXT)))
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
PLACES = [
    ROOT,
    PACKAGE,
    PACKAGE / "branches",
    PACKAGE / "branches" / "hooks",
    PACKAGE / "jobs",
    ROOT / "testproject",
]


@pytest.mark.parametrize("name", NAMED)
def test_a_file_or_folder_on_the_page_exists(name: str) -> None:
    assert any((place / name).exists() for place in PLACES)


def test_the_page_names_many_files() -> None:
    assert len(NAMED) > 40


@pytest.mark.parametrize("half", ["branches", "jobs"])
def test_each_module_of_a_half_is_on_the_page(half: str) -> None:
    folder = PACKAGE / half
    modules = {
        str(path.relative_to(folder))
        for path in [*folder.rglob("*.py"), *folder.rglob("*.sh")]
        if not path.stem.startswith("_")
    }

    assert modules - set(NAMED) == set()


def test_the_picture_shows_each_layer_of_the_contracts() -> None:
    for shade in ("light", "dark"):
        picture = (ROOT / "docs" / "pages" / "assets" / f"layers-{shade}.svg").read_text("utf-8")
        described = re.search(r"<desc[^>]*>(.*?)</desc>", picture, re.DOTALL)
        assert described
        # Both what is seen and what is read aloud.
        drawn = picture.replace(described[0], "")
        for text in (described[1], re.sub(r"<[^>]*>", " ", drawn)):
            shown = set(re.findall(r"\w+", text))
            for contract in CONTRACTS["contracts"]:
                for layer in contract.get("layers", ()):
                    assert set(layer.split(" | ")) - shown == set(), f"{shade}: {layer}"
