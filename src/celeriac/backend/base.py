"""The port every result backend implements, and the record it keeps.  It holds no driver code."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from celeriac.utils.dataclass import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence


@dataclass
class ResultRecord:
    """What is known about one task.

    Attributes:
        task_id: The task.
        status: Its state.
        result: Return value; the exception for FAILURE, RETRY and REVOKED; user data for custom states.
        traceback: Text of the traceback, or None.
        children: Result tuples of the tasks it started, or None when stored outside of a request.
        date_done: ISO-8601 time of completion with offset, or None while it is not ready.
        group_id: Group it belongs to; left out of the stored form when None.
        parent_id: Task that started it; left out when None.
        extra: Further top-level fields of the stored form (``result_extended``, stamps).
        reply_to: Where the client waits; used by ``rpc://`` alone, never stored.
        correlation_id: Ditto.
    """

    task_id: str
    status: str
    result: Any = None
    traceback: str | None = None
    children: list[Any] | None = None
    date_done: str | None = None
    group_id: str | None = None
    parent_id: str | None = None
    extra: dict[str, Any] | None = None
    reply_to: str | None = None
    correlation_id: str | None = None


@dataclass
class ChordPart:
    """The end of one task of a chord's header.

    Attributes:
        task_id: The task.
        index: Its place in the body's list; None comes last. Stores that keep the order only do not give it back.
        state: Its final state.
        result: Return value, or the exception.
    """

    task_id: str
    index: int | None
    state: str
    result: Any = None


class ChordProgress(Enum):
    """What `ResultBackend.add_chord_parts` did."""

    #: The parts are recorded, or were before, and the chord is not complete by this call.
    RECORDED = 0
    #: Nothing is recorded: with these parts the chord might be complete, so the call is to be repeated with its body.
    BODY_WANTED = 1
    #: The parts are recorded, and the chord is complete by this very call: the caller has to conclude it.
    COMPLETE = 2


@dataclass(frozen=True)
class BackendOptions:
    """What every backend is told when it is opened.

    Attributes:
        serializer: Name of the serializer (``result_serializer``).
        accept: Content types that may be read (``result_accept_content`` or ``accept_content``).
        compression: ``result_compression``.
        expires: Seconds a result is kept; None keeps it for ever (``result_expires``).
        failure_expires: The same for FAILURE, None uses `expires` (``result_failure_expires``).
        persistent: ``result_persistent``.
        timeout: Seconds for one operation.
        connect_timeout: Seconds to establish a connection.
        transport_options: ``result_backend_transport_options``.
        settings: The app's settings, for drivers with settings of their own (``redis_*``, ``database_*``).
        app_name: Name of the application; it names the file of the embedded store.
        app: The application, for classes of others that are made with it.
    """

    serializer: str = "json"
    accept: frozenset[str] = frozenset({"application/json"})
    compression: str | None = None
    expires: float | None = 86400.0
    failure_expires: float | None = None
    persistent: bool | None = None
    timeout: float = 10.0
    connect_timeout: float = 4.0
    transport_options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    app_name: str = "default"
    app: Any = None


@dataclass(frozen=True)
class BackendCapabilities:
    """What a backend can do.

    Attributes:
        name: The URL scheme it is known by.
        enabled: False only for ``disabled://``.
        persistent: A result can be read more than once and by others than the caller.
        expires: It drops expired results by itself; False needs `ResultBackend.sweep`.
        groups: It can save groups.
        chords: It can join chords.
        graphs: It can keep the rest of workflows.
        in_process: Its results are visible to this process only.
    """

    name: str
    enabled: bool = True
    persistent: bool = True
    expires: bool = True
    groups: bool = True
    chords: bool = True
    graphs: bool = False
    in_process: bool = False


class ResultWatch(Protocol):
    """A look-out for the results of some tasks, held by one thread; only `wake` may be called from others.

    This is the seam of all waiting: a thread that waits holds one for itself, and everything that waits without a
    thread, such as ``await``, shares one per process (`celeriac.backend.notifier`).
    """

    def add(self, task_ids: Collection[str]) -> None:
        """Look out for these too; what is ready already is told like what becomes ready. Twice is as good as once."""
        ...

    def discard(self, task_ids: Collection[str]) -> None:
        """Look out for these no more, and unsubscribe from them. Ids that are not watched are passed over."""
        ...

    def wait(self, timeout: float | None) -> list[ResultRecord]:
        """Wait until something is ready, by notification where the store has it.

        What was told is watched no more.

        Args:
            timeout: Seconds; None waits as long as it takes. 0 tells what is known to be ready now.

        Returns:
            Final records; none when time is up, or after `wake`.

        Raises:
            OperationalError: The store cannot be reached.
        """
        ...

    def wake(self) -> None:
        """Make `wait` return, the present one or the next."""
        ...

    def close(self) -> None:
        """Leave nothing subscribed."""
        ...


class ResultBackend(Protocol):
    """A result store.  Thread-safe: drivers keep a connection per thread, or lock; safe to use after a fork.

    Every method is bounded by ``BackendOptions.timeout`` and raises `BackendError` subclasses, or
    `OperationalError` when the store cannot be reached.
    """

    @property
    def capabilities(self) -> BackendCapabilities: ...

    @property
    def url(self) -> str:
        """The URL with its password masked, fit for logs."""
        ...

    def expect(self, task_ids: Sequence[str]) -> str | None:
        """Prepare for results of tasks about to be published.

        Returns:
            The ``reply_to`` to publish with, when results come as messages (``rpc://``); else None.
        """
        ...

    def store_many(self, records: Sequence[ResultRecord]) -> None:
        """Store, in order. A stored SUCCESS is never overwritten by another state."""
        ...

    def load_many(self, task_ids: Sequence[str]) -> dict[str, ResultRecord]:
        """What is stored; unknown ids are missing from the answer."""
        ...

    def open_watch(self) -> ResultWatch:
        """Begin to look out for results; connects when ids are added."""
        ...

    def watch(self, task_ids: Collection[str], *, timeout: float | None) -> Iterator[ResultRecord]:
        """Yield the record of each task as it becomes ready, until all have.

        Waits by notification, never by polling at a fixed interval.  Leaves nothing subscribed behind.

        Raises:
            celeriac.exceptions.TimeoutError: Some are not ready after ``timeout`` seconds.
        """
        ...

    def forget_many(self, task_ids: Sequence[str]) -> None:
        """Delete."""
        ...

    def save_group(self, group_id: str, result: Any) -> None:
        """Store the tuple form of a GroupResult."""
        ...

    def load_group(self, group_id: str) -> Any | None:
        """The tuple form of a GroupResult, or None."""
        ...

    def delete_group(self, group_id: str) -> None:
        """Delete a saved group."""
        ...

    def open_chord(self, chord_id: str, size: int) -> None:
        """Expect so many parts.  Called before the header is published.

        Args:
            chord_id: Id of the group that is the header.
            size: Number of its tasks.

        Raises:
            NotImplementedError: It cannot join chords (``capabilities.chords``); so do the other methods of chords.
        """
        ...

    def grow_chord(self, chord_id: str, count: int) -> None:
        """Expect so many parts more.

        Raises:
            NotImplementedError: Its chords cannot grow.
        """
        ...

    def add_chord_parts(
        self, chord_id: str, parts: Sequence[ChordPart], body: bytes | None, *, lease: float
    ) -> ChordProgress:
        """Record ends of tasks, atomically; the first one of each task counts, so that it may be called again.

        When that makes the chord complete, ``body`` is kept in the same step, and `take_chords` finds it after the
        lease unless `close_chord` comes first.  A chord that was never opened, or is closed, is not completed.

        The body is large and only the last part needs it.  So callers leave it out at first, and are told when it is
        wanted: when those that are there and these would be enough, each of these being counted as new.

        Args:
            chord_id: Id of the group that is the header.
            parts: What ended.
            body: What a worker needs to conclude the chord, opaque to the store; None completes no chord.
            lease: Seconds the caller has for that when it is told to.

        Returns:
            What became of the parts and the chord; never ``BODY_WANTED`` to a call with a body.
        """
        ...

    def load_chord(self, chord_id: str) -> list[ChordPart] | None:
        """The parts of a chord in order of their index; None when it is closed or unknown."""
        ...

    def close_chord(self, chord_id: str) -> None:
        """Forget a chord that has been concluded; later parts of it are left alone."""
        ...

    def take_chords(self, *, lease: float) -> list[tuple[str, bytes]]:
        """Complete chords whose lease ran out, with their ``body``; each is leased to the caller from now on."""
        ...

    def claim(self, name: str, token: str) -> str:
        """Write a token under a name unless there is one; returns the token that is there."""
        ...

    def keep_graphs(self, graphs: Mapping[str, bytes]) -> None:
        """Keep what workflows still have to do, for ``task_graph_expires`` seconds.

        Args:
            graphs: By id; opaque to the store.

        Raises:
            NotImplementedError: It keeps none (``capabilities.graphs``).
        """
        ...

    def load_graph(self, graph_id: str) -> bytes | None:
        """What `keep_graphs` was given; None when it is unknown or has expired.

        Raises:
            NotImplementedError: It keeps none.
        """
        ...

    def sweep(self) -> int:
        """Delete what has expired; returns how much. Only for backends that cannot do it by themselves."""
        ...

    def close(self) -> None:
        """Drop every connection. The backend may be used again afterwards."""
        ...
