"""Calls from coroutines: published by one thread of the process, so that the event loop goes on meanwhile.

It is imported with the first such call: asyncio takes longer to import than the rest of a client.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from celeriac.app.process import current as process
from celeriac.exceptions import PublishTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["call"]

T = TypeVar("T")

_thread: ThreadPoolExecutor | None = None
_generation = -1


async def call(app: Any, function: Callable[..., T], /, *args: Any, timeout: float | None = None, **kwargs: Any) -> T:
    """Call a function that publishes, in the publishing thread and in a copy of the caller's context.

    Calls are made one after the other, in the order of these: each has its own deadline, and one whose turn has not
    come when its deadline passes is not made at all.

    Args:
        app: The application.
        function: What to call.
        *args: Its positional arguments.
        timeout: Seconds for publishing; None is ``broker_publish_timeout``. Passed on if given.
        **kwargs: Its keyword arguments.

    Raises:
        PublishTimeout: Its turn did not come in time.
    """
    if timeout is not None:
        kwargs["timeout"] = timeout
    if app.always_eager:
        # It runs tasks, which may make such calls themselves.
        return await asyncio.to_thread(function, *args, **kwargs)
    limit = app.conf.broker_publish_timeout if timeout is None else timeout
    deadline = time.monotonic() + limit

    def publish() -> T:
        if time.monotonic() > deadline:
            raise PublishTimeout(
                f"The call was not published: others before it took longer than {limit:g} s "
                "(broker_publish_timeout, or the option timeout)"
            )
        return function(*args, **kwargs)

    work = partial(contextvars.copy_context().run, publish)
    return await asyncio.get_running_loop().run_in_executor(_publishing_thread(), work)


def _publishing_thread() -> ThreadPoolExecutor:
    global _thread, _generation
    if _thread is None or _generation != process.generation:
        # A child made by fork does not inherit the thread.
        _thread, _generation = ThreadPoolExecutor(1, "celeriac-publish"), process.generation
    return _thread
