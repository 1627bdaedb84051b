"""What the column of a field can hold, and what it may lose when another field takes it over."""

import json
import math
from collections.abc import Callable
from decimal import Decimal
from ipaddress import ip_address
from typing import Any
from uuid import UUID

from django.db.models import NOT_PROVIDED, Field
from django.utils.dateparse import parse_date, parse_datetime, parse_time

INTEGERS = {
    "SmallAutoField": (1, True),
    "SmallIntegerField": (1, True),
    "PositiveSmallIntegerField": (1, False),
    "AutoField": (2, True),
    "IntegerField": (2, True),
    "PositiveIntegerField": (2, False),
    "BigAutoField": (3, True),
    "BigIntegerField": (3, True),
    "PositiveBigIntegerField": (3, False),
}
"""The rank of each integer field's width, and whether it takes negative numbers."""

TEXTS = {"CharField", "SlugField", "FileField", "FilePathField", "TextField"}
"""The fields that hold text, and differ in its length at most."""


def holds(field_type: str, text: str) -> bool:
    """
    Whether a column can hold the value that a text stands for, and Django can read it there.

    ``field_type`` is from `type_of`. How large integers and long texts may be is left out.
    """
    name, *sizes = field_type.split() or [""]
    read = _READERS.get(name)
    try:
        return read is None or read(text, *map(int, sizes)) is not None
    except (ValueError, ArithmeticError):
        return False


def is_positive(field_type: str) -> bool:
    """Whether a field takes integers only, and none that is negative."""
    return field_type in INTEGERS and not INTEGERS[field_type][1]


def type_of(field: "Field[Any, Any]") -> str:
    """What Django calls the type of a field, and of a decimal its digits and places."""
    name = field.get_internal_type()
    if name != "DecimalField":
        return name
    decimal: Any = field
    return f"{name} {decimal.max_digits} {decimal.decimal_places}"


def _read_number(text: str) -> Decimal | None:
    number = Decimal(text)
    return number if number.is_finite() else None


def _read_positive(text: str) -> Decimal | None:
    number = _read_number(text)
    return None if number is None or number < 0 else number


def _read_boolean(text: str) -> bool | None:
    values = {Decimal(0): False, Decimal(1): True}
    return values.get(Decimal(text))


def _read_decimal(text: str, digits: int, places: int) -> Decimal | None:
    number = _read_number(text)
    return None if number is None or abs(number) >= 10 ** (digits - places) else number


def _read_json(text: str) -> str:
    json.loads(text, parse_constant=int)
    return text


_READERS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(INTEGERS, _read_number),
    **dict.fromkeys(filter(is_positive, INTEGERS), _read_positive),
    "BooleanField": _read_boolean,
    "DateField": parse_date,
    "DateTimeField": parse_datetime,
    "DecimalField": _read_decimal,
    "DurationField": _read_number,
    "FloatField": _read_number,
    "GenericIPAddressField": ip_address,
    "JSONField": _read_json,
    "TimeField": parse_time,
    "UUIDField": UUID,
}
"""What reads a text where the database leaves that to Django: None or an error if it can't."""


def narrows(old: "Field[Any, Any]", new: "Field[Any, Any]") -> bool:
    """Whether some values of a column, NULL included, may not survive ``old`` becoming ``new``."""
    return _forbids_null(old, new) or narrows_values(old, new)


def narrows_values(old: "Field[Any, Any]", new: "Field[Any, Any]") -> bool:
    """
    Whether some values other than NULL may not survive ``old`` becoming ``new``.

    Two fields of different types count as narrowing in both directions, unless both are integers
    or both are texts. So do two foreign keys to different models.
    """
    if _is_generated(old):
        return False
    if old.is_relation and new.is_relation:
        return _referenced(old) != _referenced(new)
    old_type, new_type = old.get_internal_type(), new.get_internal_type()
    types = {old_type, new_type}
    if types <= INTEGERS.keys():
        return _narrows_integers(old_type, new_type)
    if types <= TEXTS:
        return _max_length(new) < _max_length(old)
    if old_type != new_type or old.is_relation != new.is_relation:
        return True
    if old_type == "DecimalField":
        return _narrows_decimals(old, new)
    return _narrows_elements(old, new) or _max_length(new) < _max_length(old)


def is_null_when_added(field: "Field[Any, Any]") -> bool:
    """Whether all rows hold NULL in a column right after a migration has added it."""
    has_db_default = getattr(field, "db_default", NOT_PROVIDED) is not NOT_PROVIDED
    is_dated = getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False)
    return field.null and not (field.has_default() or has_db_default or is_dated)


def _is_generated(field: "Field[Any, Any]") -> bool:
    """Whether the database computes the column, so that nothing in it can be lost."""
    return getattr(field, "generated", False)


def _forbids_null(old: "Field[Any, Any]", new: "Field[Any, Any]") -> bool:
    return old.null and not new.null and not _is_generated(old)


def _narrows_integers(old_type: str, new_type: str) -> bool:
    old_rank, old_is_signed = INTEGERS[old_type]
    new_rank, new_is_signed = INTEGERS[new_type]
    loses_negatives = old_is_signed and not new_is_signed
    return new_rank < old_rank or loses_negatives


def _narrows_decimals(old: Any, new: Any) -> bool:
    old_whole_digits: int = old.max_digits - old.decimal_places
    new_whole_digits: int = new.max_digits - new.decimal_places
    loses_places: bool = new.decimal_places < old.decimal_places
    return loses_places or new_whole_digits < old_whole_digits


def _narrows_elements(old: Any, new: Any) -> bool:
    """Whether the elements of an array get narrower."""
    old_element, new_element = getattr(old, "base_field", None), getattr(new, "base_field", None)
    if old_element is None or new_element is None:
        return False
    return narrows(old_element, new_element)


def _referenced(field: Any) -> tuple[str, str | None]:
    """The model and the field that a foreign key refers to, as far as it names them."""
    model = field.remote_field.model
    return str(getattr(model, "_meta", model)).lower(), field.remote_field.field_name


def _max_length(field: "Field[Any, Any]") -> float:
    """The most characters, bytes or elements that a column takes; infinite without a limit."""
    # max_length of a TextField limits forms, and no column.
    if field.max_length is None or field.get_internal_type() == "TextField":
        return math.inf
    return field.max_length
