"""Snapshots: a camera looks at the state of the cluster now and again, and does with it what its subclass says."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from celeriac.current import get_current_app
from celeriac.events.following import follow
from celeriac.signals import Signal
from celeriac.utils.imports import qualname, symbol_by_name
from celeriac.utils.time import rate

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac.events.state import State

__all__ = ["Polaroid", "evcam"]

logger = logging.getLogger("celeriac.evcam")


class Polaroid:
    """A camera; subclass it and override `on_shutter`.

    Args:
        state: What it looks at.
        freq: Seconds between two snapshots.
        maxrate: Most snapshots in a time, as in ``10/m``; None is no limit.
        cleanup_freq: Seconds between two calls of `on_cleanup`.
        timer: Anything with the method ``call_repeatedly(seconds, function)``; None makes threads.
        app: The application; None is the current one.

    Attributes:
        clear_after: Clear the state after each snapshot.
        shutter_signal: Sent with each snapshot.
        cleanup_signal: Sent with each clean-up.
    """

    clear_after: bool = False
    shutter_signal = Signal("shutter_signal")
    cleanup_signal = Signal("cleanup_signal")

    def __init__(
        self,
        state: State,
        freq: float = 1.0,
        maxrate: str | float | None = None,
        cleanup_freq: float = 3600.0,
        timer: Any = None,
        app: Any = None,
    ) -> None:
        self.app = app or get_current_app()
        self.state = state
        self.freq = freq
        self.cleanup_freq = cleanup_freq
        self.timer = timer or _Repeating()
        self._per_second = rate(maxrate) if maxrate is not None else 0.0
        self._next_at = 0.0
        self._installed: list[Any] = []

    def install(self) -> None:
        """Begin to take snapshots."""
        self._installed = [
            self.timer.call_repeatedly(self.freq, self.capture),
            self.timer.call_repeatedly(self.cleanup_freq, self.cleanup),
        ]

    def cancel(self) -> None:
        """Take no more."""
        for entry in self._installed:
            entry.cancel()
        self._installed = []

    def on_shutter(self, state: State) -> None:
        """Look at the state, which stays as it is meanwhile."""

    def on_cleanup(self) -> None:
        """Remove what has become too old."""

    def cleanup(self) -> None:
        """Send the signal, and call `on_cleanup`."""
        self.cleanup_signal.send(sender=self.state)
        self.on_cleanup()

    def shutter(self) -> None:
        """Send the signal, and call `on_shutter`, unless there were too many of late."""
        now = time.monotonic()
        if self._per_second:
            if now < self._next_at:
                return
            self._next_at = now + 1 / self._per_second
        self.shutter_signal.send(sender=self.state)
        self.on_shutter(self.state)

    def capture(self) -> None:
        """Take a snapshot now."""
        self.state.freeze_while(self.shutter, clear_after=self.clear_after)

    def __enter__(self) -> Self:
        self.install()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.cancel()


class _Repeating:
    """Calls functions at intervals, each from a thread of its own."""

    def call_repeatedly(self, seconds: float, function: Callable[[], Any]) -> _Repeated:
        return _Repeated(seconds, function)


class _Repeated(threading.Thread):
    """One function, called until `cancel`; an exception of it is logged."""

    def __init__(self, seconds: float, function: Callable[[], Any]) -> None:
        super().__init__(name="camera", daemon=True)
        self._seconds = seconds
        self._function = function
        self._cancelled = threading.Event()
        self.start()

    def cancel(self) -> None:
        self._cancelled.set()

    def run(self) -> None:
        while not self._cancelled.wait(self._seconds):
            try:
                self._function()
            except Exception:
                logger.exception("A camera failed; it goes on")


def evcam(
    camera: Any,
    freq: float = 1.0,
    maxrate: str | float | None = None,
    timer: Any = None,
    app: Any = None,
    stop: threading.Event | None = None,
) -> None:
    """Take snapshots with a camera until the process is told to end.

    Logging and pid files are those of the command ``celeriac events``.

    Args:
        camera: Class of the camera, or its dotted path.
        freq: Seconds between two snapshots.
        maxrate: Most snapshots in a time, as in ``10/m``.
        timer: As for `Polaroid`.
        app: The application; None is the current one.
        stop: Ends it when it is set.
    """
    app = app or get_current_app()
    cls = symbol_by_name(camera)
    print(f"-> evcam: Taking snapshots with {qualname(cls)} (every {freq} secs.)", flush=True)  # noqa: T201
    state = app.events.State()

    def lost(exc: Exception, pause: float) -> None:
        logger.error("The connection is lost (%s); trying again in %g s", exc, pause)

    with cls(state, freq=freq, maxrate=maxrate, timer=timer, app=app):
        follow(app, {"*": state.event}, on_lost=lost, stop=stop)
