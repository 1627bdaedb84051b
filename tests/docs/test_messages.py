"""Every message that a page quotes is one of the package, word for word."""

import re
from collections.abc import Iterator

import pytest

from tests.docs.messages import unexplained
from tests.docs.pages import blocks, page

pytestmark = [pytest.mark.no_cover, pytest.mark.once]

# What is put into messages: names, paths, numbers, placeholders.
PUT_IN = re.compile(
    r"[^a-zA-Z]*$|.*[._/'\"…\d=]|\W*(?:X|Y|APP|BRANCH|SOURCE|NAME|PATH|ID|a|b)\W*$"
)
# What else is put in, and what others say: Python, Django, RQ, pytest, the databases, the system.
OTHERS = {
    *("table", "column", "by", "from", "phantom", "branch", "main", "default", "logs", "high"),
    *("pending", "unapply", "apply", "plan", "trust", "no-stash"),
    *("bool", "rqworker", "rows", "stays", "with", "of", "applied", "Applying", "saving", "drop"),
    *(
        "Unapply",
        "Apply",
        "Finish",
        "Leave",
        "Run",
        "install",
        "CommandError",
        "real-redis",
        "SKIPPED",
        "ERROR",
    ),
    *("KeyError", "ValueError", "TypeError", "AssertionError", "RuntimeError"),
    *("ImproperlyConfigured", "SynchronousOnlyOperation", "OperationalError"),
    *("husky", "lefthook", "post-checkout", "sh", "uv"),
    *("ImportError", "UsageError", "django-rq", "rq", "and", "before", "3.2.2", "4.0"),
    *("ModuleNotFoundError", "No", "module", "named"),
    *("no", "such", "table", "nope", "unable", "to", "open", "database", "file"),
    *("value", "too", "long", "for", "type", "character", "varying"),
    *("Invalid", "attribute", "name", "chrage", "DROP", "VIEW"),
}


def _quotes(text: str) -> Iterator[str]:
    for quote in re.findall(r"(?:^>.*\n)+", text, re.MULTILINE):
        yield re.sub(r"^> ?", "", quote, flags=re.MULTILINE).strip()


def _first_cells(text: str, heading: str) -> Iterator[str]:
    """The texts in backticks in the first column of the table below a heading."""
    section = text.partition(f"\n{heading}\n")[2].partition("\n## ")[0]
    for cell in re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE):
        yield from re.findall(r"`([^`]+)`", cell)


def _messages_of_checks() -> Iterator[str]:
    text = page("checks.md")
    yield from re.findall(r"^\| \[django_devtools\.\w+\]\(#\w+\) \| (.*?) \|", text, re.MULTILINE)
    for block in blocks(text):
        yield from re.findall(r"(?:\?: \(.*?\)|HINT:) (.*)", block.text)


TROUBLES = [
    quote for quote in _quotes(page("troubleshooting.md")) if not quote.startswith("fatal:")
]
CHECKS = list(_messages_of_checks())
PLAN = list(_first_cells(page("migrations-switch.md"), "## The lines of a plan"))


def test_the_pages_quote_messages() -> None:
    assert len(TROUBLES) > 30
    assert len(CHECKS) > 20
    assert len(PLAN) > 7


@pytest.mark.parametrize("quote", TROUBLES + CHECKS + PLAN)
def test_a_quoted_message_is_in_the_package(quote: str) -> None:
    words = [word for word in unexplained(quote) if not PUT_IN.match(word)]

    assert [word for word in words if word.strip(":;,.()`-") not in OTHERS] == []
