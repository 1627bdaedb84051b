"""A configuration file of ``manage.py rqcron``."""

from rq.cron import register

from tests.jobs.mailing import plain, resize

register(resize, "default", args=("hourly.png",), interval=3600)
register(plain, "high", args=("at night",), cron="30 3 * * *")
