"""OS signals, delivered to the coordinator's loop.  What a signal means is the coordinator's business."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from celeriac.utils.imports import symbol_by_name

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


def install(loop: asyncio.AbstractEventLoop, on_signal: Callable[[int], None]) -> dict[int, Any]:
    """Send TERM, INT, QUIT and HUP to ``on_signal`` on the loop; USR1 prints the stack of every thread.

    With ``CELERY_RDBSIG`` in the environment, USR2 stops the main thread in a debugger (`celeriac.contrib.rdb`).

    Call in the main thread.  ``REMAP_SIGTERM=SIGQUIT`` in the environment makes TERM act as QUIT.

    Returns:
        The handlers that were there before, for `restore`.
    """
    remapped = os.environ.get("REMAP_SIGTERM") == "SIGQUIT"

    def forward(number: int, frame: object) -> None:
        if remapped and number == signal.SIGTERM:
            number = signal.SIGQUIT
        try:
            loop.call_soon_threadsafe(on_signal, number)
        except RuntimeError:
            # The loop has ended: the worker is leaving anyway.
            return

    before: dict[int, Any] = {
        number: signal.signal(number, forward)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
    }
    if os.environ.get("CELERY_RDBSIG"):
        before[signal.SIGUSR2] = signal.signal(signal.SIGUSR2, _debug)
    faulthandler.register(signal.SIGUSR1, all_threads=True, chain=False)
    return before


def _debug(number: int, frame: object) -> None:
    """Wait for a client, and let it look around where the main thread was interrupted."""
    debugger: Any = symbol_by_name("celeriac.contrib.rdb:debugger")
    # Here, one step below the frame that was interrupted, which may not run its next line for long.
    debugger().set_trace(sys._getframe())
    del frame


def restore(before: dict[int, Any]) -> None:
    """Put handlers back."""
    for number, handler in before.items():
        signal.signal(number, handler)
    faulthandler.unregister(signal.SIGUSR1)
