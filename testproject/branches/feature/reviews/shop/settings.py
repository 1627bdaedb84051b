"""Settings of a small shop, for work by hand and for the tour. Not for production."""

from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = True
SECRET_KEY = "the shop sells nothing"
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
ROOT_URLCONF = "shop.urls"
USE_TZ = True

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django_devtools",
    "customers",
    "catalogue",
    "orders",
    "billing",
    "reviews",
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": BASE_DIR / "db.sqlite3",
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "customers.Customer"

MAILERS = {"default": {"BACKEND": "django.core.mail.backends.console.EmailBackend"}}

RQ_QUEUES = {"default": {"HOST": "localhost", "PORT": 6379}}
FAKE_REDIS = True
