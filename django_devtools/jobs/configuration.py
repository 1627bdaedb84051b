"""How queues are configured in ``settings.RQ_QUEUES``, as django-rq reads it."""

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
