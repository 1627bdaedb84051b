"""How queues are configured in ``settings.RQ_QUEUES``, as django-rq reads it."""

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from django.conf import settings

# The keys by which django-rq connects a queue to its Redis.
CONNECTION_KEYS = frozenset(
    {
        "CONNECTION_KWARGS",
        "DB",
        "HOST",
        "MASTER_NAME",
        "PASSWORD",
        "PORT",
        "REDIS_CLIENT_KWARGS",
        "SENTINELS",
        "SENTINEL_KWARGS",
        "SOCKET_TIMEOUT",
        "SSL",
        "SSL_CERT_REQS",
        "UNIX_SOCKET_PATH",
        "URL",
        "USERNAME",
        "USE_REDIS_CACHE",
    }
)

# Where one of these is configured, django-rq does not look for sentinels.
BEFORE_SENTINELS = {"URL", "USE_REDIS_CACHE", "UNIX_SOCKET_PATH"}


class Address(NamedTuple):
    """One database of one Redis; two queues that have the same one share it."""

    host: str
    """Or the path of its socket, or what it is to sentinels or a cache."""
    port: int
    db: int


def address(config: Mapping[str, Any]) -> Address:
    """Which Redis a queue is configured for."""
    if "URL" in config:
        found = _parsed(config["URL"])
        return _address({"db": config.get("DB")} | found)
    if "USE_REDIS_CACHE" in config:
        return _address(_options_of_cache(config["USE_REDIS_CACHE"]))
    if "UNIX_SOCKET_PATH" in config:
        return _address({"path": config["UNIX_SOCKET_PATH"], "db": config.get("DB")})
    if "SENTINELS" in config:
        return _address_at_sentinels(config["MASTER_NAME"], config["SENTINELS"], config.get("DB"))
    return _address({name.lower(): config.get(name) for name in ("HOST", "PORT", "DB")})


def address_of(pool: Any) -> Address:
    """Which Redis the connections of a pool are to."""
    options = pool.connection_kwargs
    if not hasattr(pool, "sentinel_manager"):
        return _address(options)
    sentinels = [
        (options.get("host"), options.get("port"))
        for sentinel in pool.sentinel_manager.sentinels
        for options in [sentinel.connection_pool.connection_kwargs]
    ]
    return _address_at_sentinels(pool.service_name, sentinels, options.get("db"))


def details(config: Mapping[str, Any]) -> dict[str, Any]:
    """The database and the login, as they are configured: None and missing are not the same."""
    if "URL" in config:
        found = _parsed(config["URL"])
    elif "USE_REDIS_CACHE" in config:
        found = _options_of_cache(config["USE_REDIS_CACHE"])
    elif "UNIX_SOCKET_PATH" in config:
        found = {}
    else:
        found = {"db": 0} | {key.lower(): value for key, value in config.items()}
    return {key: found.get(key) for key in ("db", "username", "password")}


def _address(options: Mapping[str, Any]) -> Address:
    """The address in options of redis-py."""
    host = options.get("path") or options.get("host") or "localhost"
    if host == "localhost":
        host = "127.0.0.1"
    return Address(host, int(options.get("port") or 6379), int(options.get("db") or 0))


def _address_at_sentinels(master: str, sentinels: Any, db: Any) -> Address:
    known = sorted(f"{host}:{port}" for host, port in sentinels)
    return _address({"host": f"{master} of {', '.join(known)}", "db": db})


def _options_of_cache(alias: str) -> dict[str, Any]:
    location = settings.CACHES[alias].get("LOCATION", "")
    if not isinstance(location, str):
        location = location[0]
    return _parsed(location) if "://" in location else {"host": f"cache {location or alias}"}


@cache
def _parsed(url: str) -> dict[str, Any]:
    from redis.connection import parse_url

    found = parse_url(url)
    kept = ("host", "path", "port", "db", "username", "password")
    return {name: found[name] for name in kept if name in found}
