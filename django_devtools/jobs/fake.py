"""Fakes in memory, one for each Redis that queues are configured for."""

from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from threading import Lock, RLock
from typing import Any
from urllib.parse import quote, urlencode

import fakeredis
from redis.connection import URL_QUERY_ARGUMENT_PARSERS

from django_devtools.jobs.clock import real_time
from django_devtools.jobs.configuration import (
    BEFORE_SENTINELS,
    CONNECTION_KEYS,
    Address,
    address,
    details,
)

# Its newest commands are there, and RQ uses those of this version where it can.
VERSION = (7, 4)

_servers: dict[tuple[str, int], fakeredis.FakeServer] = {}
_lock = Lock()


class Connection(fakeredis.FakeRedisConnection):
    """A connection to the fake of the Redis that it names, which asks for no password."""

    def __init__(
        self,
        *,
        host: str = "localhost",
        port: int = 6379,
        db: int | None = None,
        username: str | None = None,
        password: str | None = None,
        connection_pool: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(host=host, port=port, db=db or 0, server=_server(host, port), **kwargs)
        if connection_pool is not None:
            # That of sentinels keeps no connection to another address than the master's, as
            # redis.sentinel.SentinelManagedConnection finds it.
            connection_pool.master_address = (self.host, self.port)

    def send_command(self, *args: Any, **kwargs: Any) -> None:
        """Say which version it is: fakeredis can't, which RQ takes for an old one."""
        if args[0] == "INFO":
            version = ".".join(map(str, VERSION))
            self.get_socket().put_response(f"redis_version:{version}".encode())
        else:
            super().send_command(*_with_real_time(args), **kwargs)  # type: ignore[no-untyped-call]

    def pack_commands(self, commands: Any) -> Any:
        return super().pack_commands(map(_with_real_time, commands))  # type: ignore[no-untyped-call]


def _with_real_time(command: Any) -> Any:
    """Name an entry of a stream as a server does: by its own clock. Results of RQ are such."""
    if command[0] != "XADD" or "*" not in command:
        return command
    now = f"{int(real_time() * 1000)}-*"
    position = command.index("*")
    return (*command[:position], now, *command[position + 1 :])


CONNECTION_CLASS = f"{Connection.__module__}.{Connection.__qualname__}"


def _connection_class(name: str) -> type[Connection]:
    if name != CONNECTION_CLASS:
        raise ValueError(name)
    return Connection


# Lets a URL name the class of its connections. It is the one place for that which all of
# django-rq reads: ``connection_utils.filter_connection_params`` drops REDIS_CLIENT_KWARGS.
URL_QUERY_ARGUMENT_PARSERS["connection_class"] = _connection_class


def configuration(config: Mapping[str, Any]) -> dict[str, Any]:
    """What to configure so that django-rq connects to the fake of a queue's Redis instead."""
    if is_fake(config):
        return {}
    kept = {key: config[key] for key in config if key in CONNECTION_KEYS - {"SSL"}}
    if "SENTINELS" in config and not config.keys() & BEFORE_SENTINELS:
        options = {"connection_class": Connection, "host": address(config).host}
        return kept | {"CONNECTION_KWARGS": options}
    return kept | {"URL": _url(address(config), **details(config))}


def is_fake(config: Mapping[str, Any]) -> bool:
    """Whether a queue is configured for a fake already."""
    options = config.get("CONNECTION_KWARGS", {})
    return CONNECTION_CLASS in config.get("URL", "") or (
        options.get("connection_class") is Connection
    )


def flush() -> None:
    """Empty every fake."""
    for server in list(_servers.values()):
        with server.lock:
            for database in server.dbs.values():
                database.clear()


def _server(host: str, port: int) -> fakeredis.FakeServer:
    address = "127.0.0.1" if host == "localhost" else host, int(port)
    with _lock:
        if address not in _servers:
            server = _servers[address] = fakeredis.FakeServer(version=VERSION)
            # A pipeline that watches keys ends with a command. The garbage collector may end it
            # within another command, which would wait for itself.
            server.lock = RLock()  # type: ignore[assignment]
            server.dbs = defaultdict(lambda: _DATABASE(server.lock))
        return _servers[address]


# Keys expire by the clock of a server. Each command sets that to the clock of the process.
_DATABASE: Any = type(
    "Database",
    (type(fakeredis.FakeServer().dbs[0]),),
    {"time": property(lambda self: real_time(), lambda self, now: None)},
)


@cache
def _url(address: Address, db: int | None, username: str | None, password: str | None) -> str:
    login = ":".join(quote(part or "", safe="") for part in (username, password))
    # In a query, a host may be a path, too.
    query = {"host": address.host, "db": db, "connection_class": CONNECTION_CLASS}
    given = {name: value for name, value in query.items() if value is not None}
    return f"redis://{login}@:{address.port}?{urlencode(given)}"
