"""Synchronous code of this app for asynchronous callers, whichever event loop is theirs."""

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from asgiref.sync import sync_to_async

T = TypeVar("T")


async def in_thread(func: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """
    Call ``func`` where it may block.

    In asyncio, that is the thread of Django's own synchronous code, with its connections to
    databases. Trio, which anyio runs on as well, has nothing of that kind.
    """
    trio: Any = sys.modules.get("trio")
    if trio is None or _runs_asyncio():
        return await sync_to_async(func)(*args, **kwargs)
    result: T = await trio.to_thread.run_sync(partial(func, *args, **kwargs))
    return result


def _runs_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
