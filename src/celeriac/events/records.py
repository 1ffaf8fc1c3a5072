"""A worker and a task as their events show them.  What they belong to is `celeriac.events.state.State`."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from celeriac import states
from celeriac.utils.nodenames import gethostname

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from celeriac.events.state import State

__all__ = ["Task", "Worker", "heartbeat_expires"]

#: A worker is gone when nothing came from it for this many percent of the time between two of its heartbeats.
HEARTBEAT_EXPIRE_WINDOW: Final = 200
#: Seconds that the clock of a worker may differ from ours before that is worth a warning.
HEARTBEAT_DRIFT_MAX: Final = 16
#: Heartbeats remembered of a worker.
HEARTBEAT_MAX: Final = 4

_EVENT_TO_STATE: Final = {
    "sent": states.PENDING,
    "received": states.RECEIVED,
    "started": states.STARTED,
    "failed": states.FAILURE,
    "retried": states.RETRY,
    "succeeded": states.SUCCESS,
    "revoked": states.REVOKED,
    "rejected": states.REJECTED,
}
#: What an event that comes after later ones still has to tell.
_MERGED_LATE: Final = {
    states.RECEIVED: ("name", "args", "kwargs", "parent_id", "root_id", "retries", "eta", "expires"),
}


def heartbeat_expires(
    timestamp: float, freq: float | None = 60.0, expire_window: float = HEARTBEAT_EXPIRE_WINDOW
) -> float:
    """Unix time until which a worker counts as alive.

    Args:
        timestamp: Unix time of its last heartbeat.
        freq: Seconds between two of its heartbeats.
        expire_window: Percentage of that.
    """
    return timestamp + (60.0 if freq is None else freq) * expire_window / 100


class Worker:
    """A worker.

    Attributes:
        hostname: Node name.
        pid: Process id.
        freq: Seconds between two heartbeats.
        heartbeats: Unix times at which its last signs of life came, oldest first.
        clock: Its logical clock.
        active: Tasks it runs.
        processed: Tasks it has finished.
        loadavg: Load averages of its host.
        sw_ident: Name of its software.
        sw_ver: Version of that.
        sw_sys: Its operating system.
        timestamp: Unix time at which it said that it leaves; None while it has not.
    """

    timestamp: float | None = None
    heartbeat_max: int = HEARTBEAT_MAX
    expire_window: float = HEARTBEAT_EXPIRE_WINDOW
    _fields = (
        "hostname", "pid", "freq", "heartbeats", "clock", "active", "processed", "loadavg", "sw_ident", "sw_ver",
        "sw_sys",
    )  # fmt: skip

    __slots__ = ("__dict__", "__weakref__", *_fields)

    def __init__(
        self,
        hostname: str | None = None,
        pid: int | None = None,
        freq: float | None = 60,
        heartbeats: list[float] | None = None,
        clock: int = 0,
        active: int | None = None,
        processed: int | None = None,
        loadavg: Any = None,
        sw_ident: str | None = None,
        sw_ver: str | None = None,
        sw_sys: str | None = None,
    ) -> None:
        self.hostname = hostname
        self.pid = pid
        self.freq = freq
        self.heartbeats: list[float] = [] if heartbeats is None else heartbeats
        self.clock = clock or 0
        self.active = active
        self.processed = processed
        self.loadavg = loadavg
        self.sw_ident = sw_ident
        self.sw_ver = sw_ver
        self.sw_sys = sw_sys

    def event(
        self,
        type_: str | None,
        timestamp: float | None = None,
        local_received: float | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        """Take in an event.

        Args:
            type_: ``online``, ``heartbeat``, ``offline``, or None for an event about one of its tasks.
            timestamp: When it was sent, Unix time.
            local_received: When it came, Unix time.
            fields: Its fields.
        """
        self.update(fields or {})
        if type_ == "offline":
            self.heartbeats.clear()
        elif timestamp and local_received:
            self._beat(timestamp, local_received)

    def _beat(self, timestamp: float, local_received: float) -> None:
        drift = abs(local_received - timestamp)
        if drift > HEARTBEAT_DRIFT_MAX:
            _warn_of_drift(self.hostname, drift)
        self.heartbeats.append(local_received)
        self.heartbeats.sort()
        del self.heartbeats[: -self.heartbeat_max]

    def update(self, f: Mapping[str, Any], **kw: Any) -> None:
        """Set attributes.

        Args:
            f: Values by name.
            **kw: More of them.
        """
        for name, value in {**f, **kw}.items():
            setattr(self, name, value)

    @property
    def heartbeat_expires(self) -> float:
        """Unix time until which it counts as alive."""
        return heartbeat_expires(self.heartbeats[-1], self.freq, self.expire_window)

    @property
    def alive(self) -> bool:
        """There were signs of life lately."""
        return bool(self.heartbeats) and time.time() < self.heartbeat_expires

    @property
    def status_string(self) -> str:
        """``ONLINE`` or ``OFFLINE``."""
        return "ONLINE" if self.alive else "OFFLINE"

    @property
    def id(self) -> str:
        """Node name and process id."""
        return f"{self.hostname}.{self.pid}"

    def __eq__(self, other: object) -> bool:
        return self.hostname == other.hostname if isinstance(other, Worker) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.hostname)

    def __repr__(self) -> str:
        return f"<Worker: {self.hostname} ({self.status_string})>"


#: Workers whose clocks were warned of.
_drifting: set[str | None] = set()


def _warn_of_drift(hostname: str | None, drift: float) -> None:
    if hostname not in _drifting:
        _drifting.add(hostname)
        warnings.warn(
            f"The clock of {hostname} and that of {gethostname()} differ by {drift:.0f} s, or its events take that "
            "long: check the clocks of both hosts",
            RuntimeWarning,
            stacklevel=4,
        )


class Task:
    """A task.

    Attributes:
        uuid: Its id.
        name: Name of the task.
        state: Its state.
        sent, received, started, succeeded, failed, retried, revoked, rejected: Unix times of these events.
        args, kwargs: Texts of the arguments.
        eta, expires: When it may begin, and when it is too late to; ISO 8601.
        retries: How often it was retried.
        worker: The `Worker` it went to.
        result: Text of the result.
        exception, traceback: Of the failure.
        timestamp: Unix time of the last event.
        runtime: Seconds it took.
        exchange, routing_key: Where it was sent to.
        clock: Logical time of the last event.
        client: Who sent it.
        root_id, parent_id: Ids of the first task of its workflow, and of the one that called it.
        children: The tasks it called.
        cluster_state: The `State` it belongs to.
    """

    _fields = (
        "uuid", "name", "state", "received", "sent", "started", "rejected", "succeeded", "failed", "retried",
        "revoked", "args", "kwargs", "eta", "expires", "retries", "worker", "result", "exception", "timestamp",
        "runtime", "traceback", "exchange", "routing_key", "clock", "client", "root", "root_id", "parent", "parent_id",
        "children",
    )  # fmt: skip
    _info_fields = (
        "args", "kwargs", "retries", "result", "eta", "runtime", "expires", "exception", "exchange", "routing_key",
        "root_id", "parent_id",
    )  # fmt: skip

    name: str | None = None
    received: float | None = None
    sent: float | None = None
    started: float | None = None
    rejected: float | None = None
    succeeded: float | None = None
    failed: float | None = None
    retried: float | None = None
    revoked: float | None = None
    args: Any = None
    kwargs: Any = None
    eta: str | None = None
    expires: str | None = None
    retries: int | None = None
    result: Any = None
    exception: str | None = None
    runtime: float | None = None
    traceback: str | None = None
    exchange: str | None = None
    routing_key: str | None = None
    client: str | None = None
    root_id: str | None = None
    parent_id: str | None = None
    worker: Worker | None = None
    timestamp: float | None = None
    state: str = states.PENDING
    clock: int = 0

    def __init__(self, uuid: str | None = None, cluster_state: State | None = None, **fields: Any) -> None:
        self.uuid = uuid
        self.cluster_state = cluster_state
        self.children: WeakSet[Task] = WeakSet()
        self.__dict__.update(fields)

    def event(
        self,
        type_: str,
        timestamp: float | None = None,
        local_received: float | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        """Take in an event.

        The state only goes forward: events of one task may come in any order, from several senders.

        Args:
            type_: ``received``, ``started`` and so on; any other is a state of its own.
            timestamp: When it was sent, Unix time.
            local_received: When it came, Unix time.
            fields: Its fields.
        """
        found = dict(fields or {})
        state = _EVENT_TO_STATE.get(type_)
        if state is None:
            state = type_.upper()
        else:
            setattr(self, type_, timestamp)
        is_late = states.RETRY not in (state, self.state) and states.precedence(state) > states.precedence(self.state)
        if is_late:
            kept = _MERGED_LATE.get(state, ())
            self.__dict__.update((name, found[name]) for name in kept if name in found)
            return
        self.state, self.timestamp = state, timestamp
        self.__dict__.update(found)

    def info(self, fields: Iterable[str] | None = None, extra: Iterable[str] = ()) -> dict[str, Any]:
        """Attributes that have a value, for people.

        Args:
            fields: Their names; None is a usual selection.
            extra: More names.
        """
        names = [*(self._info_fields if fields is None else fields), *extra]
        return {name: value for name in names if (value := getattr(self, name, None)) is not None}

    def as_dict(self) -> dict[str, Any]:
        """Every attribute; other tasks by their ids."""
        found = {name: getattr(self, name, None) for name in self._fields}
        found["children"] = [child.uuid for child in self.children]
        found["root"], found["parent"] = self.root_id, self.parent_id
        return found

    @property
    def ready(self) -> bool:
        """It has ended."""
        return self.state in states.READY_STATES

    @property
    def origin(self) -> str | None:
        """Who sent it, or the worker it went to."""
        return self.client if self.worker is None else self.worker.id

    @property
    def parent(self) -> Task | None:
        """The task that called it, if it is known."""
        return self._other(self.parent_id)

    @property
    def root(self) -> Task | None:
        """The first task of its workflow, if it is known."""
        return self._other(self.root_id)

    def _other(self, uuid: str | None) -> Task | None:
        return None if uuid is None or self.cluster_state is None else self.cluster_state.tasks.get(uuid)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "cluster_state": None, "children": list(self.children)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.children = WeakSet(state["children"])

    def __repr__(self) -> str:
        return f"<Task: {self.name}({self.uuid}) {self.state} clock:{self.clock}>"
