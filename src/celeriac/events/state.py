"""What a cluster looks like from its events: its workers and its newest tasks.  It receives nothing itself."""

from __future__ import annotations

import threading
from collections import OrderedDict
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from weakref import WeakSet

from celeriac.events.records import Task, Worker, heartbeat_expires

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["State", "Task", "Worker", "heartbeat_expires"]

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")
#: Inside of `State`, its attributes of these names stand before the classes.
AnyWorker: TypeAlias = Worker
AnyTask: TypeAlias = Task


class _Recent(OrderedDict[K, V]):
    """A mapping that forgets what was used least recently.

    Args:
        limit: Items it keeps; None is any number.
        forget: Called with each value it forgets.
    """

    def __init__(self, limit: int | None = None, forget: Callable[[V], None] | None = None) -> None:
        super().__init__()
        self.limit = limit
        self.forget = forget

    def use(self, key: K) -> V:
        """The value of a key, which becomes the one used last."""
        value = self[key]
        self.move_to_end(key)
        return value

    def add(self, key: K, value: V) -> None:
        """Add a value, and forget others for it."""
        self[key] = value
        self._shrink()

    def update(self, *items: Any, **named: Any) -> None:
        """Add values, and forget what is too much."""
        super().update(*items, **named)
        self._shrink()

    def _shrink(self) -> None:
        while self.limit is not None and len(self) > self.limit:
            _, gone = self.popitem(last=False)
            if self.forget is not None:
                self.forget(gone)

    def __reduce__(self) -> Any:
        return _restore_recent, (self.limit, list(self.items()))


def _restore_recent(limit: int | None, items: list[tuple[Any, Any]]) -> _Recent[Any, Any]:
    recent: _Recent[Any, Any] = _Recent(limit)
    recent.update(items)
    return recent


class _Index(dict[str, "WeakSet[Task]"]):
    """Tasks by something; also a function that gives the tasks of one key in the order of time.

    Args:
        find: Gives pairs of id and task for a key, a limit and a direction.
    """

    def __init__(self, find: Callable[..., Iterator[tuple[str, Task]]], given: Mapping[str, Any] | None = None) -> None:
        super().__init__(given or {})
        self._find = find

    def __missing__(self, key: str) -> WeakSet[Task]:
        found: WeakSet[Task] = WeakSet()
        self[key] = found
        return found

    def __call__(self, key: str, limit: int | None = None, reverse: bool = True) -> Iterator[tuple[str, Task]]:
        """Pairs of id and task, newest first.

        Args:
            key: Name of a task, or of a worker.
            limit: How many; None is all.
            reverse: False is oldest first.
        """
        return self._find(key, limit, reverse)


class State:
    """The cluster as its events show it.

    Args:
        callback: Called with the state and each event, after it was taken in.
        workers: Workers by node name, to begin with.
        tasks: Tasks by id, to begin with.
        taskheap: Not used; the order is made of the tasks.
        max_workers_in_memory: Workers that are kept.
        max_tasks_in_memory: Tasks that are kept: those of the newest events.
        on_node_join: Called with a worker that came.
        on_node_leave: Called with a worker that said it leaves.
        tasks_by_type: Not used; made of the tasks.
        tasks_by_worker: Not used; made of the tasks.

    Attributes:
        workers: Workers by node name.
        tasks: Tasks by id.
        tasks_by_type: Tasks by name; called with a name, pairs of id and task in the order of time.
        tasks_by_worker: The same by node name.
        event_count: Events taken in.
        task_count: Tasks that were received by workers.
        handlers: Functions by kind of event (what stands before the hyphen) that take the rest of the type and the
            event, for kinds other than ``task`` and ``worker``.
    """

    Worker: type[AnyWorker] = AnyWorker
    Task: type[AnyTask] = AnyTask

    def __init__(
        self,
        callback: Callable[[State, dict[str, Any]], Any] | None = None,
        workers: Mapping[str, AnyWorker] | None = None,
        tasks: Mapping[str, AnyTask] | None = None,
        taskheap: Any = None,
        max_workers_in_memory: int = 5000,
        max_tasks_in_memory: int = 10000,
        on_node_join: Callable[[AnyWorker], Any] | None = None,
        on_node_leave: Callable[[AnyWorker], Any] | None = None,
        tasks_by_type: Any = None,
        tasks_by_worker: Any = None,
    ) -> None:
        self.event_callback = callback
        self.on_node_join = on_node_join
        self.on_node_leave = on_node_leave
        self.max_workers_in_memory = max_workers_in_memory
        self.max_tasks_in_memory = max_tasks_in_memory
        self.workers: _Recent[str, AnyWorker] = _Recent(max_workers_in_memory)
        self.tasks: _Recent[str, AnyTask] = _Recent(max_tasks_in_memory)
        self.workers.update(workers or {})
        self.tasks.update(tasks or {})
        self.event_count = 0
        self.task_count = 0
        self.handlers: dict[str, Callable[..., Any]] = {}
        self._set_up()

    def _set_up(self) -> None:
        """What is not pickled."""
        self._mutex = threading.RLock()
        self._ordered: list[AnyTask] | None = None
        self.tasks.forget = self._forget
        self.tasks_by_type = _Index(self._find_by_type)
        self.tasks_by_worker = _Index(self._find_by_worker)
        for task in self.tasks.values():
            task.cluster_state = self
            self._index(task)

    def __reduce__(self) -> Any:
        # Made anew, as in Celery: what a subclass has besides need not be picklable.
        given = (
            self.event_callback, self.workers, self.tasks, None, self.max_workers_in_memory, self.max_tasks_in_memory,
            self.on_node_join, self.on_node_leave,
        )  # fmt: skip
        return type(self), given, {"event_count": self.event_count, "task_count": self.task_count}

    # -- taking events in ---------------------------------------------------------------------------------------

    def event(self, event: dict[str, Any]) -> Any:
        """Take in an event.

        Args:
            event: As an `EventReceiver` hands it over.

        Returns:
            The worker or task and whether it is new, and the part of the type after the hyphen.
        """
        with self._mutex:
            self.event_count += 1
            group, _, subject = str(event["type"]).partition("-")
            handler = self.handlers.get(group)
            if handler is not None:
                result = handler(subject, event)
            elif group == "task":
                result = self._task_event(subject, event), subject
            elif group == "worker":
                result = self._worker_event(subject, event), subject
            else:
                result = None, subject
            if self.event_callback is not None:
                self.event_callback(self, event)
            return result

    def task_event(self, type_: str, fields: dict[str, Any]) -> Any:
        """Take in an event about a task; its type without ``task-``."""
        return self.event({**fields, "type": f"task-{type_}"})[0]

    def worker_event(self, type_: str, fields: dict[str, Any]) -> Any:
        """Take in an event about a worker; its type without ``worker-``."""
        return self.event({**fields, "type": f"worker-{type_}"})[0]

    def _worker_event(self, subject: str, event: Mapping[str, Any]) -> tuple[AnyWorker, bool]:
        fields = dict(event)
        hostname = fields.pop("hostname")
        timestamp, local_received = fields.pop("timestamp", None), fields.pop("local_received", None)
        for name in ("type", "utcoffset"):
            fields.pop(name, None)
        if subject == "offline":
            known = self.workers.get(hostname)
            worker = self.Worker(hostname) if known is None else known
            worker.event(subject, timestamp, local_received, fields)
            worker.timestamp = timestamp
            if self.on_node_leave is not None:
                # Who is told can forget it; others see that it is not alive.
                self.workers.pop(hostname, None)
                self.on_node_leave(worker)
            return worker, known is None
        worker, created = self.get_or_create_worker(hostname)
        worker.event(subject, timestamp, local_received, fields)
        if self.on_node_join is not None and (created or subject == "online"):
            self.on_node_join(worker)
        return worker, created

    def _task_event(self, subject: str, event: Mapping[str, Any]) -> tuple[AnyTask, bool]:
        fields = dict(event)
        uuid, hostname = fields.pop("uuid"), fields.pop("hostname")
        timestamp, local_received = fields.pop("timestamp", None), fields.pop("local_received", None)
        for name in ("type", "utcoffset", "pid"):
            fields.pop(name, None)
        fields["clock"] = fields.get("clock") or 0
        task, created = self.get_or_create_task(uuid)
        if subject == "sent":
            task.client = hostname
        else:
            task.worker = self._sign_of_life(hostname, timestamp, local_received)
        if subject == "received":
            self.task_count += 1
        task.event(subject, timestamp, local_received, fields)
        self._ordered = None
        self._index(task)
        parent = task.parent
        if parent is not None:
            parent.children.add(task)
        return task, created

    def _sign_of_life(self, hostname: str, timestamp: float | None, local_received: float | None) -> AnyWorker:
        """The worker that sent an event about a task."""
        worker, created = self.get_or_create_worker(hostname)
        worker.event(None, timestamp, local_received)
        if created and self.on_node_join is not None:
            self.on_node_join(worker)
        return worker

    def get_or_create_worker(self, hostname: str, **kwargs: Any) -> tuple[AnyWorker, bool]:
        """The worker of a name, and whether it is new.

        Args:
            hostname: Node name.
            **kwargs: Attributes to set.
        """
        if hostname in self.workers:
            worker = self.workers.use(hostname)
            worker.update(kwargs)
            return worker, False
        worker = self.Worker(hostname, **kwargs)
        self.workers.add(hostname, worker)
        return worker, True

    def get_or_create_task(self, uuid: str) -> tuple[AnyTask, bool]:
        """The task of an id, and whether it is new."""
        if uuid in self.tasks:
            return self.tasks.use(uuid), False
        task = self.Task(uuid, cluster_state=self)
        self.tasks.add(uuid, task)
        return task, True

    def _index(self, task: AnyTask) -> None:
        if task.name:
            self.tasks_by_type[task.name].add(task)
        if task.worker is not None and task.worker.hostname is not None:
            self.tasks_by_worker[task.worker.hostname].add(task)

    def _forget(self, task: AnyTask) -> None:
        """A task is not kept any longer."""
        for index in (self.tasks_by_type, self.tasks_by_worker):
            key = task.name if index is self.tasks_by_type else task.worker and task.worker.hostname
            if key and key in index:
                index[key].discard(task)
                if not index[key]:
                    del index[key]

    # -- looking ------------------------------------------------------------------------------------------------

    def rebuild_taskheap(self) -> None:
        """Order the tasks anew: by the logical clock of their last event, then by its time."""
        with self._mutex:
            self._ordered = sorted(
                self.tasks.values(), key=lambda task: (task.clock, task.timestamp or 0.0, task.origin or "")
            )

    def _in_order(self) -> list[AnyTask]:
        with self._mutex:
            if self._ordered is None:
                self.rebuild_taskheap()
            return list(self._ordered or ())

    def itertasks(self, limit: int | None = None) -> Iterator[tuple[str, AnyTask]]:
        """Pairs of id and task, in no particular order.

        Args:
            limit: How many; None is all.
        """
        with self._mutex:
            return islice(list(self.tasks.items()), limit)

    def tasks_by_time(self, limit: int | None = None, reverse: bool = True) -> Iterator[tuple[str, AnyTask]]:
        """Pairs of id and task, newest first.

        Args:
            limit: How many; None is all.
            reverse: False is oldest first.
        """
        return self._pairs(lambda task: True, limit, reverse)

    tasks_by_timestamp = tasks_by_time

    def _find_by_type(self, name: str, limit: int | None, reverse: bool) -> Iterator[tuple[str, AnyTask]]:
        return self._pairs(lambda task: task.name == name, limit, reverse)

    def _find_by_worker(self, hostname: str, limit: int | None, reverse: bool) -> Iterator[tuple[str, AnyTask]]:
        return self._pairs(lambda task: task.worker is not None and task.worker.hostname == hostname, limit, reverse)

    def _pairs(
        self, wanted: Callable[[AnyTask], bool], limit: int | None, reverse: bool
    ) -> Iterator[tuple[str, AnyTask]]:
        ordered = self._in_order()
        if reverse:
            ordered.reverse()
        return islice(((str(task.uuid), task) for task in ordered if wanted(task)), limit)

    def task_types(self) -> list[str]:
        """Names of the tasks that were seen."""
        return sorted(self.tasks_by_type)

    def alive_workers(self) -> Iterator[AnyWorker]:
        """The workers that are alive."""
        with self._mutex:
            known = list(self.workers.values())
        return (worker for worker in known if worker.alive)

    # -- freezing and clearing ----------------------------------------------------------------------------------

    def freeze_while(self, fun: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call a function while no event is taken in.

        Args:
            fun: The function.
            *args: Its arguments.
            **kwargs: Ditto, by name; ``clear_after=True`` is not one of them: it clears the state afterwards.
        """
        clear_after = kwargs.pop("clear_after", False)
        with self._mutex:
            try:
                return fun(*args, **kwargs)
            finally:
                if clear_after:
                    self.clear()

    def clear(self, ready: bool = True) -> None:
        """Forget workers and tasks, and count from zero.

        Args:
            ready: Keep the tasks that have not ended.
        """
        with self._mutex:
            self.workers.clear()
            self.clear_tasks(ready)
            self.event_count = 0
            self.task_count = 0

    def clear_tasks(self, ready: bool = True) -> None:
        """Forget tasks.

        Args:
            ready: Keep those that have not ended.
        """
        with self._mutex:
            self._clear_tasks(ready)

    def _clear_tasks(self, ready: bool = True) -> None:
        # A method of its own: monitors made for Celery extend it.
        kept = [(uuid, task) for uuid, task in self.tasks.items() if ready and not task.ready]
        self.tasks.clear()
        self.tasks.update(kept)
        for index in (self.tasks_by_type, self.tasks_by_worker):
            index.clear()
        for _, task in kept:
            self._index(task)
        self._ordered = None

    def __repr__(self) -> str:
        return f"<State: events={self.event_count} tasks={self.task_count}>"
