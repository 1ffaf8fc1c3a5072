"""The steps of the worker's blueprint that are there already: names that steps of users may require.

They start nothing: the coordinator and `worker.run` do.  In Celery they are ``celery.worker.components``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from celeriac.bootsteps.step import StartStopStep, Step

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["STEPS", "Autoscaler", "Beat", "Consumer", "Hub", "Pool", "StateDB", "Timer"]


class Timer(Step):
    """``worker.timer``: calls functions later."""


class Hub(Step):
    """``worker.hub``: the event loop."""

    requires: ClassVar[Iterable[Any]] = (Timer,)


class Pool(StartStopStep):
    """``worker.pool``: where tasks run. What requires it is stopped before running tasks are waited for."""

    requires: ClassVar[Iterable[Any]] = (Hub,)

    def stop(self, parent: Any) -> None:
        """Have the coordinator wait for the tasks; returns when the pool has ended."""
        parent.step_thread.await_pool()

    terminate = stop


class Autoscaler(Step):
    """``worker.autoscaler``: resizes the pool; there with ``--autoscale``."""

    conditional: ClassVar[bool] = True
    requires: ClassVar[Iterable[Any]] = (Pool,)

    def include_if(self, parent: Any) -> bool:
        return parent.autoscale is not None


class Beat(Step):
    """The embedded scheduler; there with ``-B``."""

    label: ClassVar[str | None] = "Beat"
    conditional: ClassVar[bool] = True

    def include_if(self, parent: Any) -> bool:
        return parent.embedded_beat is not None


class StateDB(Step):
    """``worker.statedb``: what is revoked, kept in a file; there with ``--statedb``."""

    conditional: ClassVar[bool] = True

    def include_if(self, parent: Any) -> bool:
        return parent.state_path() is not None


class Consumer(StartStopStep):
    """``worker.consumer``: messages are consumed. It comes last."""

    last = True


STEPS: tuple[type[Step], ...] = (Timer, Hub, Pool, Autoscaler, Beat, StateDB, Consumer)
