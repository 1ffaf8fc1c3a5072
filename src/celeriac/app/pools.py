"""``app.pool`` and ``app.producer_pool``: connections, and producers, that are used in turn.

Calls of tasks need neither: each thread has a session of its own. They are for code that keeps several calls, or
messages of its own, together on one connection.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from celeriac.app.connection import Connection
from celeriac.app.process import current as process
from celeriac.exceptions import OperationalError
from celeriac.messaging.producer import Producer

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac.app.base import Celery

__all__ = ["ConnectionLimitExceeded", "Pool", "connection_pool", "producer_pool"]

#: What a forked child found in pools: it is the parent's.
_inherited: list[Any] = []


class ConnectionLimitExceeded(OperationalError):
    """All of a pool are in use."""


class _Pooled(Protocol):
    """What a pool holds."""

    def discard(self) -> None: ...


T = TypeVar("T", bound=_Pooled)


class Pool(Generic[T]):
    """Things that are used in turn, made when they are needed.

    Args:
        make: Makes one; it goes back by `give_back`.
        limit: Most of them at once (``broker_pool_limit``); None or 0 is no limit.
    """

    def __init__(self, make: Callable[[Pool[T]], T], limit: int | None) -> None:
        self._make = make
        self.limit = limit or None
        self._changed = threading.Condition()
        self._idle: list[T] = []
        self._in_use = 0
        self._generation = process.generation

    def acquire(self, block: bool = False, timeout: float | None = None) -> T:
        """One of them; as a context manager it goes back by itself.

        Args:
            block: Wait while all are in use.
            timeout: Seconds to wait at most; None is as long as it takes.

        Raises:
            ConnectionLimitExceeded: All are in use.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            self._forget_parent()
            while not self._idle and self.limit is not None and self._in_use >= self.limit:
                left = None if deadline is None else deadline - time.monotonic()
                if not block or (left is not None and left <= 0):
                    raise ConnectionLimitExceeded(
                        f"all {self.limit} of the pool are in use: release one, give block=True, or raise "
                        "broker_pool_limit"
                    )
                self._changed.wait(left)
            self._in_use += 1
            if self._idle:
                return self._idle.pop()
        try:
            return self._make(self)
        except BaseException:
            self._leave()
            raise

    def give_back(self, item: T) -> None:
        """Let others use it."""
        with self._changed:
            self._forget_parent()
            self._idle.append(item)
        self._leave()

    def _leave(self) -> None:
        with self._changed:
            self._in_use = max(0, self._in_use - 1)
            self._changed.notify()

    def _forget_parent(self) -> None:
        if self._generation != process.generation:
            _inherited.extend(self._idle)
            self._idle, self._in_use, self._generation = [], 0, process.generation

    def resize(self, limit: int | None) -> None:
        """Change how many there may be."""
        with self._changed:
            self.limit = limit or None
            self._changed.notify_all()

    def force_close_all(self) -> None:
        """Close those that are not in use."""
        with self._changed:
            self._forget_parent()
            idle, self._idle = self._idle, []
        for item in idle:
            item.discard()


class PooledConnection(Connection):
    """A connection of a pool; `release`, and the end of a ``with`` block, give it back.

    Args:
        app: The app.
        pool: Where it goes.
    """

    def __init__(self, app: Celery, pool: Pool[PooledConnection]) -> None:
        super().__init__(app.broker, publisher=app.publisher)
        self._pool = pool

    def release(self) -> None:
        """Give it back."""
        self._pool.give_back(self)

    def discard(self) -> None:
        """Close it, and be in use no longer."""
        self.close()

    def __exit__(self, *exc_info: object) -> None:
        if exc_info[0] is not None:
            # What state it is in is unknown; it connects anew when it is used again.
            self.close()
        self.release()


class PooledProducer(Producer):
    """A producer of a pool; `release`, and the end of a ``with`` block, give it back.

    Args:
        pool: Where it goes.
        connections: Where its connection comes from, and goes.
    """

    def __init__(self, pool: Pool[PooledProducer], connections: Pool[PooledConnection]) -> None:
        self._borrowed = connections.acquire()
        super().__init__(self._borrowed)
        self._pool = pool

    def release(self) -> None:
        """Give it back."""
        self._pool.give_back(self)

    def discard(self) -> None:
        """Give its connection back."""
        self._borrowed.release()


def connection_pool(app: Celery) -> Pool[PooledConnection]:
    """The connections of an app."""
    return Pool(lambda pool: PooledConnection(app, pool), app.conf.broker_pool_limit)


def producer_pool(app: Celery) -> Pool[PooledProducer]:
    """The producers of an app, which use the connections of its other pool."""
    return Pool(lambda pool: PooledProducer(pool, app.pool), app.conf.broker_pool_limit)
