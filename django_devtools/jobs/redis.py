"""Which Redis answers for a queue: the one that settings.RQ_QUEUES names, or a stand-in."""

import sys
from collections.abc import Callable, Mapping, MutableMapping
from functools import cache, wraps
from types import ModuleType
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from django_devtools.extras import require_supported_jobs
from django_devtools.jobs import webhooks
from django_devtools.jobs.configuration import CONNECTION_KEYS, address_of
from django_devtools.jobs.configuration import address as address_in

if TYPE_CHECKING:
    from redis import Redis

SETTINGS = ("FAKE_REDIS", "RQ", "RQ_QUEUES")
FAKES = "django_devtools.jobs.fake"


class RealServer:
    """The server that tests use in place of every configured Redis."""

    url: str | None = None


_connections: dict[str, tuple[dict[str, Any], "Redis"]] = {}


def is_fake() -> bool:
    """Whether ``settings.FAKE_REDIS`` is on."""
    return bool(getattr(settings, "FAKE_REDIS", False))


def wanted() -> str | bool:
    """Which stand-in is to answer now, if any."""
    return RealServer.url or is_fake()


def stand_in() -> None:
    """
    Let a stand-in answer for every Redis of ``settings.RQ_QUEUES``, as long as one is wanted.

    Settings that were prepared before stay as they are. Where no stand-in is wanted, now or
    later, all reads and writes reach the settings that were there. Raises ImportError where
    django-rq is too old to notice: its jobs would reach the real Redis.
    """
    if not wanted():
        return
    require_supported_jobs()
    _patch()
    queues = getattr(settings, "RQ_QUEUES", None)
    if isinstance(queues, dict) and not isinstance(queues, Queues):
        settings.RQ_QUEUES = Queues(queues)
    options = getattr(settings, "RQ", {})
    if isinstance(options, dict) and not isinstance(options, WorkerOptions):
        settings.RQ = WorkerOptions(options)


def connection(queue: str) -> "Redis":
    """
    The connection for a queue of RQ_QUEUES, the same one until its configuration changes.

    Raises KeyError when there is no such queue.
    """
    from django_rq import get_connection

    if is_fake() and not apps.is_installed("django_devtools"):
        raise ImproperlyConfigured(
            "FAKE_REDIS is on, and 'django_devtools' is not in INSTALLED_APPS."
        )
    stand_in()
    queues = getattr(settings, "RQ_QUEUES", {})
    if queue not in queues:
        known = ", ".join(sorted(queues)) or "none at all"
        raise KeyError(f"RQ_QUEUES has no queue {queue!r}. It has: {known}.")
    config = queues[queue]
    if "USE_REDIS_CACHE" in config:
        # The cache keeps the connection, and follows changes of settings.CACHES.
        return get_connection(queue)
    seen, kept = _connections.get(queue, (None, None))
    if kept is None or seen != config:
        kept = get_connection(queue)
        _connections[queue] = _copied(config), kept
    return kept


def flush() -> None:
    """Empty every stand-in."""
    if url := RealServer.url:
        server(url).flushdb()
    elif FAKES in sys.modules:
        _fake().flush()


@cache
def server(url: str) -> "Redis":
    """A connection to the server at ``url``."""
    from redis import Redis

    return Redis.from_url(url)


class Queues(dict[str, Any]):
    """``settings.RQ_QUEUES`` with a stand-in for each Redis, as long as one is wanted."""

    def __getitem__(self, name: str) -> Any:
        config = super().__getitem__(name)
        connection = _stand_in_for(config)
        return Queue(config, connection) if connection else config

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self else default  # noqa: SIM401 - this is get

    def items(self) -> Any:
        return {name: self[name] for name in self}.items()

    def values(self) -> Any:
        return {name: self[name] for name in self}.values()

    def __reduce__(self) -> Any:
        # Copies, deep or not, are of what was configured.
        return dict, (dict(self),)


class Queue(dict[str, Any]):
    """
    The configuration of one queue, connected elsewhere.

    What is written here, is written to the configuration that it was made from, too.
    """

    def __init__(self, config: dict[str, Any], connection: dict[str, Any]) -> None:
        rest = {key: value for key, value in config.items() if key not in CONNECTION_KEYS}
        super().__init__(rest | connection)
        self._config = config
        self._real = {key: config[key] for key in CONNECTION_KEYS & config.keys()}
        self._connection = connection

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        if key not in self._connection or self._connection[key] != value:
            self._config[key] = value
        # What was deleted comes back, as it does at the end of patch.dict.
        elif key in self._real:
            self._config[key] = self._real[key]

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self._config.pop(key, None)

    def __reduce__(self) -> Any:
        # What is written to a copy stays there.
        return dict, (dict(self),)

    # Those of dict write past __setitem__ and __delitem__.
    clear = MutableMapping.clear
    pop = MutableMapping.pop
    popitem = MutableMapping.popitem
    setdefault = MutableMapping.setdefault
    update = MutableMapping.update


class WorkerOptions(dict[str, Any]):
    """
    ``settings.RQ`` with workers that do not fork, as long as a stand-in is wanted.

    A fork would have a copy of a fake for itself, and nobody would see what it did. In a test, it
    would share the connections to databases with that.
    """

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or self._stands_in(key)

    def __getitem__(self, key: str) -> Any:
        if not self._stands_in(key):
            return super().__getitem__(key)
        from django_devtools.jobs.workers import in_process

        return in_process(super().get(key))

    def get(self, key: str, default: Any = None) -> Any:
        return self[key] if key in self else default  # noqa: SIM401 - this is get

    def _stands_in(self, key: object) -> bool:
        return key == "WORKER_CLASS" and bool(wanted())


def _patch() -> None:
    """Patch what is imported by now, which is nothing where there are no jobs."""
    _follow()
    webhooks.intercept()


def _follow() -> None:
    """
    Let connections follow what is wanted, whenever they were made, and by whom.

    Modules keep those that they ask for when they are imported: queues, schedulers, locks. That
    may be before tests ask for a fake, and what they write would go to the real Redis ever after.
    """
    module = sys.modules.get("redis.connection")
    if module is None or hasattr(module.ConnectionPool, "_follows"):
        return
    module.ConnectionPool._follows = True
    for pools in (module.ConnectionPool, module.BlockingConnectionPool):
        pools.get_connection = _getting(pools.get_connection)
        pools.release = _releasing(pools.release)


def _getting(get_connection: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(get_connection)
    def getting(pool: Any, *args: Any, **kwargs: Any) -> Any:
        answering = _answering(pool)
        if answering is pool:
            return get_connection(pool, *args, **kwargs)
        connection = answering.get_connection(*args, **kwargs)
        connection.lent_by = answering
        return connection

    return getting


def _releasing(release: Callable[..., None]) -> Callable[..., None]:
    @wraps(release)
    def releasing(pool: Any, connection: Any) -> None:
        lender = vars(connection).pop("lent_by", None)
        if lender is None:
            release(pool, connection)
        else:
            lender.release(connection)

    return releasing


def _answering(pool: Any) -> Any:
    """The pool of what is to answer now for the Redis that a pool is connected to."""
    is_to_fake = FAKES in sys.modules and pool.connection_class is _fake().Connection
    if is_to_fake == is_fake() and not RealServer.url:
        return pool
    address = address_of(pool)
    for name, config in _configured():
        if address_in(config) == address:
            return connection(name).connection_pool
    return pool


def _configured() -> Any:
    """The queues as they are configured, without stand-ins."""
    queues = getattr(settings, "RQ_QUEUES", None) or {}
    return dict.items(queues) if isinstance(queues, dict) else queues.items()


def _stand_in_for(config: Mapping[str, Any]) -> dict[str, Any]:
    """What to configure in place of a queue's own Redis; nothing where that is to answer."""
    _patch()
    if url := RealServer.url:
        return {"URL": url}
    if is_fake():
        stand_in: dict[str, Any] = _fake().configuration(config)
        return stand_in
    return {}


def _fake() -> ModuleType:
    try:
        from django_devtools.jobs import fake
    except ModuleNotFoundError as error:
        if error.name != "fakeredis":
            raise
        raise ImproperlyConfigured(
            "A fake Redis is wanted, by FAKE_REDIS or by tests, and fakeredis is not installed: "
            "pip install 'django-devtools-kit[testing]'"
        ) from error
    return fake


def _copied(config: Mapping[str, Any]) -> dict[str, Any]:
    """A copy that stays as it is when the configuration is edited in place."""
    return {
        key: dict(value) if isinstance(value, dict) else value for key, value in config.items()
    }
