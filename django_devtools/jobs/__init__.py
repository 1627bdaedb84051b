"""RQ jobs whose Redis is chosen when they are enqueued."""

from django_devtools.extras import require_jobs

# Without RQ, the first job would fail. This says so when a module with tasks is imported.
require_jobs()

from django_devtools.jobs.decorator import Task, async_job  # noqa: E402

__all__ = ["Task", "async_job"]
