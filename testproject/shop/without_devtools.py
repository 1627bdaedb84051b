"""The same shop before it installed django_devtools."""

from shop.settings import *  # noqa: F403
from shop.settings import INSTALLED_APPS as _APPS

INSTALLED_APPS = [app for app in _APPS if app != "django_devtools"]
