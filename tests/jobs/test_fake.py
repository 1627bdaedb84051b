"""Connections to a fake."""

from rq.utils import get_version

from django_devtools.jobs import fake
from django_devtools.jobs.fake import Connection
from django_devtools.jobs.redis import connection


def test_rq_uses_what_it_uses_with_a_redis_of_today() -> None:
    redis = connection("default")
    assert redis.connection_pool.connection_class is Connection
    assert get_version(redis) == (7, 4, 0)
    assert redis.info("server") == {"redis_version": 7.4}


def test_a_pipeline_may_end_within_a_command() -> None:
    """As the garbage collector ends it, wherever that happens to be called."""
    redis = connection("default")
    pipeline = redis.pipeline()
    pipeline.watch("stock")
    with fake._server("localhost", 6379).lock:
        del pipeline
    assert redis.set("stock", 1)
