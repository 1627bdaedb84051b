from django.apps import AppConfig


class DjangoDevtoolsConfig(AppConfig):
    name = "django_devtools"
    verbose_name = "Django devtools"
