"""The tasks of a shop that prints photographs."""

from typing import Any

from django_devtools.jobs import async_job

printed: list[int] = []


@async_job
def process_image(pk: int, width: int = 100) -> str:
    """Make an image fit."""
    return f"image {pk} at {width}"


@async_job()
def print_image(pk: int) -> None:
    printed.append(pk)


@async_job("high", timeout=60, description="A mail", meta={"kind": "mail"})
def send_mail(to: str) -> str:
    return f"mail to {to}"


@async_job(timeout="1h")
async def fetch(url: str) -> str:
    return f"content of {url}"


@async_job
def label(job_id: str, depends_on: str, at_front: bool = False) -> str:
    """Has parameters with names that RQ takes for itself otherwise."""
    return f"{job_id} {depends_on} {at_front}"


@async_job
def archive(**names: Any) -> dict[str, Any]:
    return names


class Invoice:
    @async_job
    @staticmethod
    def write(number: int) -> str:
        return f"invoice {number}"

    @staticmethod
    @async_job
    def file(number: int) -> str:
        return f"filed {number}"

    @async_job("high")
    @classmethod
    def remind(cls, number: int) -> str:
        return f"{cls.__name__} {number} is due"

    @classmethod
    @async_job("high", timeout=60)
    def cancel(cls, number: int) -> str:
        return f"{cls.__name__} {number} is void"


def add(x: int, y: int) -> int:
    """To be decorated by a test."""
    return x + y


def multiply(x: int, y: int) -> int:
    """To be decorated by a test, too."""
    return x * y


def notify(*args: Any) -> None:
    """To be called back."""
