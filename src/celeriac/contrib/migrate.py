"""Moving messages that wait to other queues or brokers, by what they are.

``celeriac migrate`` does the most usual of it. Delayed messages stay where they are, and so do those that a worker
holds.
"""

from __future__ import annotations

from collections import UserList
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

from celeriac.app.connection import Connection
from celeriac.app.connections import make_broker
from celeriac.app.moving import Moving
from celeriac.app.moving import move as move_messages
from celeriac.app.queues import worker_direct
from celeriac.broker.topology import Queue
from celeriac.current import get_current_app
from celeriac.message import Destination, Publication
from celeriac.protocol import decode_payload, normalize
from celeriac.utils.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from celeriac.message import Delivery

__all__ = [
    "State",
    "StopFiltering",
    "TaskBody",
    "WaitingMessage",
    "filter_status",
    "migrate_tasks",
    "move",
    "move_by_idmap",
    "move_by_taskmap",
    "move_direct",
    "move_direct_by_id",
    "move_task_by_id",
    "task_id_eq",
    "task_id_in",
]


class StopFiltering(Exception):
    """Raised by a predicate or a callback: look at no more messages."""


@dataclass
class State:
    """How far it is.

    Attributes:
        count: Messages looked at.
        filtered: Messages moved.
        total_apx: Messages that waited at first.
    """

    count: int = 0
    filtered: int = 0
    total_apx: int = 0

    @property
    def strtotal(self) -> str:
        """The total as text; ``?`` when it is not known."""
        return str(self.total_apx or "?")

    def __repr__(self) -> str:
        if self.filtered:
            return f"^{self.filtered}"
        return f"{self.count}/{self.strtotal}"


class TaskBody(UserList[Any]):
    """The payload of a task: a list of arguments, keyword arguments and what follows.

    By name it gives what the headers say, as ``body["id"]``, which is how payloads of the first protocol are read.

    Args:
        payload: The three.
        headers: The headers.
    """

    def __init__(self, payload: Iterable[Any] = (), headers: Mapping[str, Any] | None = None) -> None:
        super().__init__(payload)
        self._fields = {**(headers or {}), **dict(zip(("args", "kwargs", "embed"), self.data, strict=False))}

    def __getitem__(self, key: Any) -> Any:
        return self._fields[key] if isinstance(key, str) else super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """What the headers say."""
        return self._fields.get(key, default)


class WaitingMessage:
    """A message as predicates and callbacks see it.

    Args:
        app: The app.
        delivery: The message as it came.

    Attributes:
        headers: Its headers, in the form of the second protocol.
        properties: Its properties.
        body: Its payload as bytes.
        content_type: MIME type of the payload.
        content_encoding: Encoding of the payload.
        delivery_info: Where it was: ``queue``, ``exchange`` and ``routing_key``.
    """

    def __init__(self, app: Any, delivery: Delivery) -> None:
        self._app = app
        self.original = delivery.message
        message = normalize(delivery.message, app.serializers, app.accept_content)
        self._message = message
        self.headers, self.properties = message.headers, message.properties
        self.body = message.body
        self.content_type, self.content_encoding = message.content_type, message.content_encoding
        self.delivery_info = {
            "queue": delivery.queue, "exchange": delivery.exchange, "routing_key": delivery.routing_key
        }  # fmt: skip

    def decode(self) -> TaskBody:
        """Its payload.

        Raises:
            SerializationError: It cannot be read, or ``accept_content`` does not allow it.
        """
        message = self._message
        payload = decode_payload(
            message.body, message.content_type, message.content_encoding, message.headers, self._app.serializers,
            self._app.accept_content,
        )  # fmt: skip
        return TaskBody(payload, message.headers)

    payload = property(decode)


def move(
    predicate: Callable[[TaskBody, WaitingMessage], Any],
    connection: Any = None,
    exchange: str | None = None,
    routing_key: str | None = None,
    source: Sequence[str | Queue] | None = None,
    app: Any = None,
    callback: Callable[[State, TaskBody, WaitingMessage], Any] | None = None,
    limit: int | None = None,
    transform: Callable[[Any], Any] | None = None,
    *,
    timeout: float = 1.0,
    tasks: Collection[str] | None = None,
    forever: bool = False,
    destination: Any = None,
    ack_messages: bool = True,
) -> State:
    """Move the messages that a predicate chooses.

    Args:
        predicate: Called with payload and message. What it returns says where to: a `Queue`, its name, a pair of
            exchange and routing key, or True for those given here. Anything false leaves the message where it is.
        connection: Where from: a URL or an ``app.connection_for_read()``; None is the app's broker.
        exchange: Where chosen messages go.
        routing_key: With which routing key.
        source: Queues to look at; None is those that a worker would consume.
        app: The app; None is the current one.
        callback: Called after each message that was moved, with how far it is.
        limit: Move at most so many.
        transform: Makes something of what the predicate returned.
        timeout: Seconds without another message after which it ends.
        tasks: Look only at messages of these tasks.
        forever: Go on until interrupted, or until `StopFiltering` is raised.
        destination: Where to: as ``connection``; None is the same broker.
        ack_messages: Remove them where they were; False copies.

    Returns:
        How far it came.

    Raises:
        OperationalError: A broker cannot be reached or did not accept a message; what was not accepted stays.
        SerializationError: A payload cannot be read.
    """
    app = app or get_current_app()
    where = _Choice(app, predicate, exchange, routing_key, transform, None if tasks is None else frozenset(tasks))
    names = [queue if isinstance(queue, str) else _known(app, queue) for queue in source or app.queues.consume_from]
    here = _broker(app, connection, app.broker_for_read)
    there = _broker(app, destination, here if connection is not None else app.broker)
    with closing(here.connect()) as incoming, closing(there.connect()) as outgoing:
        where.state.total_apx = sum(incoming.depths(names).values())
        # Who is told of each message may stop after each.
        moving = Moving(names, where, limit, timeout, forever, ack_messages, batch=100 if callback is None else 1)
        where.stop = partial(setattr, moving, "done", True)
        try:
            for delivery in move_messages(app, incoming, outgoing, moving):
                where.state.filtered += 1
                chosen = where.chosen.pop(id(delivery))
                if callback is not None:
                    callback(where.state, *chosen)
        except StopFiltering:
            pass
    return where.state


class _Choice:
    """Asks the predicate about each message, once."""

    def __init__(
        self,
        app: Any,
        predicate: Callable[[TaskBody, WaitingMessage], Any],
        exchange: str | None,
        routing_key: str | None,
        transform: Callable[[Any], Any] | None,
        tasks: frozenset[str] | None,
    ) -> None:
        self._app = app
        self._predicate = predicate
        self._default = (exchange, routing_key)
        self._transform = transform
        self._tasks = tasks
        self._moved: set[Any] = set()
        self._stopped = False
        self.stop: Callable[[], None]
        self.state = State()
        self.chosen: dict[int, tuple[TaskBody, WaitingMessage]] = {}

    def __call__(self, delivery: Delivery) -> Publication | None:
        message = WaitingMessage(self._app, delivery)
        task_id = message.headers.get("id")
        # One that was moved to a queue that is looked at too has had its turn.
        if self._stopped or task_id in self._moved:
            return None
        self.state.count += 1
        if self._tasks is not None and message.headers.get("task") not in self._tasks:
            return None
        body = message.decode()
        try:
            answer = self._predicate(body, message)
        except StopFiltering:
            self._stopped = True
            self.stop()
            return None
        if not answer:
            return None
        where = self._destination(self._transform(answer) if self._transform is not None else answer)
        self._moved.add(task_id)
        self.chosen[id(delivery)] = (body, message)
        return Publication(message.original, where, mandatory=True)

    def _destination(self, answer: Any) -> Destination:
        if isinstance(answer, str):
            answer = self._app.queues.get_or_create(answer)
        if isinstance(answer, Queue):
            return Destination("", answer.name, answer)
        exchange, routing_key = answer if isinstance(answer, (tuple, list)) else self._default
        if exchange is None and routing_key is None:
            raise ValueError(
                f"move(): the predicate returned {answer!r}, which names no place: return a queue, or give exchange "
                "and routing_key"
            )
        return Destination(exchange or "", routing_key or "", None)


def _broker(app: Any, given: Any, default: Any) -> Any:
    if given is None:
        return default
    return given.broker if isinstance(given, Connection) else make_broker(app.conf, given, app.name)


def _known(app: Any, queue: Queue) -> str:
    return str(app.queues.add(queue).name)


def migrate_tasks(
    source: Any,
    dest: Any,
    migrate: Callable[[TaskBody, WaitingMessage], Any] | None = None,
    app: Any = None,
    queues: Mapping[str, str] | Sequence[str] | None = None,
    **kwargs: Any,
) -> State:
    """Move, or copy, messages to the queues of the same names at another broker.

    Args:
        source: Where from: a URL, or a connection of an app.
        dest: Where to.
        migrate: Says where to, as the predicate of `move`; None keeps the queue.
        app: The app; None is the current one.
        queues: The queues, by name; of a mapping, each to the queue it names. None is those a worker would consume.
        **kwargs: As for `move`. Without ``ack_messages=True`` they are copied.
    """
    app = app or get_current_app()
    names = dict(queues) if isinstance(queues, Mapping) else {each: each for each in queues or app.queues.consume_from}

    def same_queue(body: TaskBody, message: WaitingMessage) -> Any:
        return names[message.delivery_info["queue"]]

    return move(
        migrate or same_queue, source, source=list(names), app=app, destination=dest,
        **{"ack_messages": False, **kwargs},
    )  # fmt: skip


def task_id_eq(task_id: str, body: Any, message: Any) -> bool:
    """It is the message of this call."""
    return bool(message.headers["id"] == task_id)


def task_id_in(ids: Collection[str], body: Any, message: Any) -> bool:
    """It is the message of one of these calls."""
    return message.headers["id"] in ids


def move_task_by_id(task_id: str, dest: Any, **kwargs: Any) -> State:
    """Move the message of one call.

    Args:
        task_id: Id of the call.
        dest: Where to: a queue or its name.
        **kwargs: As for `move`.
    """
    return move_by_idmap({task_id: dest}, **kwargs)


def move_by_idmap(map: Mapping[str, Any], **kwargs: Any) -> State:
    """Move the messages of calls, by their ids.

    Args:
        map: Queues, or their names, by ids of calls.
        **kwargs: As for `move`.
    """
    return move(lambda body, message: map.get(message.headers["id"]), **{"limit": len(map), **kwargs})


def move_by_taskmap(map: Mapping[str, Any], **kwargs: Any) -> State:
    """Move the messages of tasks, by their names.

    Args:
        map: Queues, or their names, by names of tasks.
        **kwargs: As for `move`.
    """
    return move(lambda body, message: map.get(message.headers["task"]), **kwargs)


def filter_status(state: State, body: Any, message: Any) -> None:
    """Print how far it is; a callback for `move`."""
    headers = message.headers
    print(f"Moving task {state.filtered}/{state.strtotal}: {headers['task']}[{headers['id']}]")  # noqa: T201


#: `move` to the own queue of the worker whose name the predicate returns (``worker_direct``).
move_direct = partial(move, transform=worker_direct)


def move_direct_by_id(task_id: str, dest: str, **kwargs: Any) -> State:
    """Move the message of one call to the own queue of a worker.

    Args:
        task_id: Id of the call.
        dest: Name of the worker.
        **kwargs: As for `move`.
    """
    return move_task_by_id(task_id, worker_direct(dest), **kwargs)
