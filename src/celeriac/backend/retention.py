"""How long a result is kept.  Deleting it is the backend's matter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from celeriac import states

if TYPE_CHECKING:
    from celeriac.backend.base import BackendOptions


_WEEK: Final = 7 * 86400.0


def expiry(options: BackendOptions, status: str | None, now: float) -> float | None:
    """Unix time at which something stored now expires; None is never.

    Args:
        options: ``expires`` and ``failure_expires``; 0 is for ever, as in Celery.
        status: State of the record; None for a saved group.
        now: Unix time.
    """
    seconds = options.expires
    if status == states.FAILURE and options.failure_expires is not None:
        seconds = options.failure_expires
    return now + seconds if seconds else None


def graph_lifetime(options: BackendOptions) -> float | None:
    """Seconds that the rest of a workflow is kept, at least as long as results; None is for ever.

    Args:
        options: ``expires``, and ``task_graph_expires`` among the settings.
    """
    given = options.settings.get("task_graph_expires", _WEEK)
    return max(float(given), options.expires or 0.0) if given else None


def chord_lifetime(options: BackendOptions) -> float | None:
    """Seconds that what is known about a chord is kept after its last change; None is for ever.

    Args:
        options: ``expires``, and ``result_chord_expires`` among the settings.
    """
    given = options.settings.get("result_chord_expires")
    return (options.expires if given is None else float(given)) or None
