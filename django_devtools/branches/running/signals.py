"""Sends ``pre_migrate`` and ``post_migrate`` as Django's own ``migrate`` does."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module

from django.apps import apps
from django.core.management.sql import emit_post_migrate_signal, emit_pre_migrate_signal
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration
from django.db.migrations.state import ModelState, ProjectState
from django.utils.module_loading import module_has_submodule

from django_devtools.branches.progress import Progress

Steps = list[tuple[Migration, bool]]
"""The migrations in order, and whether each is unapplied."""

_ours: ContextVar[bool] = ContextVar("_ours", default=False)


def are_ours() -> bool:
    """Whether the signal that is being received was sent by a switch, and not by ``migrate``."""
    return _ours.get()


def send_pre_migrate(
    connection: BaseDatabaseWrapper,
    steps: Steps,
    state: ProjectState,
    progress: Progress,
    interactive: bool,
) -> None:
    """Announce what is about to run. Receivers may insert operations into the migrations."""
    for app_config in apps.get_app_configs():
        # As `migrate` does: receivers of the signals are there.
        if module_has_submodule(app_config.module, "management"):
            import_module(".management", app_config.name)
    with _marked():
        emit_pre_migrate_signal(
            progress.verbosity,
            interactive,
            connection.alias,
            stdout=progress.stdout,
            apps=state.apps,
            plan=steps,
        )


def send_post_migrate(
    connection: BaseDatabaseWrapper,
    steps: Steps,
    state: ProjectState,
    progress: Progress,
    interactive: bool,
) -> None:
    """Announce what has run. ``state`` is the one after it."""
    state.clear_delayed_apps_cache()
    rendered = state.apps
    # As `migrate` does: only now do models of apps without migrations know their relations.
    with rendered.bulk_update():
        keys = [(model.app_label, model.name_lower) for model in rendered.real_models]
        for key in keys:
            rendered.unregister_model(*key)
    rendered.render_multiple([ModelState.from_model(apps.get_model(*key)) for key in keys])
    with _marked():
        emit_post_migrate_signal(
            progress.verbosity,
            interactive,
            connection.alias,
            stdout=progress.stdout,
            apps=rendered,
            plan=steps,
        )


@contextmanager
def _marked() -> Iterator[None]:
    token = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(token)
