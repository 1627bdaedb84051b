"""Compares messages that a page quotes with the string literals of the package."""

import ast
import re
from collections.abc import Iterator
from functools import cache

from tests.docs.pages import ROOT

GAP = "\0"
"""Stands in a template for whatever a message puts in."""


@cache
def templates() -> list[list[str]]:
    """
    The texts of the package, each as the pieces between what it puts in.

    Only those with a space in a piece: words alone would explain any sentence.
    """
    package = ROOT / "django_devtools"
    texts = [
        text
        for file in package.glob("**/*.py")
        for text in _literals(ast.parse(file.read_text("utf-8")))
    ]
    texts += [
        re.sub(r"\\(.)", r"\1", re.sub(r"(?<!\\)\$\w+", GAP, said))
        for file in package.glob("**/*.sh")
        for said in re.findall(r'"((?:[^"\\\n]|\\.)+)"', file.read_text("utf-8"))
    ]
    split = [re.sub(r"\s+", " ", text).split(GAP) for text in texts]
    return [pieces for pieces in split if any(" " in piece.strip() for piece in pieces)]


def unexplained(quote: str) -> list[str]:
    """The words of a quoted message that are in no text of the package."""
    quote = re.sub(r"\s+", " ", quote)
    explained = [False] * len(quote)
    for pieces in templates():
        if not all(piece in quote for piece in pieces):
            # A page may quote a part: of a sentence, three words are as good as all.
            pieces = [
                piece
                for piece in map(str.strip, pieces)
                if piece.count(" ") >= 3 and piece in quote
            ]
        if not pieces:
            continue
        pattern = "(?:.*?)".join(f"({re.escape(piece)})" for piece in pieces)
        for found in re.finditer(pattern, quote):
            for group in range(1, len(pieces) + 1):
                for at in range(*found.span(group)):
                    explained[at] = True
    left = {at for at, letter in enumerate(quote) if letter.isalnum() and not explained[at]}
    return [word[0] for word in re.finditer(r"\S+", quote) if left & {*range(*word.span())}]


def _literals(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Constant, ast.JoinedStr, ast.BinOp)):
            yield _text(node)


def _text(node: ast.AST) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(map(_text, parts))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _text(left) + _text(right)
        case _:
            return GAP
