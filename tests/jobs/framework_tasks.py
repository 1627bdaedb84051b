"""Tasks of Django's task framework, on the backend of this app."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import django
from django.test import override_settings

BACKEND = "django_devtools.jobs.tasks.RQBackend"
TASKS: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": BACKEND},
    "short": {"BACKEND": BACKEND, "QUEUES": ["high"], "OPTIONS": {"timeout": 5}},
}

framework: Any = import_module("django.tasks" if django.VERSION >= (6, 0) else "django_tasks")
signals: Any = import_module(f"{framework.__name__}.signals")
task: Callable[..., Callable[..., Any]] = framework.task

done: list[Any] = []

with override_settings(TASKS=TASKS):

    @task()
    def total(*numbers: int) -> int:
        done.append(numbers)
        return sum(numbers)

    @task(queue_name="high")
    def fail(message: str) -> None:
        raise LookupError(message)

    @task(queue_name="high", backend="short")
    async def greet(name: str) -> str:
        return f"Hello {name}"

    @task(takes_context=True)
    def attempt(context: Any, extra: str = "") -> list[Any]:
        return [context.attempt, context.task_result.status, extra]

    @task()
    def unserializable() -> object:
        return object()
