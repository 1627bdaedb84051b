"""Connections to a fake."""

from rq.utils import get_version

from django_devtools.jobs.fake import Connection
from django_devtools.jobs.redis import connection


def test_rq_uses_what_it_uses_with_a_redis_of_today() -> None:
    redis = connection("default")
    assert redis.connection_pool.connection_class is Connection
    assert get_version(redis) == (7, 4, 0)
    assert redis.info("server") == {"redis_version": 7.4}
