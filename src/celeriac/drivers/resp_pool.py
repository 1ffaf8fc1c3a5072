"""Redis connections shared by the threads of a process, each lent to one thread at a time.

A connection never crosses a fork: the child opens its own.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, TypeVar

from celeriac.drivers.resp import RespConnection
from celeriac.exceptions import OperationalError, SessionLost

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac.drivers.resp_params import RespParams

T = TypeVar("T")


class RespPool:
    """Connections to one server.

    Args:
        params: Where the server is; ``max_connections`` bounds the pool.
    """

    def __init__(self, params: RespParams) -> None:
        self.params = params
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._idle: list[RespConnection] = []
        bound = self.params.max_connections
        self._slots = threading.BoundedSemaphore(bound) if bound else None

    def run(self, operation: Callable[[RespConnection], T]) -> T:
        """Run an operation on a connection.

        An operation that finds its connection broken runs once more on a new one when the connection had been idle:
        the server may have closed it long ago.  So it has to be one that may run twice.

        Raises:
            OperationalError: The server cannot be reached, or no connection became free in time.
        """
        if self._pid != os.getpid():
            self._reset()
        slots = self._slots
        if slots is not None and not slots.acquire(timeout=self.params.timeout):
            raise OperationalError(
                f"all {self.params.max_connections} connections to Redis at {self.params.address} were in use for "
                f"{self.params.timeout:g} s; raise redis_max_connections"
            )
        try:
            return self._run(operation)
        finally:
            if slots is not None:
                slots.release()

    def _run(self, operation: Callable[[RespConnection], T]) -> T:
        started = time.monotonic()
        connection = self._take()
        if connection is not None:
            try:
                return self._run_on(connection, operation)
            except SessionLost:
                # After a timeout the server is slow, not the connection stale.
                if time.monotonic() - started > self.params.timeout / 2:
                    raise
        return self._run_on(RespConnection(self.params), operation)

    def _take(self) -> RespConnection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _run_on(self, connection: RespConnection, operation: Callable[[RespConnection], T]) -> T:
        clean = False
        try:
            result = operation(connection)
            clean = True
            return result
        except OperationalError:
            # An error reply leaves the connection in order; a broken one says so itself.
            clean = connection.lost is None
            raise
        finally:
            # Anything else, such as KeyboardInterrupt, may have left a reply unread.
            if clean:
                self._idle.append(connection)
            else:
                connection.close()

    def close(self) -> None:
        """Close the idle connections. The pool may be used again."""
        while (connection := self._take()) is not None:
            connection.close()
