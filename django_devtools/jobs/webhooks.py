"""Webhooks of the jobs of a test: they are kept instead of being sent."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from rq.job import Job

sent: list["SentWebhook"] = []
"""Those of the test that runs, in the order that a worker would have sent them."""


class Tests:
    """What is running now."""

    count = 0
    """Tests, and sessions around them."""


class SentWebhook(NamedTuple):
    """What a worker would have sent."""

    url: str
    method: str
    headers: dict[str, str]
    payload: dict[str, Any] | None
    """The JSON of a POST."""
    job: "Job"


@contextmanager
def kept() -> Iterator[None]:
    """Send none as long as this lasts."""
    Tests.count += 1
    try:
        yield
    finally:
        Tests.count -= 1


def intercept() -> None:
    """See to it that ``kept`` has an effect, for good. Does nothing while RQ is not imported."""
    webhook: Any = getattr(sys.modules.get("rq.webhook"), "Webhook", None)
    if webhook is None or hasattr(webhook.send, "__wrapped__"):
        return
    send_it = webhook.send

    @wraps(send_it)
    def send(webhook: Any, job: "Job", **failure: Any) -> None:
        if not Tests.count:
            send_it(webhook, job, **failure)
            return
        payload = webhook.get_payload(job, **failure) if webhook.method == "POST" else None
        headers = dict(webhook.headers or {})
        sent.append(SentWebhook(webhook.url, webhook.method, headers, payload, job))

    webhook.send = send
