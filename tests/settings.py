"""For tests and type checks that need Django configured and no project of their own."""

SECRET_KEY = "only for tests"
INSTALLED_APPS = ["django.contrib.contenttypes", "django_devtools"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
RQ_QUEUES = {
    "default": {"HOST": "localhost", "PORT": 6379},
    "high": {"HOST": "localhost", "PORT": 6379},
    "elsewhere": {"URL": "redis://localhost:6379/1"},
}
