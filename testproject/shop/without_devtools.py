"""The same shop without the app django_devtools, as before it was installed."""

from shop.settings import *  # noqa: F403
from shop.settings import INSTALLED_APPS as _APPS

INSTALLED_APPS = [app for app in _APPS if app != "django_devtools"]
