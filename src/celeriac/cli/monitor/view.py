"""What the monitor shows: rates, a filter, and rows of workers and tasks.  It draws nothing and needs no terminal."""

from __future__ import annotations

import time
from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from celeriac.events.records import Task, Worker
    from celeriac.events.state import State

#: Seconds over which rates are taken, and that a curve of them shows.
RATE_WINDOW, CURVE_LENGTH = 10, 60
#: Tasks that a table shows.
MAX_ROWS = 500
#: Words that stand for several states.
_STATES: Final = {
    "active": ("STARTED",),
    "waiting": ("PENDING", "RECEIVED"),
    "failed": ("FAILURE",),
    "succeeded": ("SUCCESS",),
    "done": ("SUCCESS", "FAILURE", "REVOKED", "REJECTED"),
}


class Rates:
    """Events in a second, by type, over the last seconds.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds: deque[tuple[int, dict[str, int]]] = deque(maxlen=CURVE_LENGTH)

    def count(self, type_: str) -> None:
        """Count an event."""
        second = int(self._clock())
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append((second, {}))
        counts = self._seconds[-1][1]
        counts[type_] = counts.get(type_, 0) + 1

    def per_second(self, type_: str) -> float:
        """How many a second, of those that are over."""
        return sum(self.curve(type_)[-RATE_WINDOW:]) / RATE_WINDOW

    def curve(self, type_: str) -> list[int]:
        """How many in each of the last seconds, oldest first."""
        now = int(self._clock())
        counts = {second: found.get(type_, 0) for second, found in list(self._seconds)}
        return [counts.get(second, 0) for second in range(now - CURVE_LENGTH, now)]


class Filter:
    """Which tasks to show.

    Words must all be found in a task's name, id, worker, arguments, result or exception; ``state:``, ``worker:`` and
    ``name:`` look there only. States may be named as ``failed``, ``active``, ``waiting``, ``done``.

    Args:
        text: What was typed.
    """

    def __init__(self, text: str = "") -> None:
        self.text = text
        self._conditions = [self._condition(word) for word in text.split()]

    @staticmethod
    def _condition(word: str) -> Callable[[Task], bool]:
        field, colon, wanted = word.lower().partition(":")
        if colon and field == "state":
            states = _STATES.get(wanted)
            return lambda task: task.state in states if states else task.state.lower().startswith(wanted)
        if colon and field == "worker":
            return lambda task: wanted in _worker_of(task).lower()
        if colon and field == "name":
            return lambda task: wanted in str(task.name).lower()
        whole = word.lower()
        return lambda task: any(whole in str(value).lower() for value in _searched(task))

    def __call__(self, task: Task) -> bool:
        """It is to be shown."""
        return all(condition(task) for condition in self._conditions)


def _searched(task: Task) -> Iterable[Any]:
    found = (task.name, task.uuid, _worker_of(task), task.args, task.kwargs, task.result, task.exception, task.state)
    return (value for value in found if value)


def _worker_of(task: Task) -> str:
    return "" if task.worker is None else str(task.worker.hostname)


class TaskRow(NamedTuple):
    """A task in a table."""

    state: str
    time: str
    name: str
    arguments: str
    worker: str
    runtime: str
    uuid: str


class WorkerRow(NamedTuple):
    """A worker in a table."""

    hostname: str
    status: str
    active: str
    processed: str
    load: str
    pid: str
    software: str


def task_rows(state: State, wanted: Callable[[Task], bool], limit: int = MAX_ROWS) -> list[TaskRow]:
    """The newest tasks, by the time of their last event."""
    tasks = [task for _, task in state.itertasks() if wanted(task)]
    # By wall clock: the logical clocks of workers that do not listen to each other cannot be compared.
    tasks.sort(key=lambda task: task.timestamp or 0.0, reverse=True)
    return [_task_row(task) for task in tasks[:limit]]


def _task_row(task: Task) -> TaskRow:
    return TaskRow(
        task.state,
        clock_time(task.timestamp),
        task.name or "?",
        _arguments(task),
        _worker_of(task),
        "" if task.runtime is None else seconds(task.runtime),
        str(task.uuid),
    )


def _arguments(task: Task) -> str:
    args = str(task.args or "()")
    kwargs = str(task.kwargs or "{}")
    return args if kwargs == "{}" else f"{args} {kwargs}"


def worker_rows(state: State) -> list[WorkerRow]:
    """The workers by name."""
    return [_worker_row(worker) for _, worker in sorted(state.freeze_while(lambda: list(state.workers.items())))]


def _worker_row(worker: Worker) -> WorkerRow:
    return WorkerRow(
        str(worker.hostname),
        worker.status_string.lower(),
        _text(worker.active),
        _text(worker.processed),
        " ".join(f"{load:.2f}" for load in worker.loadavg or ()),
        _text(worker.pid),
        " ".join(filter(None, (worker.sw_ident, worker.sw_ver))),
    )


def details(task: Task) -> list[tuple[str, str]]:
    """Everything about a task, for people: names and values."""
    moments = ("sent", "received", "started", "succeeded", "failed", "retried", "rejected", "revoked")
    found = [("task", task.name), ("id", task.uuid), ("state", task.state), ("worker", _worker_of(task))]
    found += [(name, clock_time(getattr(task, name))) for name in moments if getattr(task, name)]
    found += [(name.replace("_", " "), value) for name, value in task.info().items() if name != "runtime"]
    if task.runtime is not None:
        found.append(("runtime", seconds(task.runtime)))
    found.append(("children", ", ".join(str(child.uuid) for child in list(task.children))))
    return [(name, str(value)) for name, value in found if value not in (None, "")]


def clock_time(timestamp: float | None) -> str:
    """A time of day."""
    return "" if not timestamp else datetime.fromtimestamp(timestamp).astimezone().strftime("%H:%M:%S.%f")[:-3]


def seconds(value: float) -> str:
    """A duration.

    >>> seconds(0.00123), seconds(2.5), seconds(125)
    ('1.2 ms', '2.50 s', '2 m 05 s')
    """
    if value < 1:
        return f"{value * 1000:.1f} ms"
    if value < 60:
        return f"{value:.2f} s"
    return f"{int(value // 60)} m {int(value % 60):02} s"


def _text(value: Any) -> str:
    return "" if value is None else str(value)
