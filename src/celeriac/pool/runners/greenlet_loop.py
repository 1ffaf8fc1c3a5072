"""An event loop that is a greenlet: in a patched interpreter, its waiting lets other greenlets run.

Loaded with the first coroutine: a child that never sees one does without asyncio and its 5 MB.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any

from celeriac.execution.coroutines import drive, use_loop_of_pool

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["drive", "start_loop"]


class _Selector:
    """The patched selector; while it waits, no event loop runs in this thread.

    asyncio knows the running loop by thread, and greenlets share theirs: those that run meanwhile would be told that
    they are in a coroutine.
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._selector, name)

    def select(self, timeout: float | None = None) -> Any:
        loop = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        try:
            return self._selector.select(timeout)
        finally:
            asyncio._set_running_loop(loop)


def start_loop(spawn: Callable[..., None]) -> asyncio.AbstractEventLoop:
    """Have a greenlet run an event loop, on which those of this process await from now on."""
    selector: Any = _Selector()
    loop = asyncio.SelectorEventLoop(selector)
    use_loop_of_pool(loop)
    spawn(loop.run_forever)
    return loop
