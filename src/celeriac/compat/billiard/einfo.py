"""`ExceptionWithTraceback`, as in ``billiard.einfo``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["ExceptionWithTraceback"]


class ExceptionWithTraceback(Exception):
    """An exception on its way from a process of billiard; Celeriac makes none.

    Args:
        exc: The exception.
        tb: Its traceback, or the text of it.

    Attributes:
        exc: The exception.
        tb: Text of its traceback.
    """

    def __init__(self, exc: BaseException, tb: TracebackType | str) -> None:
        super().__init__(exc, tb)
        self.exc = exc
        self.tb = tb
