"""How the next step of a chain comes to the worker whose child publishes it: relayed, where the broker can do that.

Such a message is in the broker as one that the worker has claimed, before the worker is told.  What the worker makes of
it is the worker's business.
"""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from celeriac.broker.base import RELAYED
from celeriac.utils.uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac.broker.base import RelayAddress
    from celeriac.current import AppLike
    from celeriac.message import Publication

#: Token of the session, queue, tag and envelope of a message; without an envelope it is in doubt whether it is there.
Relayed: TypeAlias = tuple[str, str, str, bytes]
#: Tags of ended tasks that are remembered.
MAX_ENDED = 16
#: The relay of this process, if it has one.
_relays: list[Relay] = []


class Relay:
    """The way of a child's next steps to its own worker.

    As a context manager, it takes the next message that is published: the next step of a chain, from the process's
    only thread that runs tasks.

    Args:
        address: Gives where the worker takes messages; None: nowhere.
        is_last: Tells whether the child has no other job, so that its worker would fetch one for it.
        tell: Tells the worker.
    """

    def __init__(
        self,
        address: Callable[[], RelayAddress | None],
        is_last: Callable[[], bool],
        tell: Callable[[Relayed], None],
    ) -> None:
        self._address = address
        self._is_last = is_last
        self._tell = tell
        self._prefix, self._count = f"{prefix_of(os.getpid())}{uuid4()}-", 0
        self._open = False
        self._ended: deque[bytes] = deque(maxlen=MAX_ENDED)

    def __enter__(self) -> Self:
        self._open = True
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._open = False

    def __call__(self, session: Any, item: Publication, timeout: float) -> bool:
        """Publish a message of the thread's session, if it is one to be relayed; says whether that is done."""
        if not self._open:
            return False
        self._open = False
        address = self._address()
        relay = getattr(session, "relay", None)
        if address is None or relay is None or not self._is_last():
            return False
        self._count += 1
        tag, queue = f"{self._prefix}{self._count}", item.destination.routing_key
        try:
            envelope = relay(item, address, tag, ended=tuple(self._ended), timeout=timeout)
        except Exception:
            # It may be published again; the worker gives back what is held.
            self._tell_of((address[0], queue, tag, b""))
            raise
        if envelope is not None:
            self._ended.clear()
        if envelope:
            self._tell_of((address[0], queue, tag, envelope))
        return envelope is not None

    def end(self, tag: bytes) -> None:
        """A task whose message was relayed has succeeded, its worker knows, and may have acknowledged it in a while.

        Until that, each step of a chain would be repeated that ran in the meantime, if the worker died.
        """
        self._ended.append(tag)

    def _tell_of(self, relayed: Relayed) -> None:
        # A worker that is gone lets go of it with its lease.
        with suppress(OSError):
            self._tell(relayed)


def prefix_of(pid: int) -> str:
    """Beginning of the tags of what a child of this worker relays."""
    return f"{RELAYED}{pid}-"


def use(app: AppLike, relay: Relay) -> None:
    """Make a relay that of this process and its app."""
    _relays[:] = [relay]
    app.publisher.relay = relay


def current() -> Relay | None:
    """The relay of this process."""
    return _relays[0] if _relays else None
