"""Every command line on the pages can be typed: the commands and their options exist."""

import re
import shlex
from collections.abc import Iterator, Mapping
from functools import cache

import pytest
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand, CommandParser

from tests.docs.pages import all_pages, blocks

pytestmark = [pytest.mark.no_cover, pytest.mark.once]

OURS = "migrations_hook|migrations_snapshot|migrations_stash|migrations_status|migrations_switch"
# In a block: what is typed, and what messages ask to type. In a sentence: what is in backticks.
TYPED = re.compile(r"^ *\$ (?:.* )?manage\.py ([a-z]\w+ .+)$", re.MULTILINE)
ASKED = re.compile(r": manage\.py ([a-z]\w+ .+?)(?:\.?$|\. )", re.MULTILINE)
INLINE = re.compile(rf"`(?:python )?(?:manage\.py ([a-z]\w+\s[^`]*)|((?:{OURS})\s[^`]*))`")
# Not what can be typed: a synopsis, and what a shell or a placeholder makes of it.
SYNOPSIS = re.compile(r"[\[{…]")
END_OF_COMMAND = {"|", "||", "&&", ";", ">", "2>&1", "#"}
PLACEHOLDERS = {"ID": "1", "DAYS": "1"}


def _lines(text: str) -> Iterator[str]:
    for block in blocks(text):
        yield from TYPED.findall(block.text)
        yield from ASKED.findall(block.text)
    for of_manage, ours in INLINE.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        yield of_manage or ours


def _arguments(line: str) -> list[str]:
    words = []
    for word in shlex.split(line):
        if word in END_OF_COMMAND:
            break
        words.append(PLACEHOLDERS.get(word, word))
    return words


LINES = sorted(
    {
        " ".join(line.split())
        for file in all_pages()
        for line in _lines(file.read_text("utf-8"))
        if not SYNOPSIS.search(line)
    }
)


@cache
def _commands() -> Mapping[str, str | BaseCommand]:
    return get_commands() | {"rqworker": "django_rq", "tenant_command": "django_tenants"}


def _parser(name: str) -> CommandParser:
    app = _commands()[name]
    command = load_command_class(app, name) if isinstance(app, str) else app
    parser = command.create_parser("manage.py", name)
    for action in parser._actions:
        # The databases of the examples.
        if "--database" in action.option_strings:
            action.choices = None
    return parser


def test_the_pages_name_many_commands() -> None:
    assert len(LINES) > 60


@pytest.mark.parametrize("line", LINES)
def test_a_command_on_a_page_can_be_typed(line: str) -> None:
    name, *arguments = _arguments(line)

    _parser(name).parse_args(arguments)
