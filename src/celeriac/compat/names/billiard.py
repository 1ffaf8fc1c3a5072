"""The modules of ``billiard`` that messages and results of Celery name, where billiard itself is not installed."""

from __future__ import annotations

from typing import Final

from celeriac.compat.names.row import Row, names_of

__all__ = ["TABLE"]

_ERRORS: Final = names_of(
    "celeriac.exceptions", "SoftTimeLimitExceeded", "Terminated", "TimeLimitExceeded", "WorkerLostError"
)

TABLE: Final[dict[str, Row]] = {
    "billiard": Row(None, {**_ERRORS, **names_of("multiprocessing", "cpu_count", "current_process")}),
    "billiard.einfo": Row(None, names_of("celeriac.serialization.einfo", "ExceptionInfo")),
    "billiard.exceptions": Row(None, _ERRORS),
}
