"""Texts whose imports are gone, compared with what they read like now."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db.migrations import Migration

from django_devtools.branches.schema.operations import same_schema
from django_devtools.branches.sources.loader import Source, UnusableSource, load
from django_devtools.branches.sources.moved import StandIn, load_moved

KEY = ("shop", "0003_colour")
FIELD = """
class ColourField(models.CharField):
    '''A colour.'''
    def db_type(self, connection):
        return "varchar(7)"
"""
MODELS = "from django.db import models\n"
MIGRATION = """
from django.db import migrations, models
{imports}

class Migration(migrations.Migration):
    operations = [{operation}]
"""
ADD = 'migrations.AddField("product", "colour", {}())'


@pytest.fixture(autouse=True)
def new_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The field is in the module new_fields now."""
    (tmp_path / "new_fields.py").write_text(MODELS + FIELD.replace("A colour", "One colour"))
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("new_fields", None)


def source(imports: str, operation: str) -> Source:
    text = MIGRATION.format(imports=imports, operation=operation)
    return Source("shop.migrations.0003_colour", text.encode(), "snapshot")


def is_same(old: Source, new: Source, module: str = MODELS + FIELD) -> bool:
    """Whether the texts do the same. ``module`` is what the modules of the old one read like."""
    after = load(KEY, new)
    return same_schema(load_moved(KEY, old, new, lambda name: module.encode()), after)


NEW = source("from new_fields import ColourField", ADD.format("ColourField"))


@pytest.mark.parametrize(
    ("imports", "name"),
    [
        ("from gone.fields import ColourField", "ColourField"),
        ("from gone.fields import ColourField as Colour", "Colour"),
        ("import gone.fields", "gone.fields.ColourField"),
        ("import gone.fields as fields", "fields.ColourField"),
        ("from new_fields import gone\nimport gone.fields", "gone.fields.ColourField"),
    ],
)
def test_a_class_that_has_moved_is_the_same(imports: str, name: str) -> None:
    assert is_same(source(imports, ADD.format(name)), NEW)


def test_the_new_one_may_be_found_in_a_module() -> None:
    old = source("from gone.fields import ColourField", ADD.format("ColourField"))
    assert is_same(old, source("import new_fields", ADD.format("new_fields.ColourField")))


@pytest.mark.parametrize("module", [MODELS, MODELS + FIELD.replace("7", "9"), "not Python"])
def test_a_class_with_another_definition_is_another_one(module: str) -> None:
    old = source("from gone.fields import ColourField", ADD.format("ColourField"))
    assert not is_same(old, NEW, module)


def test_what_a_database_does_not_see_may_be_gone() -> None:
    create = 'migrations.CreateModel("Product", [], managers=[("objects", {}())])'
    old = source("import gone.managers", create.format("gone.managers.Manager"))
    new = source("from django.db.models import Manager", create.format("Manager"))
    assert is_same(old, new)


def test_code_inside_functions_is_not_touched() -> None:
    function = "def forwards(apps, schema_editor):\n    import gone.fields\n"
    old = source(f"from .gone import x\n{function}", ADD.format("x"))
    with pytest.raises(UnusableSource, match="No module named 'shop'"):
        load_moved(KEY, old, NEW, lambda name: None)
    old = source(function, "migrations.RunPython(forwards)")
    assert isinstance(load_moved(KEY, old, NEW, lambda name: None), Migration)


def test_a_stand_in_has_no_protocols() -> None:
    gone = StandIn("gone.Field")(1).of_something
    assert gone.name == "gone.Field().of_something"
    assert not hasattr(gone, "deconstruct")
    assert not hasattr(gone, "__len__")
