"""Whether code may wait for results where it runs.  A task that waits for other tasks can block its whole pool."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from celeriac.current import get_current_worker_request

if TYPE_CHECKING:
    from collections.abc import Iterator

_join_allowed: ContextVar[bool | None] = ContextVar("celeriac_join_allowed", default=None)


@contextmanager
def allow_join_result() -> Iterator[None]:
    """Allow waiting for results inside a task. A pool whose slots all wait for one another never ends."""
    token = _join_allowed.set(True)
    try:
        yield
    finally:
        _join_allowed.reset(token)


@contextmanager
def denied_join_result() -> Iterator[None]:
    """Forbid waiting for results."""
    token = _join_allowed.set(False)
    try:
        yield
    finally:
        _join_allowed.reset(token)


def assert_will_not_block() -> None:
    """Complain when waiting for a result here could block a worker for ever.

    Raises:
        RuntimeError: A task is running, and neither `allow_join_result` nor ``disable_sync_subtasks=False`` says
            that it may wait.
    """
    allowed = _join_allowed.get()
    if allowed is None:
        request = get_current_worker_request()
        allowed = request is None or request.is_eager
    if not allowed:
        raise RuntimeError(
            "Never call result.get() within a task! It can block every slot of the pool. "
            "Use a link or a chain, or allow_join_result() if you are sure."
        )
