"""The modules of ``billiard`` that messages and results of Celery name, where billiard itself is not installed."""

from __future__ import annotations

from typing import Final

from celeriac.compat.names.row import Row, names_of

__all__ = ["TABLE"]

_ERRORS: Final = names_of(
    "celeriac.exceptions", "SoftTimeLimitExceeded", "Terminated", "TimeLimitExceeded", "WorkerLostError"
)

TABLE: Final[dict[str, Row]] = {
    "billiard": Row(
        None,
        {
            **_ERRORS,
            **names_of("multiprocessing", "cpu_count", "current_process"),
            **names_of("celeriac.compat.version", VERSION="BILLIARD_VERSION", __version__="BILLIARD"),
        },
    ),
    "billiard.einfo": Row("celeriac.compat.billiard.einfo", names_of("celeriac.serialization.einfo", "ExceptionInfo")),
    "billiard.exceptions": Row(None, _ERRORS),
    "billiard.pool": Row(None, names_of("celeriac.compat.billiard.worker", "Worker")),
}
