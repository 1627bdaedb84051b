"""What values the column of a field takes: which it loses when its field changes."""

import math
from typing import Any

from django.db.models import NOT_PROVIDED, Field

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
TEXTS = {"CharField", "SlugField", "FileField", "FilePathField", "TextField"}


def narrows(old: "Field[Any, Any]", new: "Field[Any, Any]", null: bool = False) -> bool:
    """
    Whether some values of a column may not survive that ``old`` becomes ``new``.

    ``null`` leaves aside that NULL may not.
    """
    if getattr(old, "generated", False):
        return False
    if old.null and not new.null and not null:
        return True
    if old.is_relation and new.is_relation:
        return _target(old) != _target(new)
    old_type, new_type = old.get_internal_type(), new.get_internal_type()
    if old_type in INTEGERS and new_type in INTEGERS:
        (old_rank, old_signed), (new_rank, new_signed) = INTEGERS[old_type], INTEGERS[new_type]
        return new_rank < old_rank or (old_signed and not new_signed)
    if old_type in TEXTS and new_type in TEXTS:
        return _length(new) < _length(old)
    if old_type != new_type or old.is_relation or new.is_relation:
        return True
    if old_type == "DecimalField":
        return _digits(new)[0] < _digits(old)[0] or _digits(new)[1] < _digits(old)[1]
    inner, new_inner = getattr(old, "base_field", None), getattr(new, "base_field", None)
    if inner and new_inner and narrows(inner, new_inner):
        return True
    return _length(new) < _length(old)


def is_null_when_added(field: "Field[Any, Any]") -> bool:
    db_default = getattr(field, "db_default", NOT_PROVIDED)
    is_dated = getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False)
    return field.null and not (field.has_default() or is_dated) and db_default is NOT_PROVIDED


def _target(field: Any) -> tuple[str, str | None]:
    """What a foreign key refers to, as far as it says so itself."""
    to = field.remote_field.model
    return str(getattr(to, "_meta", to)).lower(), field.remote_field.field_name


def _length(field: "Field[Any, Any]") -> float:
    length = field.max_length
    is_bounded = length is not None and field.get_internal_type() != "TextField"
    return float(length) if is_bounded and length is not None else math.inf


def _digits(field: Any) -> tuple[int, int]:
    """How many digits there may be before and after the point."""
    return field.max_digits - field.decimal_places, field.decimal_places
