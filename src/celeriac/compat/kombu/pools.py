"""Names of ``kombu.pools``: connections and producers to borrow, by the connection that they are like."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from celeriac.exceptions import OperationalError
from celeriac.messaging.producer import Producer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Pool", "PoolGroup", "connections", "get_limit", "producers", "reset", "set_limit"]

_LIMIT = 10
_limit = [int(os.environ.get("KOMBU_LIMIT", _LIMIT))]


class Pool:
    """Things to borrow, each by one thread at a time.

    Args:
        make: Makes one.
        limit: Most at once.
    """

    def __init__(self, make: Callable[[], Any], limit: int) -> None:
        self._make = make
        self.limit = limit
        self._free: list[Any] = []
        self._permits = threading.BoundedSemaphore(limit)
        self._lock = threading.Lock()

    @contextmanager
    def acquire(self, block: bool = False, timeout: float | None = None) -> Iterator[Any]:
        """Borrow one for a ``with`` block.

        Args:
            block: Wait for one where all are borrowed.
            timeout: Seconds to wait; None is as long as it takes.

        Raises:
            OperationalError: All are borrowed.
        """
        if not self._permits.acquire(blocking=block, timeout=timeout if block else None):
            raise OperationalError(f"all {self.limit} of the pool are borrowed: set_limit() allows more")
        try:
            with self._lock:
                found = self._free.pop() if self._free else None
            found = self._make() if found is None else found
            try:
                yield found
            except BaseException:
                # What state it is in is unknown; it connects anew when it is borrowed again.
                _close(found)
                raise
            finally:
                with self._lock:
                    self._free.append(found)
        finally:
            self._permits.release()

    def force_close_all(self) -> None:
        """Close what is not borrowed."""
        with self._lock:
            free, self._free = self._free, []
        for each in free:
            _close(each)


def _close(borrowed: Any) -> None:
    getattr(borrowed, "connection", borrowed).close()


class PoolGroup(dict[Any, Pool]):
    """A pool for each broker.

    Args:
        make: Makes what is borrowed, from a connection of its own.
    """

    def __init__(self, make: Callable[[Any], Any]) -> None:
        super().__init__()
        self._of_connection = make

    def __getitem__(self, connection: Any) -> Pool:
        key = connection.as_uri()
        pool = self.get(key)
        if pool is None:
            pool = self[key] = Pool(lambda: self._of_connection(connection.clone()), get_limit())
        return pool


connections = PoolGroup(lambda connection: connection)
producers = PoolGroup(Producer)


def get_limit() -> int:
    """How many may be borrowed at once."""
    return _limit[0]


def set_limit(limit: int, force: bool = False, reset_after: bool = False, ignore_errors: bool = False) -> int:
    """Set how many may be borrowed at once, from pools that are made from now on."""
    _limit[0] = limit or _LIMIT
    if reset_after:
        reset()
    return limit


def reset(*_args: Any, **_kwargs: Any) -> None:
    """Close what is not borrowed, and forget the pools."""
    for group in (connections, producers):
        for pool in group.values():
            pool.force_close_all()
        group.clear()
