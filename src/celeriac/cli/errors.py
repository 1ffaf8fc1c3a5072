"""Exit codes, and the one line that a known error becomes.  Errors nobody expects keep their traceback."""

from __future__ import annotations

from celeriac.cli.find_app import has_user_frame, user_traceback
from celeriac.exceptions import (
    BackendError,
    EncodeError,
    ImproperlyConfigured,
    OperationalError,
    QueueNotFound,
    SecurityError,
)
from celeriac.utils.url import redact

EX_OK = 0
EX_FAILURE = 1
EX_USAGE = 2
EX_UNAVAILABLE = 69
EX_CANTCREAT = 73


class Unreachable(OperationalError):
    """A server cannot be reached; the message names it.

    Args:
        what: ``message broker`` or ``result backend``.
        url: Its URL, without a password.
        reason: What went wrong.
    """

    def __init__(self, what: str, url: str, reason: object) -> None:
        super().__init__(f"Could not connect to the {what} {redact(url)}: {reason}")


def explain(exc: Exception) -> tuple[str | None, int]:
    """What to print for an error, and the exit code.

    Returns:
        None instead of a text for an error that nobody expects.
    """
    if isinstance(exc, OperationalError | BackendError):
        return str(exc), EX_UNAVAILABLE
    if isinstance(exc, QueueNotFound):
        return str(exc.args[0] if exc.args else exc), EX_FAILURE
    if isinstance(exc, ImproperlyConfigured | SecurityError | EncodeError):
        cause = exc.__cause__
        # An error of the user's own code is shown where it happened.
        where = f"\n\n{user_traceback(cause)}" if cause is not None and has_user_frame(cause) else ""
        return f"{exc}{where}", EX_FAILURE
    return None, EX_FAILURE
