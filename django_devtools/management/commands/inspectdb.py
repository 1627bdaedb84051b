"""Django's own command, without the tables of this app."""

from collections.abc import Iterable
from importlib import import_module
from typing import Any

from django.apps import apps

from django_devtools.conf import TABLE_PREFIX

# GeoDjango has a command of its own.
_PACKAGE = "contrib.gis" if apps.is_installed("django.contrib.gis") else "core"
_module = import_module(f"django.{_PACKAGE}.management.commands.inspectdb")


class Command(_module.Command):  # type: ignore[misc, name-defined]
    def handle_inspection(self, options: dict[str, Any]) -> Iterable[str]:
        wanted = options.get("table_name_filter") or (lambda name: True)

        def is_not_ours(name: str) -> bool:
            return not name.startswith(TABLE_PREFIX) and wanted(name)

        if not options["table"]:
            options["table_name_filter"] = is_not_ours
        lines: Iterable[str] = super().handle_inspection(options)
        return lines
