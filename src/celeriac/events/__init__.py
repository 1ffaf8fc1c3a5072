"""Events: what workers and clients say about themselves and their tasks, for whoever listens.

Sending and receiving, the state of a cluster as its events tell it, and snapshots of that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from celeriac.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from celeriac.events.dispatcher import EventDispatcher
    from celeriac.events.receiver import EventReceiver
    from celeriac.events.state import State
    from celeriac.events.wire import Event

__all__ = ["Event", "EventDispatcher", "EventReceiver", "State"]

__getattr__ = lazy_exports(
    __name__,
    {
        "Event": "celeriac.events.wire",
        "EventDispatcher": "celeriac.events.dispatcher",
        "EventReceiver": "celeriac.events.receiver",
        "State": "celeriac.events.state",
    },
)
