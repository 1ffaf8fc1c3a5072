"""The queue a client gets results from as messages, and the threads that wait for them.

There is one such queue for each process.  Whichever thread waits reads the connection, keeps what belongs to others and
wakes them; no thread of our own does.  What is in a message is the backend's business.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from celeriac.drivers.amqp.errors import AMQPError
from celeriac.drivers.amqp.faults import as_operational
from celeriac.utils.uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from celeriac.drivers.amqp import Channel
    from celeriac.drivers.amqp import Delivery as RawDelivery
    from celeriac.drivers.amqp.link import Link

#: Messages the server may send ahead of what is read.
_PREFETCH = 1000
#: Seconds of silence after which a waiting thread asks the server whether it is still there.
_ASK_AFTER = 30.0
#: Seconds between looks at a connection that nobody reads.
_LOOK_INTERVAL = 1.0


class Reply(NamedTuple):
    """A result as it arrived."""

    task_id: str
    body: bytes
    content_type: str
    compression: str | None


class ReplyQueue:
    """Results of one process, from the connection to the threads that wait.

    Args:
        connect: Opens a connection; gets a point of ``time.monotonic()``.
        expires: Seconds that the queue outlives its connection.
        timeout: Seconds for one operation.
        merge: Which of two replies for the same task to keep, the earlier or the later one.
        capacity: Replies kept for threads that have not asked for them yet; the oldest go first.
    """

    def __init__(
        self,
        connect: Callable[[float], Link],
        *,
        expires: float,
        timeout: float,
        merge: Callable[[Reply, Reply], Reply],
        capacity: int = 100_000,
    ) -> None:
        self.name = uuid4()
        self._connect = connect
        self._arguments = {"x-expires": max(int(expires * 1000), 1000)}
        self._timeout = timeout
        self._merge = merge
        self._capacity = capacity
        self._condition = threading.Condition()
        self._busy = False
        self._arrivals = 0
        self._told: dict[str, list[deque[str]]] = {}
        self._replies: OrderedDict[str, Reply] = OrderedDict()
        self._link: Link | None = None
        self._channel: Channel | None = None
        self._looked_at = 0.0

    # --- what arrived

    def get(self, task_id: str) -> Reply | None:
        """The reply about a task."""
        return self._replies.get(task_id)

    def discard(self, task_id: str) -> None:
        """Forget the reply about a task."""
        with self._condition:
            self._replies.pop(task_id, None)

    def tell(self, task_ids: Iterable[str], told: deque[str]) -> None:
        """Append the id of each of these tasks to ``told`` whenever a reply about it comes, or if one has."""
        with self._condition:
            for task_id in task_ids:
                self._told.setdefault(task_id, []).append(told)
                if task_id in self._replies:
                    told.append(task_id)

    def tell_no_more(self, task_ids: Iterable[str], told: deque[str]) -> None:
        """Undo `tell` for some tasks."""
        with self._condition:
            for task_id in task_ids:
                # By identity: other deques may be equal.
                others = [each for each in self._told.get(task_id, ()) if each is not told]
                if others:
                    self._told[task_id] = others
                else:
                    self._told.pop(task_id, None)

    @property
    def arrivals(self) -> int:
        """How many replies came so far, and how often waits were ended by `wake`; `wait` takes it."""
        return self._arrivals

    # --- reading

    def prepare(self) -> None:
        """Make sure that the queue exists, because somebody is about to name it in a message.

        Raises:
            OperationalError: The broker cannot be reached.
        """
        now = time.monotonic()
        if now - self._looked_at < _LOOK_INTERVAL:
            return
        with self._reading(now + self._timeout) as mine:
            if mine:
                self._read(0.0)
                self._looked_at = now

    def poll(self) -> None:
        """Take in everything the server had before this call.

        Raises:
            OperationalError: The broker cannot be reached.
        """
        deadline = time.monotonic() + self._timeout
        with self._reading(time.monotonic()) as mine:
            if mine:
                self._translated(lambda: self._poll(deadline))

    def wait(self, arrivals: int, timeout: float) -> None:
        """Return when replies have come since there were `arrivals`, or after some seconds, or a bit earlier.

        Raises:
            OperationalError: The broker cannot be reached.
        """
        deadline = time.monotonic() + timeout
        with self._reading(deadline, arrivals) as mine:
            if mine and self._arrivals == arrivals:
                started = time.monotonic()
                self._read(max(min(deadline - started, _ASK_AFTER), 0.0), arrivals)
                if self._arrivals == arrivals and time.monotonic() - started >= _ASK_AFTER:
                    # The answer, or its absence, tells a quiet connection from a lost one.
                    self._translated(lambda: self._poll(time.monotonic() + self._timeout))

    def wake(self) -> None:
        """End all waits; whoever has nothing to look for waits again."""
        with self._condition:
            self._arrivals += 1
            self._condition.notify_all()
        link = self._link
        if link is not None:
            link.wake()

    @contextmanager
    def _reading(self, deadline: float, arrivals: int | None = None) -> Iterator[bool]:
        """Become the thread that uses the connection.

        Yields:
            False if another thread kept it until the deadline, or replies have come.
        """
        with self._condition:
            while self._busy and (arrivals is None or arrivals == self._arrivals):
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._condition.wait(left)
            mine = not self._busy
            self._busy = self._busy or mine
        try:
            yield mine
        finally:
            if mine:
                with self._condition:
                    self._busy = False
                    self._condition.notify_all()

    def _read(self, timeout: float, arrivals: int | None = None) -> None:
        self._translated(lambda: self._drain(timeout, arrivals))

    def _translated(self, work: Callable[[], None]) -> None:
        had_link = self._link is not None
        try:
            work()
        except AMQPError as error:
            self._drop()
            if not had_link:
                raise as_operational(error) from error
            # It was lost some time ago, and only noticed now: what was asked for is worth another connection.
            self._translated(work)

    def _drain(self, timeout: float, arrivals: int | None) -> None:
        link, channel = self._open()
        if arrivals is not None and self._arrivals != arrivals:
            # A `wake` while there was no connection to wake.
            timeout = 0.0
        if link.connection.drain(timeout):
            self._take(channel)

    def _poll(self, deadline: float) -> None:
        _, channel = self._open()
        # What the server had sent by its first answer has come by the second.
        for _ in range(2):
            channel.queue_declare(self.name, passive=True, deadline=deadline)
        self._take(channel)

    def _take(self, channel: Channel) -> None:
        tags: list[int] = []
        with self._condition:
            while channel.deliveries:
                raw = channel.deliveries.popleft()
                tags.append(raw.delivery_tag)
                self._keep(raw)
            if tags:
                self._arrivals += len(tags)
                self._condition.notify_all()
        channel.ack_many(tags)

    def _keep(self, raw: RawDelivery) -> None:
        properties = raw.properties
        task_id = properties.get("correlation_id") or ""
        compression = raw.headers.get("compression")
        reply = Reply(task_id, raw.body, properties.get("content_type") or "", compression)
        earlier = self._replies.pop(task_id, None)
        self._replies[task_id] = reply if earlier is None else self._merge(earlier, reply)
        for told in self._told.get(task_id, ()):
            told.append(task_id)
        if len(self._replies) > self._capacity:
            self._replies.popitem(last=False)

    # --- the connection

    def _open(self) -> tuple[Link, Channel]:
        link, channel = self._link, self._channel
        if link is not None and channel is not None and channel.error is None:
            return link, channel
        self._drop()
        deadline = time.monotonic() + self._timeout
        self._link = link = self._connect(deadline)
        channel = link.connection.channel(deadline)
        # Not deleted with its consumer, as it is by default in Celery: results that are sent while a client
        # reconnects would be lost.
        channel.queue_declare(self.name, durable=True, arguments=self._arguments, deadline=deadline)
        channel.basic_qos(_PREFETCH, deadline=deadline)
        channel.basic_consume(self.name, "replies", deadline=deadline)
        self._channel = channel
        return link, channel

    def _drop(self) -> None:
        link, self._link, self._channel = self._link, None, None
        if link is not None:
            link.close()

    def close(self) -> None:
        """Drop the connection; the queue lives on for a while, and replies that have arrived are kept."""
        with self._reading(time.monotonic() + self._timeout) as mine:
            if mine:
                self._drop()
                self._looked_at = 0.0
