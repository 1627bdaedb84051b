"""Does what a command does for the tenants of a database, too, and says for which."""

import re
import shlex
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

from django.core.management.base import OutputWrapper
from django.db import connections

from django_devtools.branches.schema.tenants import Tenant, each_tenant

if TYPE_CHECKING:
    from .base import BranchesCommand

COMMAND = re.compile(r"\bmanage\.py (dbshell[^`]*`|migrat[a-z_]+)")


def work_for_all(
    command: "BranchesCommand", options: dict[str, Any], work: Callable[[], None]
) -> None:
    """
    Do ``work`` for the databases of ``command``, and then for each tenant that has a schema.

    If it fails for one, those after it are left alone, and what Django writes of that names it.
    """
    work()
    stdout, stderr = command.stdout, command.stderr
    for alias in options["databases"] or connections:
        with closing(each_tenant(connections[alias])) as tenants:
            for tenant in tenants:
                command.tenants_database = connections[alias]
                command.stdout = _speaking_of(tenant, stdout)
                command.stderr = _speaking_of(tenant, stderr)
                try:
                    work()
                finally:
                    command.stdout = stdout
    command.tenants_database, command.stderr = None, stderr


def _speaking_of(tenant: Tenant, output: OutputWrapper) -> OutputWrapper:
    spoken = OutputWrapper(cast(Any, _Prefixed(output, tenant)))
    spoken.style_func = output.style_func
    return spoken


class _Prefixed:
    """An output whose lines name the tenant, as those of django-tenants do, and its commands."""

    def __init__(self, output: OutputWrapper, tenant: Tenant) -> None:
        self._output, self._schema = output, tenant.schema
        self._is_new_line = True

    def write(self, text: str) -> None:
        text = COMMAND.sub(self._for_tenant, text)
        for line in text.splitlines(keepends=True):
            prefix = f"{self._schema}: " if self._is_new_line else ""
            self._output.write(prefix + line, str, ending="")
            self._is_new_line = line.endswith("\n")

    def _for_tenant(self, found: re.Match[str]) -> str:
        """A command of manage.py as it is typed for the tenant."""
        if found[1].startswith("dbshell"):  # It knows of no tenants.
            return f"{found[0]}, after `SET search_path TO {self._schema};`"
        option = shlex.quote(f"--schema={self._schema}")
        return f"manage.py tenant_command {found[1]} {option}"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._output, name)
