"""The request of a task, for a store of a third party: what its record tells about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac.utils.saferepr import saferepr

if TYPE_CHECKING:
    from celeriac.backend.base import ResultRecord

__all__ = ["RecordedRequest"]


class _Child:
    """A result by its tuple form."""

    def __init__(self, form: Any) -> None:
        self._form = form

    def as_tuple(self) -> Any:
        return self._form


class RecordedRequest:
    """The request whose end a record is.

    What is told about the call is there with the setting ``result_extended`` alone, and None without.

    Args:
        record: The record.
    """

    #: Chords are joined by others.
    chord = None
    errbacks = None
    ignore_result = False

    def __init__(self, record: ResultRecord) -> None:
        #: What is stored beside the fields that all results have.
        self.extra = record.extra or {}
        extra = dict(self.extra)
        self.id = record.task_id
        self.task = extra.pop("name", None)
        self.args, self.kwargs = extra.pop("args", None), extra.pop("kwargs", None)
        self.argsrepr = None if self.args is None else saferepr(tuple(self.args))
        self.kwargsrepr = None if self.kwargs is None else saferepr(self.kwargs)
        self.hostname = extra.pop("worker", None)
        self.retries = extra.pop("retries", 0)
        self.delivery_info = {"routing_key": extra.pop("queue", None)}
        self.periodic_task_name = extra.pop("periodic_task_name", None)
        self.group, self.group_id = record.group_id, record.group_id
        self.parent_id = record.parent_id
        self.children = None if record.children is None else [_Child(form) for form in record.children]
        self.reply_to, self.correlation_id = record.reply_to, record.correlation_id
        self.date_done = record.date_done
        self.stamped_headers = extra.pop("stamped_headers", None)
        self.stamps = extra
        self.meta: dict[str, Any] = {}
