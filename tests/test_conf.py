import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.exceptions import ImproperlyConfigured

from django_devtools import conf
from django_devtools.conf import in_tests, option, project_root, settings_file

ROOT = Path(__file__).parents[1]


def test_option(settings: Any) -> None:
    assert option("SNAPSHOT_FILE") is None
    settings.DJANGO_DEVTOOLS = {"SNAPSHOT_FILE": "branches.json"}
    assert option("SNAPSHOT_FILE") == "branches.json"


@pytest.mark.parametrize("value", [None, "branches.json", ["SNAPSHOT_FILE"]])
def test_options_that_are_no_dict(settings: Any, value: Any) -> None:
    settings.DJANGO_DEVTOOLS = value
    with pytest.raises(ImproperlyConfigured) as caught:
        option("SNAPSHOT_FILE")
    assert str(caught.value) == f"DJANGO_DEVTOOLS must be a dict, not {value!r}."


def test_an_option_of_a_wrong_type(settings: Any) -> None:
    settings.DJANGO_DEVTOOLS = {"SNAPSHOT_FILE": 1}
    with pytest.raises(ImproperlyConfigured) as caught:
        option("SNAPSHOT_FILE")
    assert str(caught.value) == (
        "DJANGO_DEVTOOLS['SNAPSHOT_FILE'] must be of type str or Path, not 1."
    )


@pytest.mark.parametrize(
    ("name", "is_test"),
    [
        ("shop", False),
        ("shop_of_a_branch", False),  # as a project may choose it when its apps are ready
        ("test_shop", True),
        ("test_shop_1", True),
        ("shop.test", True),
        ("file:memorydb_default?mode=memory&cache=shared", True),
    ],
)
def test_databases_of_tests(
    monkeypatch: pytest.MonkeyPatch, settings: Any, name: str, is_test: bool
) -> None:
    monkeypatch.delattr("django.core.mail.outbox")
    monkeypatch.setattr(conf, "_names", {"default": "shop"})
    default = settings.DATABASES["default"]
    monkeypatch.setitem(default, "NAME", name)
    monkeypatch.setitem(default, "TEST", {"NAME": "shop.test"})
    assert in_tests() is is_test


def test_settings_module() -> None:
    assert settings_file() == ROOT / "tests/settings.py"
    assert project_root() == ROOT


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> LazySettings:
    """Settings that were configured by hand."""
    settings = LazySettings()
    settings.configure()
    monkeypatch.setattr(conf, "settings", settings)
    return settings


def test_settings_configured_by_hand(
    configured: LazySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert settings_file() is None
    assert project_root() == tmp_path


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("settings", "settings.py"),
        ("config.settings", "config/settings.py"),
        ("config.settings", "config/settings/__init__.py"),
        ("config.settings.local", "config/settings/local.py"),
    ],
)
def test_where_manage_py_is(
    configured: LazySettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    file: str,
) -> None:
    configured.SETTINGS_MODULE = name
    module = ModuleType(name)
    module.__file__ = str(tmp_path / file)
    monkeypatch.setitem(sys.modules, name, module)

    assert settings_file() == tmp_path / file
    assert project_root() == tmp_path


def test_settings_that_were_not_imported_yet(
    configured: LazySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fresh_settings.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    configured.SETTINGS_MODULE = "fresh_settings"
    assert project_root() == tmp_path
    monkeypatch.delitem(sys.modules, "fresh_settings")


def test_settings_without_a_file(
    configured: LazySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured.SETTINGS_MODULE = "made_up"
    monkeypatch.setitem(sys.modules, "made_up", ModuleType("made_up"))
    monkeypatch.chdir(tmp_path)
    assert settings_file() is None
    assert project_root() == tmp_path
