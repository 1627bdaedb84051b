from typing import Any

from django.apps import AppConfig
from django.core.signals import setting_changed
from django.db.models.signals import post_migrate, pre_migrate


class DjangoDevtoolsConfig(AppConfig):
    name = "django_devtools"
    verbose_name = "Django devtools"

    def ready(self) -> None:
        from django_devtools import checks, extras

        checks.register_all()
        pre_migrate.connect(_before_migrate)
        post_migrate.connect(_after_migrate)
        if extras.has_jobs():
            self._ready_for_jobs()

    def _ready_for_jobs(self) -> None:
        from django_devtools.jobs import checks
        from django_devtools.jobs.redis import stand_in

        checks.register_all()
        stand_in()
        setting_changed.connect(_follow_settings)


def _follow_settings(setting: str, **signal: Any) -> None:
    from django_devtools.jobs.redis import SETTINGS, stand_in

    if setting in SETTINGS:
        stand_in()


def _before_migrate(**signal: Any) -> None:
    from django_devtools.branches.receivers import before_migrate

    before_migrate(**signal)


def _after_migrate(**signal: Any) -> None:
    from django_devtools.branches.receivers import after_migrate

    after_migrate(**signal)
