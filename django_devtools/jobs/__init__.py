"""RQ jobs whose Redis is chosen when they are enqueued."""

from django_devtools.jobs.decorator import Task, async_job

__all__ = ["Task", "async_job"]
