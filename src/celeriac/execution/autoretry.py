"""``autoretry_for``: exceptions that become retries, and how long they wait.  Retrying itself is the task's job."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from celeriac.exceptions import Ignore, Reject, Retry
from celeriac.utils.functions import is_coroutine_function

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["get_countdown", "with_autoretry"]


def get_countdown(factor: float, retries: int, maximum: float, *, jitter: bool) -> int:
    """Seconds until the next attempt.

    Args:
        factor: Seconds before the first retry; each further one waits twice as long.
        retries: Retries so far.
        maximum: Upper bound in seconds.
        jitter: Draw a random number of seconds from 0 up to that.
    """
    # Beyond 2**64 the bound decides; the power of a huge count would be a huge integer.
    countdown = max(0, min(int(maximum), int(factor * 2 ** min(retries, 64))))
    if not jitter:
        return countdown
    from random import randrange

    return randrange(countdown + 1)


def with_autoretry(task: Any, run: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a task's body so that the exceptions of its ``autoretry_for`` become retries.

    Args:
        task: The task; ``autoretry_for``, ``dont_autoretry_for``, ``retry_kwargs``, ``retry_backoff``,
            ``retry_backoff_max`` and ``retry_jitter`` are read when an exception arrives.
        run: Its body, already bound.
    """

    @functools.wraps(run)
    def run_with_autoretry(*args: Any, **kwargs: Any) -> Any:
        try:
            return run(*args, **kwargs)
        except Exception as exc:
            _retry_if_due(task, exc)
            raise

    @functools.wraps(run)
    async def await_with_autoretry(*args: Any, **kwargs: Any) -> Any:
        try:
            return await run(*args, **kwargs)
        except Exception as exc:
            _retry_if_due(task, exc)
            raise

    return await_with_autoretry if is_coroutine_function(run) else run_with_autoretry


def _retry_if_due(task: Any, exc: Exception) -> None:
    if isinstance(exc, (Ignore, Retry, Reject)) or not isinstance(exc, tuple(task.autoretry_for)):
        return
    if not isinstance(exc, tuple(task.dont_autoretry_for)):
        task.retry(exc=exc, **_retry_arguments(task))


def _retry_arguments(task: Any) -> dict[str, Any]:
    arguments = dict(task.retry_kwargs)
    if task.retry_backoff:
        arguments["countdown"] = get_countdown(
            max(1, int(task.retry_backoff)),
            task.request.retries,
            task.retry_backoff_max,
            jitter=task.retry_jitter,
        )
    override = getattr(task.request, "override_max_retries", None)
    if override is not None:
        arguments["max_retries"] = override
    return arguments
