"""
Fields, options and arguments, as values that are equal where a database sees no difference.

Each branch brings objects of its own, often of classes that were imported twice: no two of them
are equal.
"""

import enum
import functools
import types
from collections.abc import Iterator, Mapping
from typing import Any

from django.db.models import Field

_MODEL_OPTIONS = (
    "constraints",
    "db_table",
    "db_table_comment",
    "db_tablespace",
    "index_together",
    "indexes",
    "managed",
    "order_with_respect_to",
    "proxy",
    "swappable",
    "unique_together",
)
"""The options of a model that a database sees."""


def comparable_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a model that a database sees, each as it can be compared."""
    found = {name: comparable(options[name]) for name in _MODEL_OPTIONS if options.get(name)}
    # They have names. In which order they were made makes no difference.
    for name in ("constraints", "indexes"):
        if isinstance(found.get(name), list):
            found[name].sort(key=repr)
    return found


def comparable_code(function: Any, seen: frozenset[Any] = frozenset()) -> Any:
    """
    What a function does, wherever it is defined: its byte code, and what that refers to.

    ``seen`` are the names of the functions beside it that are compared already, and the functions
    that it is within.
    """
    if not isinstance(function, types.FunctionType):
        return comparable(function)
    names, space = _names_in(function.__code__), function.__globals__
    beside = {}
    for name in sorted(names & space.keys() - seen):
        value = space[name]
        is_beside = getattr(value, "__globals__", None) is space
        beside[name] = comparable_code(value, seen | names) if is_beside else repr(value)
    around = seen | {function}
    given = [_comparable_value(value, around) for value in _given(function)]
    return _comparable_instructions(function.__code__), beside, given


def _comparable_value(value: Any, around: frozenset[Any]) -> Any:
    """A value that a function has: what it does, if it is code. Of other objects, their kind."""
    if isinstance(value, types.FunctionType) and value not in around:
        return comparable_code(value, around)
    # Others, such as a logger or a lock, may refer to all the world and to themselves.
    return comparable(value) if _is_plain(value) else type(value).__qualname__


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    if isinstance(value, (tuple, list, set, frozenset)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (str, bytes, int, float, complex))


def _given(function: types.FunctionType) -> Iterator[Any]:
    """What a function has from where it was defined, and the defaults of its arguments."""
    for cell in function.__closure__ or ():
        # A name that is defined after the function, or never, has no contents yet.
        yield from [cell.cell_contents] if cell != types.CellType() else []
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()


def _names_in(code: types.CodeType) -> set[str]:
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return set(code.co_names).union(*map(_names_in, inner))


def _comparable_instructions(code: types.CodeType) -> Any:
    constants = [
        _comparable_instructions(one) if isinstance(one, types.CodeType) else repr(one)
        for one in code.co_consts
    ]
    return code.co_code, code.co_names, code.co_varnames, constants


@functools.singledispatch
def comparable(value: Any) -> Any:
    """``value`` as lists, dictionaries and strings, without what a database doesn't see."""
    if hasattr(value, "deconstruct"):
        return comparable(value.deconstruct())
    if hasattr(value, "__dict__"):
        return type(value).__qualname__, comparable(vars(value))
    return repr(value)


@comparable.register
def _(value: Field) -> Any:  # type: ignore[type-arg]
    _, path, args, kwargs = value.deconstruct()
    unseen = _unseen_arguments(value, kwargs)
    seen = {name: argument for name, argument in kwargs.items() if name not in unseen}
    if isinstance(seen.get("to"), str):
        seen["to"] = seen["to"].lower()
    return path, comparable(args), comparable(seen)


@comparable.register
def _(value: str) -> str:
    return str(value)


@comparable.register
def _(
    value: type | types.FunctionType | types.BuiltinFunctionType | types.MethodType,
) -> str:
    return f"{value.__module__}.{value.__qualname__}"


@comparable.register
def _(value: functools.partial) -> Any:  # type: ignore[type-arg]
    return comparable((value.func, value.args, value.keywords))


@comparable.register
def _(value: dict) -> Any:  # type: ignore[type-arg]
    seen = {key: item for key, item in value.items() if key != "violation_error_message"}
    return {str(key): comparable(item) for key, item in seen.items()}


@comparable.register
def _(value: list | tuple) -> Any:  # type: ignore[type-arg]
    return [comparable(item) for item in value]


@comparable.register
def _(value: set | frozenset) -> Any:  # type: ignore[type-arg]
    return sorted((comparable(item) for item in value), key=repr)


@comparable.register
def _(value: enum.Enum) -> Any:
    return comparable(value.value)


def _unseen_arguments(field: "Field[Any, Any]", kwargs: Mapping[str, Any]) -> set[str]:
    """The arguments of a field that have no effect on its column."""
    # Django's list of them:
    # https://docs.djangoproject.com/en/stable/howto/custom-model-fields/#field-attributes-not-affecting-database-column-definition
    # db_column is on it, and names the column.
    unseen = set(field.non_db_attrs) - {"db_column"}
    # Since Django 6.1, the database may see to on_delete; it is no function then.
    if not isinstance(kwargs.get("on_delete"), types.FunctionType):
        unseen.discard("on_delete")
    return unseen
