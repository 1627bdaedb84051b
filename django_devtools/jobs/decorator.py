"""``@async_job``: a function that RQ workers can run, bound to its queue at each call."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from functools import wraps
from typing import (
    TYPE_CHECKING,
    Any,
    ParamSpec,
    Protocol,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    overload,
    runtime_checkable,
)

from django_devtools.extras import is_older, version_of
from django_devtools.jobs.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis
    from rq import Callback, Queue, Repeat, Retry
    from rq.job import Job
    from rq.rate_limit import RateLimit
    from rq.types import JobDependencyType
    from rq.webhook import Webhook

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

DEFAULT_QUEUE = "default"

# What RQ takes out of the arguments of a call.
CALL_OPTIONS = ("at_front", "depends_on", "job_id")

# Every task by its dotted name.
tasks: dict[str, "Task[..., Any]"] = {}


# The versions of RQ that some options came with.
SINCE = {"rate_limit": (3, 0), "unique": (2, 8), "webhooks": (2, 10)}


class Options(TypedDict, total=False):
    """
    Those of RQ's ``job`` decorator and of ``Queue.enqueue``.

    Timeouts and times to live are in seconds, or strings such as "1h", and -1 is no limit.
    Without them, those of the queue hold, and else RQ's.
    """

    at_front: bool
    connection: "Redis | None"
    depends_on: "JobDependencyType | None"
    description: str | None
    failure_ttl: int | str | None
    group_id: str | None
    meta: dict[Any, Any] | None
    on_failure: "Callback | Callable[..., Any] | None"
    on_stopped: "Callback | Callable[..., Any] | None"
    on_success: "Callback | Callable[..., Any] | None"
    queue_class: "type[Queue] | str | None"
    rate_limit: "RateLimit | None"
    repeat: "Repeat | None"
    result_ttl: int | str | None
    retry: "Retry | None"
    timeout: int | str | None
    ttl: int | str | None
    unique: bool
    webhooks: "Sequence[Webhook] | None"


class JobOptions(Options, total=False):
    """``Options``, and what only a single job can have."""

    job_id: str | None


@runtime_checkable
class Task(Protocol[P, R_co]):
    """
    A function that workers can run, too. ``isinstance`` tells it from others.

    The arguments of a job are what they are at the call: changing them afterwards changes
    nothing. Next to the function's own, ``delay`` and its kin take RQ's ``at_front``,
    ``depends_on`` and ``job_id``, unless the function has a parameter of that name; type
    checkers know of them by ``using``.

    All of them return the ``rq.job.Job``, with its id, also where it waits until the transaction
    is committed (see COMMIT_MODE of django-rq). They raise KeyError when RQ_QUEUES has no
    such queue, and redis.exceptions.ConnectionError when its Redis does not answer.
    """

    __name__: str
    __qualname__: str
    queue: str
    options: Mapping[str, Any]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Run the function here and now."""
        ...

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> "Job":
        """Put a job for a call with these arguments into the queue."""
        ...

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> "Job":
        """The same as ``delay``, under the name that RQ has for it."""
        ...

    def enqueue_in(self, delay: timedelta, /, *args: P.args, **kwargs: P.kwargs) -> "Job":
        """Schedule a job for ``delay`` after this call."""
        ...

    def enqueue_at(self, when: datetime, /, *args: P.args, **kwargs: P.kwargs) -> "Job":
        """Schedule a job; a ``when`` without a time zone is in the system's, as for RQ."""
        ...

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> "Job":
        """``delay`` for asynchronous code."""
        ...

    def using(self, queue: str | None = None, **options: Unpack[JobOptions]) -> "Task[P, R_co]":
        """
        The same task with another queue, or other options.

        Raises TypeError for an unknown option.
        """
        ...


@overload
def async_job(queue: Callable[P, R], /) -> Task[P, R]: ...


@overload
def async_job(
    queue: str = DEFAULT_QUEUE, **options: Unpack[Options]
) -> Callable[[Callable[P, R]], Task[P, R]]: ...


def async_job(
    queue: str | Callable[..., Any] = DEFAULT_QUEUE, **options: Any
) -> Task[..., Any] | Callable[[Callable[..., Any]], Task[..., Any]]:
    """
    Make a task of a function: ``@async_job``, or ``@async_job("high", timeout=60)``.

    ``queue`` is a name in RQ_QUEUES, looked up at each call; ``options`` are those of RQ's own
    ``job`` decorator. Raises TypeError for an unknown option, and for what a worker could not
    import by its dotted name: functions inside of functions, methods of instances, lambdas.
    """
    if not isinstance(queue, str):
        return _decorated(queue, DEFAULT_QUEUE, {})
    _refuse_unknown(options, Options)
    return lambda func: _decorated(func, queue, options)


def dotted_name(func: Any) -> str:
    """The name under which workers import a function."""
    return f"{func.__module__}.{func.__qualname__}"


@dataclass(frozen=True)
class _Task:
    """What a task does beside being called."""

    func: Callable[..., Any]
    queue: str
    options: dict[str, Any]
    call_options: frozenset[str]

    def delay(self, /, *args: Any, **kwargs: Any) -> "Job":
        return self._enqueue(None, args, kwargs)

    def enqueue_in(self, delay: timedelta, /, *args: Any, **kwargs: Any) -> "Job":
        if not isinstance(delay, timedelta):
            raise TypeError(f"enqueue_in takes a timedelta first, not {delay!r}.")
        return self._enqueue(delay, args, kwargs)

    def enqueue_at(self, when: datetime, /, *args: Any, **kwargs: Any) -> "Job":
        if not isinstance(when, datetime):
            raise TypeError(f"enqueue_at takes a datetime first, not {when!r}.")
        return self._enqueue(when, args, kwargs)

    async def adelay(self, /, *args: Any, **kwargs: Any) -> "Job":
        return await in_thread(self._enqueue, None, args, kwargs)

    def using(self, queue: str | None = None, **options: Any) -> Task[..., Any]:
        _refuse_unknown(options, JobOptions)
        return _made(self.func, queue or self.queue, self.options | options)

    def _enqueue(
        self, when: datetime | timedelta | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> "Job":
        # Not before the first job, so that django.setup() stays fast.
        from django_devtools.jobs.enqueueing import enqueue

        options = self.options
        if given := {name: kwargs.pop(name) for name in self.call_options & kwargs.keys()}:
            # Nothing given says nothing; at_front=False does.
            said = {key: value for key, value in given.items() if value or value is False}
            options = options | said
        return enqueue(self.func, self.queue, options, args, kwargs, when)


def _decorated(func: Any, queue: str, options: dict[str, Any]) -> Task[..., Any]:
    if isinstance(func, staticmethod | classmethod):
        inner = func.__func__
        _refuse_unimportable(inner)
        task = _made(inner, queue, options)
        tasks[dotted_name(inner)] = task
        return cast(Task[..., Any], type(func)(task))
    _refuse_unimportable(func)
    if "." in func.__qualname__ and next(iter(inspect.signature(func).parameters), "") == "self":
        raise TypeError(
            f"{dotted_name(func)} can't be a job: a worker has no instance to call it on. "
            "Make it a static method, a class method or a function."
        )
    task = tasks[dotted_name(func)] = _made(func, queue, options)
    return task


def _made(func: Callable[..., Any], queue: str, options: dict[str, Any]) -> Task[..., Any]:
    if inspect.iscoroutinefunction(func):

        @wraps(func)
        async def task(*args: Any, **kwargs: Any) -> Any:
            return await func(*args, **kwargs)

    else:

        @wraps(func)
        def task(*args: Any, **kwargs: Any) -> Any:
            return func(*args, **kwargs)

    own = inspect.signature(func).parameters
    more = _Task(func, queue, options, frozenset(CALL_OPTIONS).difference(own))
    attributes = {
        "queue": queue,
        "options": options,
        "delay": more.delay,
        "enqueue": more.delay,
        "enqueue_in": more.enqueue_in,
        "enqueue_at": more.enqueue_at,
        "adelay": more.adelay,
        "using": more.using,
    }
    vars(task).update(attributes)
    return cast(Task[..., Any], task)


def _refuse_unknown(options: dict[str, Any], known: Any) -> None:
    names = known.__optional_keys__
    for name in options.keys() - names:
        if name in ("name", "queue_name"):
            raise TypeError(f"async_job has no option {name!r}: the queue comes first, unnamed.")
        close = get_close_matches(name, names, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"It has {', '.join(sorted(names))}."
        raise TypeError(f"async_job has no option {name!r}. {hint}")
    for name in options.keys() & SINCE.keys():
        if is_older("rq", SINCE[name]):
            first = ".".join(map(str, SINCE[name]))
            raise TypeError(
                f"The option {name!r} came with RQ {first}. Installed is {version_of('rq')}."
            )


def _refuse_unimportable(func: Any) -> None:
    """Raise TypeError where RQ's ``import_attribute`` could not find a function."""
    if not inspect.isfunction(func):
        raise TypeError(f"async_job takes functions and names of queues, not {func!r}.")
    name = dotted_name(func)
    reasons = {
        "is a lambda": func.__name__ == "<lambda>",
        "is defined inside of a function": "<locals>" in func.__qualname__,
        "is in a class inside of a class": func.__qualname__.count(".") > 1,
        "is in the script that runs": func.__module__ == "__main__",
    }
    for reason, applies in reasons.items():
        if applies:
            raise TypeError(
                f"{name} can't be a job: it {reason}, where workers can't import it. "
                "Move it to the top level of a module."
            )
