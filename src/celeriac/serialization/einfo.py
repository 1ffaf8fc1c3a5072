"""An exception together with the text of its traceback.  It decides nothing about them."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, Any

from celeriac.serialization.failures import make_picklable

if TYPE_CHECKING:
    from types import TracebackType


class ExceptionInfo:
    """What handlers and signals get as ``einfo``.

    Args:
        exc_info: As from ``sys.exc_info()``, which is the default.
        internal: The error is one of the library, not of the task.

    Attributes:
        type: The exception class.
        exception: The exception.
        tb: Its traceback; None after pickling.
        traceback: Text of the traceback, made when the object is made.
        internal: As given.
    """

    def __init__(
        self,
        exc_info: tuple[type[BaseException], BaseException, TracebackType | None] | None = None,
        internal: bool = False,
    ) -> None:
        kind, exc, tb = exc_info or sys.exc_info()
        if kind is None or exc is None:
            raise ValueError("ExceptionInfo() needs exc_info when no exception is being handled")
        self.type: type[BaseException] = kind
        self.exception: BaseException = exc
        self.tb: TracebackType | None = tb
        self.traceback: str = _format(exc, tb)
        self.internal = internal

    @classmethod
    def from_exception(cls, exc: BaseException, text: str | None = None, *, internal: bool = False) -> ExceptionInfo:
        """Describe an exception.

        Args:
            exc: The exception.
            text: Text of its traceback where the traceback itself is in another process.
            internal: See the class.
        """
        info = cls((type(exc), exc, exc.__traceback__), internal)
        if text is not None:
            info.traceback = text
        return info

    @property
    def exc_info(self) -> tuple[type[BaseException], BaseException, TracebackType | None]:
        """The triple of ``sys.exc_info()``."""
        return self.type, self.exception, self.tb

    def __str__(self) -> str:
        return self.traceback

    def __repr__(self) -> str:
        return f"<ExceptionInfo: {self.exception!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (make_picklable(self.exception), self.traceback, self.internal)


def _rebuild(exc: BaseException, text: str, internal: bool) -> ExceptionInfo:
    return ExceptionInfo.from_exception(exc, text, internal=internal)


def _format(exc: BaseException, tb: TracebackType | None) -> str:
    try:
        return "".join(traceback.format_exception(type(exc), exc, tb))
    except Exception as error:
        # A broken __str__ or a cycle of causes must not hide the failure of the task.
        frames = "".join(traceback.format_tb(tb))
        return f"{frames}{type(exc).__qualname__}: <no text: {type(error).__name__}>\n"
