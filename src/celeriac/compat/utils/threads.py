"""Names of ``celery.utils.threads``."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from threading import Thread, get_ident
from threading import local as Local  # noqa: N812 - Celery's name
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Local", "LocalStack", "bgThread", "default_socket_timeout", "get_ident"]

_numbers = count(1)


@contextmanager
def default_socket_timeout(timeout: float | None) -> Iterator[None]:
    """Have new sockets time out after some seconds for a while."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(timeout)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


class LocalStack:
    """A stack of one's own for each thread, greenlet and coroutine."""

    def __init__(self) -> None:
        self._items: ContextVar[tuple[Any, ...]] = ContextVar(f"local_stack_{next(_numbers)}", default=())

    def push(self, obj: Any) -> list[Any]:
        """Put something on top; returns the stack."""
        self._items.set((*self._items.get(), obj))
        return self.stack

    def pop(self) -> Any:
        """Take the top off; None where there is none."""
        items = self._items.get()
        if not items:
            return None
        self._items.set(items[:-1])
        return items[-1]

    def __len__(self) -> int:
        return len(self._items.get())

    @property
    def stack(self) -> list[Any]:
        """All of it, the top last."""
        return list(self._items.get())

    @property
    def top(self) -> Any:
        """The top; None where there is none."""
        items = self._items.get()
        return items[-1] if items else None


class bgThread(Thread):  # noqa: N801 - Celery's name
    """A thread that calls `body` again and again until `stop`.

    Args:
        name: Its name.
        **kwargs: Further arguments of `threading.Thread`.
    """

    def __init__(self, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(name=name or type(self).__name__, daemon=True, **kwargs)
        self._stopping = False

    def body(self) -> None:
        """One round; for subclasses.

        Raises:
            NotImplementedError: The subclass has none.
        """
        raise NotImplementedError(f"{type(self).__name__} has no body()")

    def run(self) -> None:
        """Go on until `stop`, or until `body` raises."""
        while not self._stopping:
            self.body()

    def stop(self) -> None:
        """End after the round; returns when it has."""
        self._stopping = True
        if self.is_alive() and get_ident() != self.ident:
            self.join()
