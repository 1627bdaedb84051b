"""The project that is measured: many apps with a long history, in a real git repository.

A history is made of cycles of ten migrations, each of which brings two models into being and
changes them as a project's own migrations do. So a longer history means more migrations, more
models and more foreign keys between apps, as in a project that grew.

Branch ``feature`` adds three migrations to every fourth app, to twelve apps at most.
"""

import os
import subprocess
from pathlib import Path

CYCLE = 10
MOST_FEATURE_APPS = 12

SETTINGS = """\
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
DEBUG = True
SECRET_KEY = "benchmark"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    *(f"app{{number:02}}" for number in range({apps})),
    "django_extensions",
    "django_devtools",
]
DATABASES = {{
    "default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}},
}}
"""

# What the others are measured with: they must not pay for our signal receivers and checks, and
# must not refresh our snapshots.
PLAIN_SETTINGS = """\
from config.settings import *

INSTALLED_APPS.remove("django_devtools")
"""

MANAGE = """\
import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    execute_from_command_line(sys.argv)
"""

MIGRATION = """\
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [{dependencies}]

    operations = [
        {operation},
    ]
"""

ID = '("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, \
verbose_name="ID"))'

# Name and operation of each migration of a cycle, in order.
STEPS = (
    (
        "record{n}",
        """migrations.CreateModel(
            name="Record{n}",
            fields=[
                {id},
                ("name", models.CharField(max_length=100)),
                ("slug", models.SlugField()),
                ("made", models.DateTimeField(auto_now_add=True)),
                ("amount", models.DecimalField(decimal_places=2, max_digits=10)),
                ("is_active", models.BooleanField(default=True)),
                ("notes", models.TextField(blank=True)),
                ("source", models.ForeignKey({source}, null=True, on_delete=models.CASCADE)),
            ],
        )""",
    ),
    (
        "line{n}",
        """migrations.CreateModel(
            name="Line{n}",
            fields=[
                {id},
                ("position", models.PositiveSmallIntegerField()),
                ("quantity", models.IntegerField(default=1)),
                ("price", models.DecimalField(decimal_places=2, max_digits=10)),
                ("record", models.ForeignKey("{app}.record{n}", on_delete=models.CASCADE)),
            ],
        )""",
    ),
    (
        "record{n}_code",
        """migrations.AddField(
            "record{n}", "code", models.CharField(blank=True, default="", max_length=20)
        )""",
    ),
    (
        "alter_record{n}_name",
        'migrations.AlterField("record{n}", "name", models.CharField(max_length=200))',
    ),
    (
        "record{n}_index",
        """migrations.AddIndex(
            "record{n}", models.Index(fields=["name", "made"], name="{app}_record{n}_index")
        )""",
    ),
    (
        "line{n}_note",
        'migrations.AddField("line{n}", "note", models.TextField(blank=True, default=""))',
    ),
    (
        "alter_line{n}_quantity",
        'migrations.AlterField("line{n}", "quantity", models.PositiveIntegerField(default=1))',
    ),
    (
        "line{n}_index",
        """migrations.AddIndex(
            "line{n}", models.Index(fields=["quantity", "price"], name="{app}_line{n}_index")
        )""",
    ),
    (
        "record{n}_priority",
        """migrations.AddField(
            "record{n}", "priority", models.IntegerField(db_index=True, default=0)
        )""",
    ),
    (
        "line{n}_unique",
        """migrations.AddConstraint(
            "line{n}",
            models.UniqueConstraint(fields=["record", "position"], name="{app}_line{n}_unique"),
        )""",
    ),
)

FEATURE_STEPS = (
    (
        "remark",
        """migrations.CreateModel(
            name="Remark",
            fields=[
                {id},
                ("text", models.TextField()),
                ("made", models.DateTimeField(auto_now_add=True)),
                ("record", models.ForeignKey("{app}.record0", on_delete=models.CASCADE)),
            ],
        )""",
    ),
    (
        "record0_colour",
        """migrations.AddField(
            "record0", "colour", models.CharField(blank=True, default="", max_length=20)
        )""",
    ),
    (
        "record0_colour_index",
        """migrations.AddIndex(
            "record0", models.Index(fields=["colour", "made"], name="{app}_colour_index")
        )""",
    ),
)

MODELS = """

class Record{n}(models.Model):
    name = models.CharField(max_length=200)
    slug = models.SlugField()
    made = models.DateTimeField(auto_now_add=True)
    amount = models.DecimalField(max_digits=10, decimal_places=2)
    is_active = models.BooleanField(default=True)
    notes = models.TextField(blank=True)
    source = models.ForeignKey({source}, null=True, on_delete=models.CASCADE)
    code = models.CharField(max_length=20, blank=True, default="")
    priority = models.IntegerField(default=0, db_index=True){feature_field}

    class Meta:
        indexes = [
            models.Index(fields=["name", "made"], name="{app}_record{n}_index"),{feature_index}
        ]


class Line{n}(models.Model):
    record = models.ForeignKey(Record{n}, on_delete=models.CASCADE)
    position = models.PositiveSmallIntegerField()
    quantity = models.PositiveIntegerField(default=1)
    price = models.DecimalField(max_digits=10, decimal_places=2)
    note = models.TextField(blank=True, default="")

    class Meta:
        indexes = [models.Index(fields=["quantity", "price"], name="{app}_line{n}_index")]
        constraints = [
            models.UniqueConstraint(fields=["record", "position"], name="{app}_line{n}_unique"),
        ]
"""

FEATURE_FIELD = """
    colour = models.CharField(max_length=20, blank=True, default="")"""

FEATURE_INDEX = """
            models.Index(fields=["colour", "made"], name="{app}_colour_index"),"""

FEATURE_MODELS = """

class Remark(models.Model):
    record = models.ForeignKey(Record0, on_delete=models.CASCADE)
    text = models.TextField()
    made = models.DateTimeField(auto_now_add=True)
"""


def generate(root: Path, *, apps: int, cycles: int) -> int:
    """Write the project into ``root``, commit it, and return how many migrations ``main`` has.

    ``main`` is left checked out.
    """
    _write(root / "manage.py", MANAGE)
    _write(root / ".gitignore", "__pycache__/\n*.sqlite3\nmanagestate.json\n")
    _write(root / "config" / "__init__.py", "")
    _write(root / "config" / "settings.py", SETTINGS.format(apps=apps))
    _write(root / "config" / "plain.py", PLAIN_SETTINGS)
    for number in range(apps):
        _write_app(root, number, cycles)
    git(root, "init", "--quiet", "--initial-branch=main")
    _commit(root, "Many apps")

    git(root, "checkout", "--quiet", "-b", "feature")
    for number in feature_apps(apps):
        _write_feature(root, number, cycles)
    _commit(root, "Remarks and colours")
    git(root, "checkout", "--quiet", "main")
    return apps * cycles * CYCLE


def feature_apps(apps: int) -> range:
    """Return the numbers of those of ``apps`` that branch ``feature`` changes."""
    return range(0, apps, 4)[:MOST_FEATURE_APPS]


def feature_migrations(apps: int) -> int:
    """Return how many migrations branch ``feature`` adds in a project of ``apps``."""
    return len(FEATURE_STEPS) * len(feature_apps(apps))


def environment() -> dict[str, str]:
    """Return an environment in which git and Python behave the same for everybody.

    Without bytecode files every run would compile thousands of migrations anew, and a subprocess
    that measures its coverage is no longer what a user runs.
    """
    unwanted = ("GIT_", "COV_", "COVERAGE_", "DJANGO_", "PYTHONDONTWRITEBYTECODE", "PYTHONWARN")
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith(unwanted)},
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Benchmark",
        "GIT_AUTHOR_EMAIL": "benchmark@example.com",
        "GIT_COMMITTER_NAME": "Benchmark",
        "GIT_COMMITTER_EMAIL": "benchmark@example.com",
    }


def git(root: Path, *arguments: str) -> None:
    """Run git in the project."""
    subprocess.run(["git", *arguments], cwd=root, env=environment(), check=True)


def _commit(root: Path, message: str) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", message)


def _write_app(root: Path, number: int, cycles: int) -> None:
    app = f"app{number:02}"
    _write(root / app / "__init__.py", "")
    _write(root / app / "migrations" / "__init__.py", "")
    _write(root / app / "models.py", _models(number, cycles))
    previous: tuple[str, str] | None = None
    for index in range(cycles * CYCLE):
        cycle, step = divmod(index, CYCLE)
        dependencies = [repr(previous)] if previous else []
        if step == 0:
            dependencies.append(_source_dependency(number, cycle))
        name = f"{index + 1:04}_{STEPS[step][0].format(n=cycle)}"
        operation = STEPS[step][1].format(n=cycle, app=app, id=ID, source=_source(number, cycle))
        _write_migration(root, app, name, dependencies, operation)
        previous = (app, name)


def _write_feature(root: Path, number: int, cycles: int) -> None:
    app = f"app{number:02}"
    _write(root / app / "models.py", _models(number, cycles, feature=True))
    last = cycles * CYCLE
    previous = f"{last:04}_{STEPS[-1][0].format(n=cycles - 1)}"
    for offset, (suffix, template) in enumerate(FEATURE_STEPS, start=1):
        name = f"{last + offset:04}_{suffix}"
        operation = template.format(app=app, id=ID)
        _write_migration(root, app, name, [repr((app, previous))], operation)
        previous = name


def _write_migration(
    root: Path, app: str, name: str, dependencies: list[str], operation: str
) -> None:
    text = MIGRATION.format(dependencies=", ".join(dependencies), operation=operation)
    _write(root / app / "migrations" / f"{name}.py", text)


def _models(number: int, cycles: int, *, feature: bool = False) -> str:
    app = f"app{number:02}"
    text = "from django.conf import settings\nfrom django.db import models\n"
    for cycle in range(cycles):
        changed = feature and cycle == 0
        text += MODELS.format(
            n=cycle,
            app=app,
            source=_source(number, cycle),
            feature_field=FEATURE_FIELD if changed else "",
            feature_index=FEATURE_INDEX.format(app=app) if changed else "",
        )
    return text + FEATURE_MODELS if feature else text


def _source(number: int, cycle: int) -> str:
    """Return what the records of an app refer to: those of the app before it."""
    return f'"app{number - 1:02}.record{cycle}"' if number else "settings.AUTH_USER_MODEL"


def _source_dependency(number: int, cycle: int) -> str:
    if not number:
        return "migrations.swappable_dependency(settings.AUTH_USER_MODEL)"
    name = f"{cycle * CYCLE + 1:04}_{STEPS[0][0].format(n=cycle)}"
    return repr((f"app{number - 1:02}", name))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
