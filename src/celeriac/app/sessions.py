"""One broker session per thread, closed with it, and the failover list behind it.  It publishes nothing."""

from __future__ import annotations

import _thread
import atexit
import itertools
import os
import sys
import threading
import time
import weakref
from types import BuiltinFunctionType
from typing import TYPE_CHECKING, Any

from celeriac.app.process import current as process
from celeriac.exceptions import ImproperlyConfigured, OperationalError, SessionRefused
from celeriac.utils.uuid import uuid4 as uuid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from celeriac.broker.base import Broker, BrokerCapabilities, BrokerSession

__all__ = ["FailoverBroker", "Sessions"]

#: Sessions inherited through a fork: dropping the last reference could run a driver's clean-up, which would speak
#: on a connection that belongs to the parent.
_inherited: list[Any] = []


class _Hold:
    """A thread's hold of its session: gone with the thread, it closes the session."""

    __slots__ = ("_pid", "session")

    def __init__(self, session: BrokerSession) -> None:
        self._pid = os.getpid()
        self.session = session

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if is_finalizing():
            # The names of this module may be gone; sessions were closed when the process began to end.
            return
        # A fork ends the other threads of the child before anything else there can run.
        if self._pid != os.getpid():
            _inherited.append(self.session)
        elif isinstance(_thread.start_new_thread, BuiltinFunctionType):
            self.session.close()
        else:
            # Where threads are greenlets, the last reference may go in the hub, which must not wait for a server.
            _thread.start_new_thread(self.session.close, ())


class _ThreadState(threading.local):
    """What one thread holds."""

    def __init__(self) -> None:
        self.generation = process.generation
        self.hold: _Hold | None = None
        self.oid: str | None = None


class Sessions:
    """Hands out the calling thread's session, opening it when needed.

    Args:
        broker: Gives the broker to connect to.
    """

    def __init__(self, broker: Callable[[], Broker]) -> None:
        self._broker = broker
        self._local = _ThreadState()
        self._all: weakref.WeakSet[Any] = weakref.WeakSet()
        _owners.add(self)

    def get(self, timeout: float | None = None) -> BrokerSession:
        """The session of this thread.

        Args:
            timeout: Seconds for opening it; None is the broker's own limit.

        Raises:
            OperationalError: The broker cannot be reached.
        """
        local = self._local
        if local.generation == process.generation and local.hold is not None:
            return local.hold.session
        self._forget_parent()
        session = self._broker().connect(timeout=timeout)
        local.hold = _Hold(session)
        self._all.add(session)
        return session

    @property
    def oid(self) -> str:
        """An id of this thread, the ``reply_to`` of its messages."""
        local = self._local
        if local.generation != process.generation:
            self._forget_parent()
        if local.oid is None:
            local.oid = uuid()
        return local.oid

    def _forget_parent(self) -> None:
        local = self._local
        if local.generation != process.generation:
            _inherited.extend((local.hold, *self._all))
            self._all = weakref.WeakSet()
            local.generation, local.hold, local.oid = process.generation, None, None

    def drop(self) -> None:
        """Close this thread's session; the next use opens another."""
        local = self._local
        if local.hold is not None and local.generation == process.generation:
            self._all.discard(local.hold.session)
            local.hold.session.close()
            local.hold = None

    def close(self) -> None:
        """Close the sessions of all threads. Their next use opens new ones."""
        self._forget_parent()
        sessions, self._all = list(self._all), weakref.WeakSet()
        self._local = _ThreadState()
        for session in sessions:
            session.close()


class FailoverBroker:
    """Several brokers, of which one is in use: the first that can be reached.

    Args:
        brokers: The brokers, in order of the URLs.
        strategy: ``round-robin`` (also None), ``shuffle``, or a function from the list of indexes to an endless
            iterator over it.

    Raises:
        ImproperlyConfigured: The strategy is unknown.
    """

    def __init__(self, brokers: Sequence[Broker], strategy: Any = None) -> None:
        self._brokers = list(brokers)
        self._order = _order(list(range(len(brokers))), strategy)
        self._current = next(self._order)

    @property
    def capabilities(self) -> BrokerCapabilities:
        return self._brokers[self._current].capabilities

    @property
    def url(self) -> str:
        return self._brokers[self._current].url

    def connect(self, *, timeout: float | None = None, resume: BrokerSession | None = None) -> BrokerSession:
        """Open a session to the first broker that answers, beginning with the one used last.

        Args:
            timeout: Seconds for all attempts together; each gets an equal part of what is left.
            resume: A broken session to continue; a broker that did not open it ignores it.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        failure: OperationalError | None = None
        for left in range(len(self._brokers), 0, -1):
            share = None if deadline is None else max(deadline - time.monotonic(), 0.001) / left
            try:
                return self._brokers[self._current].connect(timeout=share, resume=resume)
            except SessionRefused:
                raise
            except OperationalError as exc:
                failure = exc
                self._current = next(self._order)
        assert failure is not None  # noqa: S101 - there is at least one broker
        raise failure


#: Every `Sessions` of this process.
_owners: weakref.WeakSet[Sessions] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Close sessions properly when the interpreter ends: a server may drop what an abrupt end leaves in transit."""
    for owner in list(_owners):
        owner.close()


def _order(indexes: list[int], strategy: Any) -> Iterator[int]:
    if strategy is None or strategy == "round-robin":
        return itertools.cycle(indexes)
    if strategy == "shuffle":
        return _shuffled(indexes)
    if callable(strategy):
        return iter(strategy(indexes))
    raise ImproperlyConfigured(
        f"broker_failover_strategy must be 'round-robin', 'shuffle' or a function, got {strategy!r}"
    )


def _shuffled(indexes: list[int]) -> Iterator[int]:
    import random

    while True:
        random.shuffle(indexes)
        yield from list(indexes)
