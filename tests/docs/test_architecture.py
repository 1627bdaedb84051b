"""The page on the architecture names files that exist, and leaves no module out."""

import re
import tomllib

import pytest

from tests.docs.pages import ROOT, page

PACKAGE = ROOT / "django_devtools"
TEXT = page("architecture.md")
NAMED = sorted(set(re.findall(r"`((?:[\w.]+/)*(?:\w+\.(?:py|sh)|\w+/))`", TEXT)))
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
    modules = {path.stem for path in (PACKAGE / half).glob("*") if not path.stem.startswith("_")}

    named = {name.rstrip("/").removesuffix(".py") for name in NAMED}

    assert modules - named == set()


def test_the_picture_shows_each_layer_of_the_contracts() -> None:
    for shade in ("light", "dark"):
        picture = (ROOT / "docs" / "pages" / "assets" / f"layers-{shade}.svg").read_text("utf-8")
        shown = set(re.findall(r"\w+", re.sub(r"<[^>]*>", " ", picture)))
        for contract in CONTRACTS["contracts"]:
            for layer in contract.get("layers", ()):
                assert set(layer.split(" | ")) - shown == set(), f"{shade}: {layer}"
