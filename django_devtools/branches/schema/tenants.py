"""
The schemas of tenants: each has tables and a ``django_migrations`` of its own.

As django-tenants has them: https://django-tenants.readthedocs.io/
"""

from collections.abc import Generator
from importlib import import_module
from typing import Any, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder

OWN_ROWS = "SELECT schemaname FROM pg_catalog.pg_tables WHERE tablename = %s"


class Tenant(NamedTuple):
    """A tenant that has a schema."""

    schema: str
    kind: str | None
    """Its type, where tenants have several: by that it is known which apps it has."""


def _tenants(connection: BaseDatabaseWrapper) -> list[Tenant]:
    """The tenants whose schemas were migrated; none if the connection is in one of them."""
    if not _has_tenants(connection) or tenant_of(connection):
        return []
    migrated = _migrated_schemas(connection) - {_shared()}
    return [one for one in _rows(connection) if one.schema in migrated]


def _rows(connection: BaseDatabaseWrapper) -> list[Tenant]:
    """All tenants, whether they have a schema or not."""
    utils = _utils()
    model: Any = utils.get_tenant_model()
    if model._meta.db_table not in connection.introspection.table_names():
        return []
    fields = ["schema_name"]
    if utils.has_multi_type_tenants():
        fields.append(utils.get_multi_type_database_field_name())
    # The table may lack other fields of this checkout's model.
    rows = model._base_manager.using(connection.alias).order_by("schema_name").values_list(*fields)
    return [Tenant(schema, kind[0] if kind else None) for schema, *kind in rows]


def _migrated_schemas(connection: BaseDatabaseWrapper) -> set[str]:
    """Those with a django_migrations. In others, the shared one would be taken for it."""
    with connection.cursor() as cursor:
        cursor.execute(OWN_ROWS, [MigrationRecorder.Migration._meta.db_table])
        return {schema for (schema,) in cursor.fetchall()}


def tenant_of(connection: BaseDatabaseWrapper) -> Tenant | None:
    """The tenant in whose schema a connection works; None if that is the shared one."""
    if not _has_tenants(connection):
        return None
    now: Any = connection
    if now.schema_name == _shared():
        return None
    kind = now.tenant.get_tenant_type() if _utils().has_multi_type_tenants() else None
    return Tenant(now.schema_name, kind)


def work_for(connection: BaseDatabaseWrapper, tenant: Tenant | None) -> None:
    """Have a connection work in the schema of ``tenant`` from now on, or in the shared one."""
    one: Any = connection
    if tenant:
        one.set_schema(tenant.schema, tenant_type=tenant.kind)
    elif _has_tenants(connection):
        one.set_schema_to_public()


def each_tenant(connection: BaseDatabaseWrapper) -> Generator[Tenant]:
    """The tenants of a database; the connection works for each until the next is asked for."""
    found = _tenants(connection)
    try:
        for tenant in found:
            work_for(connection, tenant)
            yield tenant
    finally:
        if found:
            work_for(connection, None)


def name_of(connection: BaseDatabaseWrapper) -> str:
    """The alias of a database, with the schema if that is a tenant's."""
    tenant = tenant_of(connection)
    return f"{connection.alias}:{tenant.schema}" if tenant else connection.alias


def _has_tenants(connection: BaseDatabaseWrapper) -> bool:
    return hasattr(connection, "set_schema")


def _shared() -> str:
    name: str = _utils().get_public_schema_name()
    return name


def _utils() -> Any:
    return import_module("django_tenants.utils")
