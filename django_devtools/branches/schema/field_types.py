"""What the column of a field can hold, and what it may lose when another field takes it over."""

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
"""The rank of each integer field's width, and whether it takes negative numbers."""

TEXTS = {"CharField", "SlugField", "FileField", "FilePathField", "TextField"}
"""The fields that hold text, and differ in its length at most."""


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
