"""Tasks that look now and again whether they are to stop.

Unlike `revoke` with ``terminate`` this asks the task, which ends in its own good time::

    @app.task(bind=True, base=AbortableTask)
    def count(self):
        for number in range(1000):
            if self.is_aborted():
                return number
            work()

    count.delay().abort()

The wish is the state ``ABORTED`` in the result store; the task's own end replaces it.
"""

from __future__ import annotations

from typing import Any, Final, ParamSpec, TypeVar

from celeriac.app.task import Task
from celeriac.backend.base import ResultRecord
from celeriac.result import AsyncResult

__all__ = ["ABORTED", "AbortableAsyncResult", "AbortableTask"]

ABORTED: Final = "ABORTED"

P = ParamSpec("P")
R = TypeVar("R")


class AbortableAsyncResult(AsyncResult[R]):
    """The result of a task that can be asked to stop."""

    def is_aborted(self) -> bool:
        """Somebody wants it to stop, and it has not ended since."""
        return self.state == ABORTED

    def abort(self) -> None:
        """Ask it to stop; one that has ended is left alone.

        Raises:
            NotImplementedError: The result store cannot be asked by others than the caller of the task.
        """
        _check_store(self.backend)
        self.backend.store_many([ResultRecord(self.id, ABORTED)])


class AbortableTask(Task[P, R]):
    """A task that can be asked to stop."""

    abstract = True

    def AsyncResult(self, task_id: str, **kwargs: Any) -> AbortableAsyncResult[R]:
        """The result of a call of this task by its id."""
        kwargs.setdefault("app", self.app)
        return AbortableAsyncResult(task_id, backend=self.backend, task_name=self.name, **kwargs)

    def execution_options(self) -> dict[str, Any]:
        """What its calls say unless they say otherwise."""
        return {**super().execution_options(), "result_cls": self.AsyncResult}

    def is_aborted(self, **kwargs: Any) -> bool:
        """Somebody wants it to stop; asks the result store each time.

        Args:
            **kwargs: ``task_id``: another call of this task.

        Raises:
            NotImplementedError: The result store cannot be asked by others than the caller of the task.
        """
        task_id = kwargs.get("task_id", self.request.id)
        if task_id is None or (self.request.is_eager and "task_id" not in kwargs):
            # It runs in place: nobody can have asked.
            return False
        _check_store(self.backend)
        return self.AsyncResult(task_id).is_aborted()


def _check_store(backend: Any) -> None:
    if backend.url.startswith(("rpc", "disabled")):
        raise NotImplementedError(
            f"Tasks cannot be aborted with the result store {backend.url}, which only the caller of a task can read: "
            "set result_backend to another one, such as redis://"
        )
