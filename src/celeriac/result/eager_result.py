"""The result of a task that ran in place: `EagerResult`."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from celeriac import states
from celeriac.backend.base import ResultRecord
from celeriac.exceptions import TaskRevokedError
from celeriac.result.async_result import AsyncResult
from celeriac.result.joining import assert_will_not_block
from celeriac.result.waiting import exception_of

R = TypeVar("R")


class EagerResult(AsyncResult[R]):
    """The result of a task that ran in place.

    Args:
        id: Id of the task.
        ret_value: Its value, or its exception.
        state: Its state.
        traceback: Text of the traceback.
        name: Name of the task.
    """

    def __init__(
        self,
        id: str,
        ret_value: Any,
        state: str,
        traceback: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(id, task_name=name)
        self._eager = ResultRecord(id, state, ret_value, traceback)

    def _record(self) -> ResultRecord:
        return self._eager

    def known_record(self) -> ResultRecord:
        """Its record."""
        return self._eager

    def ready(self) -> bool:
        """Always true."""
        return True

    def exists(self) -> bool:
        """Always true."""
        return True

    def get(  # type: ignore[override]
        self,
        timeout: float | None = None,
        propagate: bool = True,
        disable_sync_subtasks: bool = True,
        **kwargs: Any,
    ) -> R:
        """Its value; raises the task's exception unless ``propagate`` is False.

        One that neither succeeded nor failed, such as one that was ignored, has none.
        """
        if disable_sync_subtasks:
            assert_will_not_block()
        record = self._eager
        if record.status in states.PROPAGATE_STATES and propagate:
            raise exception_of(record)
        has_value = record.status == states.SUCCESS or record.status in states.PROPAGATE_STATES
        return cast("R", record.result if has_value else None)

    wait = get  # type: ignore[assignment]

    def forget(self) -> None:
        """There is nothing to delete."""

    def revoke(self, *args: Any, **kwargs: Any) -> None:
        """It has ended: only its state changes, and its value."""
        self._eager.status, self._eager.result = states.REVOKED, TaskRevokedError("revoked")

    def __repr__(self) -> str:
        return f"<EagerResult: {self.id}>"

    def __copy__(self) -> EagerResult[R]:
        record = self._eager
        return EagerResult(self.id, record.result, record.status, record.traceback, self._name)

    def __reduce__(self) -> tuple[Any, ...]:
        record = self._eager
        return EagerResult, (self.id, record.result, record.status, record.traceback, self._name)
