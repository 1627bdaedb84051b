"""Workers that run jobs in their own process."""

from functools import cache
from typing import Any

from rq import SimpleWorker, Worker
from rq.utils import import_attribute


class InProcess(SimpleWorker):
    """Makes any class of workers do without forks."""

    __hash__ = SimpleWorker.__hash__

    # Those that RQ finds in Redis are of its default class.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Worker) and self.name == other.name

    def kill_horse(self, *args: Any) -> None:
        """There is none, and the process group of none is our own."""


@cache
def in_process(base: Any) -> Any:
    """``base``, a class of workers or its dotted name, without forks; None is RQ's default."""
    if isinstance(base, str):
        base = import_attribute(base)
    base = base or Worker
    return base if issubclass(base, SimpleWorker) else type(base.__name__, (InProcess, base), {})
