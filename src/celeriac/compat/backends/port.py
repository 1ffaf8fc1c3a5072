"""What Celeriac asks of a result backend, in terms of the methods of Celery's."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from celeriac import states
from celeriac.backend.base import BackendCapabilities, BackendOptions, ResultRecord
from celeriac.backend.chordless import WithoutChords
from celeriac.backend.watching import ReadingWatch, WatchedResults
from celeriac.compat.backends.forms import Forms
from celeriac.compat.backends.request import RecordedRequest
from celeriac.exceptions import BackendGetMetaError, BackendStoreError, DecodeError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Port"]

_KNOWN: Final = frozenset({
    "status", "result", "traceback", "children", "date_done", "group_id", "parent_id", "task_id",
})  # fmt: skip
#: Seconds between two looks, where the store does not say.
_INTERVAL: Final = 0.5
#: Of the first look; then it doubles.
_FIRST: Final = 0.01


class Port(WithoutChords, WatchedResults, Forms):
    """`celeriac.backend.base.ResultBackend` on top of `_store_result`, `_get_task_meta_for` and their like."""

    subpolling_interval: float | None = None
    supports_autoexpire = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.options = BackendOptions(settings=self.app.conf)
        self._port_lock = threading.RLock()

    @classmethod
    def of_app(cls, url: str | None, options: BackendOptions) -> Any:
        """Make it for the setting ``result_backend``.

        Args:
            url: Of the store; None has none.
            options: Among them is the app.
        """
        return cls(app=options.app, url=url)

    @property
    def capabilities(self) -> BackendCapabilities:
        """What it can do."""
        return BackendCapabilities(type(self).__name__, expires=bool(self.supports_autoexpire), chords=False)

    def expect(self, task_ids: Sequence[str]) -> str | None:
        return None

    def store_many(self, records: Sequence[ResultRecord]) -> None:
        for record in records:
            if record.status != states.SUCCESS and self._has_succeeded(record.task_id):
                continue
            request = RecordedRequest(record)
            try:
                self.store_result(
                    record.task_id, record.result, record.status, traceback=record.traceback, request=request
                )
            except (TypeError, ValueError) as exc:
                raise BackendStoreError(
                    f"the state {record.status} of task {record.task_id} was not stored: {exc}",
                    state=record.status,
                    task_id=record.task_id,
                ) from exc

    def _has_succeeded(self, task_id: str) -> bool:
        return bool(self._get_task_meta_for(task_id)["status"] == states.SUCCESS)

    def load_many(self, task_ids: Sequence[str]) -> dict[str, ResultRecord]:
        found = {}
        for task_id in dict.fromkeys(task_ids):
            try:
                meta = self.get_task_meta(task_id, cache=False)
            except (DecodeError, KeyError, TypeError) as exc:
                raise BackendGetMetaError(
                    f"what is stored for task {task_id} cannot be read: {exc}", task_id=task_id
                ) from exc
            if meta["status"] != states.PENDING:
                found[task_id] = _record(task_id, meta)
        return found

    def open_watch(self) -> ReadingWatch:
        return ReadingWatch(self.load_many, _Looks(self.subpolling_interval or _INTERVAL))

    def forget_many(self, task_ids: Sequence[str]) -> None:
        for task_id in task_ids:
            self.forget(task_id)

    def load_group(self, group_id: str) -> Any | None:
        group = self.restore_group(group_id, cache=False)
        return None if group is None else _as_lists(group.as_tuple())

    def sweep(self) -> int:
        self.cleanup()
        return 0

    def close(self) -> None:
        self.process_cleanup()

    # What it is made of.

    def store_result(self, task_id: str, result: Any, state: str, **_: Any) -> Any:
        raise NotImplementedError

    def get_task_meta(self, task_id: str, cache: bool = True) -> Any:
        raise NotImplementedError

    def _get_task_meta_for(self, task_id: str) -> Any:
        raise NotImplementedError

    def forget(self, task_id: str) -> None:
        raise NotImplementedError

    def restore_group(self, group_id: str, cache: bool = True) -> Any:
        raise NotImplementedError

    def cleanup(self) -> Any:
        raise NotImplementedError

    def process_cleanup(self) -> None:
        raise NotImplementedError


def _as_lists(form: Any) -> Any:
    """The form of a group as it is after JSON."""
    return [_as_lists(each) for each in form] if isinstance(form, list | tuple) else form


def _record(task_id: str, meta: Any) -> ResultRecord:
    done = meta.get("date_done")
    children = meta.get("children")
    return ResultRecord(
        task_id,
        meta["status"],
        meta.get("result"),
        meta.get("traceback"),
        [each.as_tuple() if hasattr(each, "as_tuple") else each for each in children] if children is not None else None,
        done.isoformat() if isinstance(done, datetime) else done,
        meta.get("group_id"),
        meta.get("parent_id"),
        {key: value for key, value in meta.items() if key not in _KNOWN} or None,
    )


class _Looks:
    """News of a store that tells none: there may be some after a while.

    Args:
        longest: Seconds between two looks at most.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._pause = min(_FIRST, longest)
        self._woken = threading.Event()

    def add(self, task_ids: Sequence[str]) -> None:
        self._pause = min(_FIRST, self._longest)

    def discard(self, task_ids: Sequence[str]) -> None:
        """Nothing is subscribed to."""

    def wait(self, seconds: float | None) -> None:
        self._woken.wait(self._pause if seconds is None else min(self._pause, seconds))
        self._woken.clear()
        self._pause = min(2 * self._pause, self._longest)

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None:
        """Nothing is held."""
