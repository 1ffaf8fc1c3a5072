"""Awaiting what a task's ``async def`` body returns: on which event loop, and how limits and cancellation reach it.

Loaded with the first coroutine: a child that never sees one does without asyncio and its 5 MB.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import types
from functools import partial
from inspect import isawaitable
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from celeriac.exceptions import SoftTimeLimitExceeded, TaskCancelledError
from celeriac.execution.calling import classify
from celeriac.execution.job import CANCELLED
from celeriac.execution.limits import soft_limits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator

    from celeriac.execution.calling import Execution
    from celeriac.execution.limits import Interruptible

T = TypeVar("T")


class SoftCancellation(SoftTimeLimitExceeded, asyncio.CancelledError):
    """The soft limit as a coroutine sees it.

    Being a `CancelledError` too, it makes a `asyncio.TaskGroup` that the coroutine waits in end its tasks before it
    goes on; what waits for `SoftTimeLimitExceeded`, or for any `Exception`, catches it.
    """


class Steering:
    """The means to interrupt one coroutine; used on its event loop.

    Args:
        limit: Its soft time limit in seconds, if it has one.

    Attributes:
        cancelled: `cancel` was called.
    """

    __slots__ = ("_exceeded", "_limit", "_task", "cancelled")

    def __init__(self, limit: float | None = None) -> None:
        self._task: asyncio.Task[Any] | None = None
        self._limit = limit
        self._exceeded = False
        self.cancelled = False

    def exceed(self) -> None:
        """Raise `SoftTimeLimitExceeded` where it awaits; one that has ended is left alone."""
        self._exceeded = True
        if self._task is not None:
            self._task.cancel()

    def cancel(self) -> None:
        """Raise `CancelledError` where it awaits; one that has ended is left alone."""
        self.cancelled = True
        if self._task is not None:
            self._task.cancel()

    async def follow(self, awaitable: Awaitable[T]) -> T:
        """The value of an awaitable, in the running asyncio task."""
        self._task = asyncio.current_task()
        if self._task is not None and (self.cancelled or self._exceeded):
            # It came before there was anything to interrupt.
            self._task.cancel()
        try:
            return await _follow(self, awaitable)
        finally:
            self._task = None

    def reason(self, exc: asyncio.CancelledError) -> BaseException:
        """What a cancellation that has reached the coroutine is to raise in it."""
        exceeded, self._exceeded = self._exceeded, False
        # Of two at once only one arrives, and that one is to end it.
        if not exceeded or self._task is None or self._task.uncancel() > 0 or self.cancelled:
            return exc
        return SoftCancellation(self._limit)


@types.coroutine
def _follow(steering: Steering, awaitable: Awaitable[T]) -> Generator[Any, Any, T]:
    """`yield from`, but for the exceptions that steering replaces."""
    steps = awaitable.__await__()
    step: Callable[[Any], Any] = steps.send
    value: Any = None
    while True:
        try:
            waiting = step(value)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        try:
            value = yield waiting
            step = steps.send
        except asyncio.CancelledError as exc:
            step, value = steps.throw, steering.reason(exc)
        except GeneratorExit:
            steps.close()
            raise
        except BaseException as exc:
            step, value = steps.throw, exc


class _Home(threading.local):
    """The event loop that a thread of a pool keeps between its tasks."""

    runner: asyncio.Runner | None = None


_home = _Home()
_pool_loop: asyncio.AbstractEventLoop | None = None


def use_loop_of_pool(loop: asyncio.AbstractEventLoop | None) -> None:
    """Have other threads await on the event loop of the asyncio pool."""
    global _pool_loop
    _pool_loop = loop


def close_loop() -> None:
    """Close the event loop that this thread keeps, its asynchronous generators and its executor."""
    runner, _home.runner = _home.runner, None
    if runner is not None:
        runner.close()


def drive(awaitable: Awaitable[T], *, keep: bool) -> T:
    """Wait here for the value of an awaitable.

    Args:
        awaitable: What a body returned.
        keep: This thread lives on, and so shall its event loop: what a task has opened there serves the next one.

    Raises:
        TaskCancelledError: It ended with `asyncio.CancelledError`.
        Exception: What it raised.
    """
    watch = soft_limits.by_thread.get(threading.get_ident())
    steering = Steering(None if watch is None else watch.limit)
    work = _settle(steering, awaitable)
    if _is_running_loop():
        # Eager, in a coroutine: the loop of this thread is busy waiting for this call.
        value, exc = _in_thread(work)
    elif _pool_loop is not None:
        # In a greenlet, or it was a function, run in a thread, that returned this coroutine.
        value, exc = _on_loop(_pool_loop, steering, work, watch)
    else:
        value, exc = _run(steering, work, watch, keep=keep)
    if exc is not None:
        raise exc
    return value  # type: ignore[return-value]


async def acall(run: Execution, steering: Steering) -> None:
    """`celeriac.execution.calling.call` for a coroutine task, on the loop that runs it."""
    started = monotonic()
    try:
        task = run.task
        if task.plan.has_before_start:
            value = task.before_start(run.request.id, run.args, run.kwargs)
            if isawaitable(value):
                await steering.follow(value)
        value = task(*run.args, **run.kwargs) if task.plan.custom_call else task.run(*run.args, **run.kwargs)
        run.value = await steering.follow(value) if isawaitable(value) else value
    except MemoryError:
        raise
    except SoftCancellation as exc:
        classify(run, exc)
    except asyncio.CancelledError as exc:
        if steering.cancelled:
            run.kind, run.value = CANCELLED, exc
        else:
            classify(run, was_cancelled(exc))
    except Exception as exc:
        classify(run, exc)
    run.runtime = monotonic() - started


async def _settle(steering: Steering, awaitable: Awaitable[T]) -> tuple[T | None, BaseException | None]:
    """Value and exception: passed on by hand, an exception has none of asyncio's frames in its traceback."""
    try:
        return await steering.follow(awaitable), None
    except SoftCancellation as exc:
        return None, exc
    except asyncio.CancelledError as exc:
        return None, was_cancelled(exc)
    except Exception as exc:
        return None, exc


def was_cancelled(exc: asyncio.CancelledError) -> TaskCancelledError:
    """What to record of a coroutine that ended with `CancelledError` though the worker had not cancelled it.

    `CancelledError` itself would, raised by ``await result``, cancel the one who waits.
    """
    failure = TaskCancelledError(*(exc.args or ("the coroutine of the task ended with CancelledError",)))
    failure.__cause__ = exc
    return failure.with_traceback(exc.__traceback__)


def _is_running_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _on_loop(
    loop: asyncio.AbstractEventLoop, steering: Steering, work: Coroutine[Any, Any, T], watch: Interruptible | None
) -> T:
    future = asyncio.run_coroutine_threadsafe(work, loop)
    if watch is None:
        return future.result()
    watch.redirect = partial(_forward, loop, steering)
    try:
        return future.result()
    finally:
        watch.redirect = None


def _run(steering: Steering, work: Coroutine[Any, Any, T], watch: Interruptible | None, *, keep: bool) -> T:
    context = contextvars.copy_context()
    if not keep:
        with asyncio.Runner() as runner:
            return runner.run(work, context=context)
    if _home.runner is None:
        _home.runner = asyncio.Runner()
    runner = _home.runner
    if watch is None:
        return runner.run(work, context=context)
    loop = runner.get_loop()
    watch.redirect = partial(_forward, loop, steering)
    try:
        return runner.run(work, context=context)
    finally:
        watch.redirect = None


def _forward(loop: asyncio.AbstractEventLoop, steering: Steering, *, cancel: bool = False) -> None:
    loop.call_soon_threadsafe(steering.cancel if cancel else steering.exceed)


def _in_thread(work: Coroutine[Any, Any, T]) -> T:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1, "celeriac-eager") as executor:
        return executor.submit(contextvars.copy_context().run, asyncio.run, work).result()
