import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import Error, run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from django_devtools.jobs import async_job
from django_devtools.jobs.checks import WORKERS, about_queues
from tests.jobs.tasks import Invoice, add, multiply
from tests.project import Project


def errors(deploy: bool = False) -> list[Any]:
    """What our checks find."""
    found = run_checks(include_deployment_checks=deploy)
    return [message for message in found if str(message.id).startswith("django_devtools.E1")]


def test_all_is_well() -> None:
    assert errors() == []


def test_unknown_queue(registry: None) -> None:
    async_job("hgih")(multiply)
    async_job("low", timeout=60)(add)
    assert errors() == [
        Error(
            "tests.jobs.tasks.add uses the queue 'low', which is not in RQ_QUEUES.",
            hint="RQ_QUEUES has: default, elsewhere, high.",
            id="django_devtools.E101",
        ),
        Error(
            "tests.jobs.tasks.multiply uses the queue 'hgih', which is not in RQ_QUEUES.",
            hint="RQ_QUEUES has: default, elsewhere, high.",
            id="django_devtools.E101",
        ),
    ]


def test_unknown_queue_of_a_method(settings: Any) -> None:
    settings.RQ_QUEUES = {"default": settings.RQ_QUEUES["default"]}
    assert (
        Error(
            "tests.jobs.tasks.Invoice.remind uses the queue 'high', which is not in RQ_QUEUES.",
            hint="RQ_QUEUES has: default.",
            id="django_devtools.E101",
        )
        in errors()
    )


def test_no_queue(settings: Any) -> None:
    del settings.RQ_QUEUES
    found = errors()
    assert found
    assert {error.hint for error in found} == {"RQ_QUEUES has: no queue."}


def test_queue_of_a_single_call_is_not_checked() -> None:
    Invoice.write.using("hgih")
    assert errors() == []


def test_unknown_queue_of_a_task_next_to_views(
    registry: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    (tmp_path / "views_of_a_shop.py").write_text(
        "from django_devtools.jobs import async_job\n"
        "@async_job('hgih')\n"
        "def greet(name): ...\n"
        "urlpatterns = []\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    settings.ROOT_URLCONF = "views_of_a_shop"
    [found] = about_queues()
    assert found.msg == ("views_of_a_shop.greet uses the queue 'hgih', which is not in RQ_QUEUES.")
    monkeypatch.delitem(sys.modules, "views_of_a_shop")


STARTS = [["manage.py", name, "default"] for name in WORKERS]


@pytest.mark.parametrize("arguments", STARTS, ids=" ".join)
def test_worker_on_a_fake(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", arguments)
    assert errors() == [
        Error(
            f"{arguments[1]} has nothing to do: FAKE_REDIS is on, and what other processes "
            "enqueue stays in their own memory.",
            hint="Set FAKE_REDIS = False, or run the jobs in this process with "
            "django_rq.get_worker().work(burst=True).",
            id="django_devtools.E102",
        )
    ]


@pytest.mark.parametrize("arguments", STARTS, ids=" ".join)
def test_worker_on_a_real_redis(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.FAKE_REDIS = False
    monkeypatch.setattr(sys, "argv", arguments)
    assert errors() == []


@pytest.mark.parametrize("arguments", [["manage.py"], ["manage.py", "test", "rqworker"], []])
def test_other_commands_on_a_fake(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", arguments)
    assert errors() == []


IN_PRODUCTION = Error(
    "FAKE_REDIS is on: jobs are kept in memory, and no worker will ever run them.",
    hint="Set FAKE_REDIS = False.",
    id="django_devtools.E103",
)


def test_production() -> None:
    assert errors(deploy=True) == [IN_PRODUCTION]


def test_production_on_a_real_redis(settings: Any) -> None:
    settings.FAKE_REDIS = False
    assert errors(deploy=True) == []


def test_command() -> None:
    call_command("check")
    with pytest.raises(SystemCheckError, match=r"\(django_devtools.E103\) FAKE_REDIS is on"):
        call_command("check", deploy=True)


@pytest.fixture
def shop(make_project: Callable[..., Project]) -> Project:
    """A project on a fake."""
    project = make_project(git=False)
    project.settings("""
        INSTALLED_APPS += ["django_rq"]
        FAKE_REDIS = True
        RQ_QUEUES = {"default": {"HOST": "localhost", "PORT": 6379}}
    """)
    return project


@pytest.mark.parametrize("arguments", [["--burst"], [], ["--with-scheduler", "default"]])
def test_process_of_a_worker(shop: Project, arguments: list[str]) -> None:
    refused = shop.manage("rqworker", *arguments, status=1)
    assert refused.stdout == ""
    assert refused.stderr == (
        "SystemCheckError: System check identified some issues:\n"
        "\n"
        "ERRORS:\n"
        "?: (django_devtools.E102) rqworker has nothing to do: FAKE_REDIS is on, and what other "
        "processes enqueue stays in their own memory.\n"
        "\tHINT: Set FAKE_REDIS = False, or run the jobs in this process with "
        "django_rq.get_worker().work(burst=True).\n"
    )


@pytest.mark.parametrize("command", ["rqworker-pool", "rqcron"])
def test_processes_of_other_workers(shop: Project, command: str) -> None:
    refused = shop.manage(command, "default", status=1)
    assert f"(django_devtools.E102) {command} has nothing to do" in refused.stderr


def test_command_of_a_worker_within_another_process(shop: Project) -> None:
    shop.write(
        "config/tasks.py",
        """
        from django_devtools.jobs import async_job

        @async_job
        def greet(name):
            print(f"Hello {name}")
        """,
    )
    output = shop.python("""
        from django.core.management import call_command
        from config.tasks import greet

        greet.delay("Ada")
        call_command("rqworker", burst=True, verbosity=0)
    """)
    assert output == "Hello Ada"


def test_process_of_a_worker_on_a_real_redis(shop: Project, real_redis_url: str) -> None:
    shop.settings(f"""
        FAKE_REDIS = False
        RQ_QUEUES = {{"default": {{"URL": {real_redis_url!r}}}}}
    """)
    shop.manage("rqworker", "--burst", "--verbosity=0")


def test_process_of_a_deployment(shop: Project) -> None:
    shop.manage("check")
    refused = shop.manage("check", "--deploy", status=1)
    assert (
        "?: (django_devtools.E103) FAKE_REDIS is on: jobs are kept in memory, and no worker "
        "will ever run them.\n"
        "\tHINT: Set FAKE_REDIS = False.\n"
    ) in refused.stderr
    shop.settings("FAKE_REDIS = False")
    shop.manage("check", "--deploy")


def test_process_that_names_an_unknown_queue(shop: Project) -> None:
    shop.app("shop", "import shop.tasks")
    shop.write(
        "shop/tasks.py",
        """
        from django_devtools.jobs import async_job

        @async_job("hgih")
        def greet(name): ...
        """,
    )
    refused = shop.manage("check", status=1)
    assert (
        "?: (django_devtools.E101) shop.tasks.greet uses the queue 'hgih', which is not in "
        "RQ_QUEUES.\n"
        "\tHINT: RQ_QUEUES has: default.\n"
    ) in refused.stderr
