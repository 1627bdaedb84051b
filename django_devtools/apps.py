from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.signals import setting_changed
from django.db.models.signals import post_migrate, pre_migrate

from django_devtools import extras, startup


class DjangoDevtoolsConfig(AppConfig):
    name = "django_devtools"
    verbose_name = "Django devtools"

    def __init__(self, app_name: str, app_module: Any) -> None:
        super().__init__(app_name, app_module)
        # Before models are imported, and before any ready(): what these ask of a Redis is for the
        # stand-in, too.
        if extras.has_jobs():
            _stand_in()

    def ready(self) -> None:
        from django_devtools import checks, conf

        conf.note_databases()
        checks.register_all()
        pre_migrate.connect(_before_migrate)
        post_migrate.connect(_after_migrate)
        if extras.has_jobs():
            checks.register_jobs()
            setting_changed.connect(_follow_settings)
            _run_jobs()


def _stand_in() -> None:
    # Most processes want no stand-in, and have nothing to do with jobs.
    if startup.wants_fake and extras.can_fake():
        from django_devtools.jobs.isolation import fake_setting

        startup.loading.enter_context(fake_setting())
    elif getattr(settings, "FAKE_REDIS", False):
        from django_devtools.jobs.redis import stand_in

        stand_in()


def _run_jobs() -> None:
    # For those who have no Redis, and so no worker.
    if getattr(settings, "FAKE_REDIS", False):
        from django_devtools.jobs import background

        if background.is_wanted():
            background.start()


def _follow_settings(setting: str, **signal: Any) -> None:
    from django_devtools.jobs.redis import SETTINGS, stand_in

    if setting in SETTINGS:
        stand_in()


def _before_migrate(**signal: Any) -> None:
    if _is_from_migrate():
        from django_devtools.branches.receivers import before_migrate

        before_migrate(**signal)


def _after_migrate(**signal: Any) -> None:
    if _is_from_migrate():
        from django_devtools.branches.receivers import after_migrate

        after_migrate(**signal)


def _is_from_migrate() -> bool:
    """Whether a signal comes from ``migrate``: a switch saves and restores without it."""
    from django_devtools.branches.running import signals

    return not signals.are_ours()
