"""Receives events for as long as it takes, over as many connections as it takes.  Using them is the caller's."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from celeriac.exceptions import OperationalError, SessionRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["follow"]

#: Seconds before the next attempt to connect: they grow by the first up to the last.
FIRST_RETRY, LAST_RETRY = 1.0, 10.0


def follow(
    app: Any,
    handlers: Mapping[str, Callable[[dict[str, Any]], Any]],
    *,
    on_connected: Callable[[str], Any] | None = None,
    on_lost: Callable[[Exception, float], Any] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Receive events, and connect again when the broker is lost.

    Args:
        app: The application.
        handlers: As for `EventReceiver`.
        on_connected: Called with the broker's URL when events are about to come.
        on_lost: Called with the error and the seconds until the next attempt.
        stop: Set by another thread, it ends the function within a second or so.

    Raises:
        SessionRefused: The broker does not want us.
    """
    stop = stop or threading.Event()
    pause = 0.0
    while not stop.is_set():
        try:
            with app.connection_for_read() as connection:
                connection.connect()
                receiver = app.events.Receiver(connection, handlers)
                if on_connected is not None:
                    on_connected(connection.as_uri())
                pause = 0.0
                receiver.capture(stop=stop)
        except SessionRefused:
            raise
        except OperationalError as exc:
            pause = min(pause + FIRST_RETRY, LAST_RETRY)
            if on_lost is not None:
                on_lost(exc, pause)
            stop.wait(pause)
