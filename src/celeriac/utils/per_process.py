"""Something of which every process has its own."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class PerProcess(Generic[T]):
    """A client of which every process has its own: connections must not be shared across a fork.

    Args:
        make: Makes the client.
        close: Drops its connections.
    """

    def __init__(self, make: Callable[[], T], close: Callable[[T], object]) -> None:
        self._make = make
        self._close = close
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._client: T | None = None
        #: The parent's, in a forked child: collecting it might end connections that are not ours.
        self._inherited: list[T] = []

    def get(self) -> T:
        """The client of this process."""
        client = self._client
        if client is not None and self._pid == os.getpid():
            return client
        if self._pid != os.getpid():
            # The lock may have been held in the parent; this process has one thread right after the fork.
            self._lock = threading.Lock()
            if self._client is not None:
                self._inherited.append(self._client)
            self._client, self._pid = None, os.getpid()
        with self._lock:
            # Threads that come at the same time share what the first of them makes.
            if self._client is None:
                self._client = self._make()
            return self._client

    def close(self) -> None:
        """Drop the client."""
        client, self._client = self._client, None
        if client is not None and self._pid == os.getpid():
            self._close(client)
        elif client is not None:
            self._inherited.append(client)
