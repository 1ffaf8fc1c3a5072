"""Takes messages: one thread for each queue, which waits at the service while somebody wants messages.

A request cannot be called back: what it brings when nobody wants it any more is kept here, under the session's lease,
and goes back with the session's next sign of life when nobody has asked for it by then.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from celeriac.broker.sqs.holding import MAX_HIDDEN, copy_of, read
from celeriac.broker.sqs.names import is_fifo
from celeriac.drivers.aws import translated
from celeriac.exceptions import OperationalError, SessionRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from celeriac.broker.sqs.holding import Held
    from celeriac.broker.sqs.service import Service

logger = logging.getLogger("celeriac.broker")

#: Seconds between attempts of a queue whose requests fail: they double up to the last.
_FIRST_PAUSE, _LAST_PAUSE = 0.2, 5.0
#: Seconds that an answer is taken to need from the service to here.
ANSWERED_WITHIN = 1.0


class Taking:
    """The threads of one session.

    Args:
        service: Where the messages are.
        ring: Called by a thread that brings something; by any thread.
        release: Puts messages back that came too late; by any thread.
    """

    def __init__(self, service: Service, ring: Callable[[], None], release: Callable[[Sequence[Held]], None]) -> None:
        self._service = service
        self._ring = ring
        self._release = release
        self._changed = threading.Condition()
        self._takers: dict[str, _Taker] = {}
        self._wanted = 0
        self._turn = 0

    def replace(self, queues: Sequence[str]) -> list[Held]:
        """Take from these queues from now on; returns what others had brought."""
        left: list[Held] = []
        with self._changed:
            for name in self._takers.keys() - set(queues):
                taker = self._takers.pop(name)
                taker.stopped = True
                left += taker.arrived
                taker.arrived.clear()
            self._takers = {name: self._takers.get(name) or self._start(name) for name in queues}
            self._changed.notify_all()
        return left

    def _start(self, name: str) -> _Taker:
        taker = _Taker()
        threading.Thread(target=self._run, args=(name, taker), name=f"sqs-{name}", daemon=True).start()
        return taker

    def want(self, count: int) -> None:
        """Have the threads bring so many."""
        with self._changed:
            self._wanted = count
            self._changed.notify_all()

    def take(self, limit: int) -> list[Held]:
        """What has come, of each queue in turn."""
        found: list[Held] = []
        with self._changed:
            takers = list(self._takers.values())
            self._turn += 1
            for offset in range(len(takers)):
                arrived = takers[(self._turn + offset) % len(takers)].arrived
                while arrived and len(found) < limit:
                    found.append(arrived.popleft())
            self._wanted = max(self._wanted - len(found), 0)
        return found

    def arrived(self) -> list[Held]:
        """All that has come and that nobody has taken."""
        with self._changed:
            return [held for taker in self._takers.values() for held in taker.arrived]

    def give_back(self) -> list[Held]:
        """Take back what has come; nothing more is wanted."""
        with self._changed:
            self._wanted = 0
            left = [held for taker in self._takers.values() for held in taker.arrived]
            for taker in self._takers.values():
                taker.arrived.clear()
            return left

    @property
    def trouble(self) -> OperationalError | None:
        """Why a queue brings nothing, when requests have failed for some time or were refused."""
        options = self._service.options
        # A request that goes well says so only when it has waited.
        patience = time.monotonic() - options.timeout - options.wait
        with self._changed:
            for taker in self._takers.values():
                if taker.trouble is not None and (isinstance(taker.trouble, SessionRefused) or taker.since < patience):
                    return taker.trouble
        return None

    # --- a thread

    def _run(self, name: str, taker: _Taker) -> None:
        pause = _FIRST_PAUSE
        while room := self._wait_for_room(taker):
            try:
                brought = self._take(name, room)
            except OperationalError as error:
                self._report(name, taker, error)
                if isinstance(error, SessionRefused):
                    return
                with self._changed:
                    self._changed.wait_for(lambda: taker.stopped, pause)
                pause = min(2 * pause, _LAST_PAUSE)
            else:
                pause = _FIRST_PAUSE
                self._bring(name, taker, brought)

    def _wait_for_room(self, taker: _Taker) -> int:
        """How many messages are wanted; 0 when no more will be."""
        with self._changed:
            self._changed.wait_for(lambda: taker.stopped or self._room() > 0)
            return 0 if taker.stopped else self._room()

    def _report(self, name: str, taker: _Taker, error: OperationalError) -> None:
        with self._changed:
            first = taker.trouble is None and not taker.stopped
            if taker.trouble is None:
                taker.since = time.monotonic()
            taker.trouble = error
        if first:
            logger.warning("Taking messages from queue %s failed, and is tried again: %s", name, error)
        self._ring()

    def _bring(self, name: str, taker: _Taker, brought: list[Held]) -> None:
        with self._changed:
            taker.trouble = None
            if not taker.stopped:
                taker.arrived += brought
                brought = []
        try:
            self._release(brought)
        except OperationalError as error:
            logger.info("What came too late from queue %s returns when its lease is over: %s", name, error)
        self._ring()

    def _room(self) -> int:
        return self._wanted - sum(len(taker.arrived) for taker in self._takers.values())

    def _take(self, name: str, limit: int) -> list[Held]:
        """Wait for messages that are due."""
        options = self._service.options
        began = time.monotonic()
        with translated(self._service.url):
            messages = self._service.receive(name, limit, hidden=options.lease, wait=options.wait)
            # The service counts from when it took them, which was after the request and some time before the answer.
            taken = max(began, time.monotonic() - min(ANSWERED_WITHIN, options.lease / 4))
            found = [read(name, message, taken + options.lease) for message in messages]
            return self._due(name, found)

    def _due(self, name: str, found: list[Held]) -> list[Held]:
        """Without what is to wait longer than the service could delay it, which goes back."""
        now, due = time.time(), []
        for held in found:
            rest = 0.0 if held.not_before is None else held.not_before - now
            if rest < 1.0:
                due.append(held)
            elif is_fifo(name):
                self._service.hide(name, [held.receipt], min(int(rest), MAX_HIDDEN - 60))
            else:
                copy = copy_of(held, deliveries=held.deliveries - 1, not_before=held.not_before)
                if not self._service.send(name, [copy]):
                    self._service.delete(name, [held.receipt])
        return due


class _Taker:
    """What the thread of one queue shares with others, under the lock."""

    __slots__ = ("arrived", "since", "stopped", "trouble")

    def __init__(self) -> None:
        self.arrived: deque[Held] = deque()
        self.stopped = False
        #: Why the last request failed, and the monotonic time since when requests have.
        self.trouble: OperationalError | None = None
        self.since = 0.0
