"""The addresses of the project are the same wherever they stand."""

import re
import tomllib

import pytest

from tests.docs.pages import ROOT, all_pages

pytestmark = [pytest.mark.no_cover, pytest.mark.once]

URLS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]


def test_the_documentation_links_to_the_addresses_of_the_package_index() -> None:
    text = (ROOT / "docs" / "mkdocs.yml").read_text("utf-8")

    assert f"site_url: {URLS['Documentation']}\n" in text
    assert f"repo_url: {URLS['Source']}\n" in text


def test_the_readme_has_no_relative_links() -> None:
    targets = re.findall(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text("utf-8"))

    assert targets
    absolute = (URLS["Source"], "https://django-devtools-kit.readthedocs.io/", "#")
    assert [target for target in targets if not target.startswith(absolute)] == []


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md"])
def test_links_to_the_documentation_lead_to_a_page(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    pages = {page.stem for page in all_pages()}

    linked = re.findall(re.escape(URLS["Documentation"]) + r"([\w-]+)/", text)

    assert set(linked) - pages == set()


def test_links_into_the_repository_lead_to_a_file() -> None:
    raw = URLS["Source"].replace("https://github.com", "https://raw.githubusercontent.com")
    places = [f"{URLS['Source']}/blob/main/", f"{raw}/main/"]
    for page in [*all_pages(), ROOT / "CHANGELOG.md"]:
        text = page.read_text("utf-8")
        for place in places:
            for name in re.findall(re.escape(place) + r"([\w./-]*\w)", text):
                assert (ROOT / name).is_file(), f"{page.name} links to {name}"
