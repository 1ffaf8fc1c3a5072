"""One AMQP channel: declaring, consuming, settling, publishing with confirms; does not touch the socket."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from celeriac.drivers.amqp import methods as m
from celeriac.drivers.amqp.confirms import ConfirmTracker, OutgoingMessage
from celeriac.drivers.amqp.errors import (
    AMQPError,
    ChannelClosed,
    ConnectionLost,
    OperationTimeout,
    PublishRefused,
)
from celeriac.drivers.amqp.frames import Delivery, Method
from celeriac.drivers.amqp.unsettled import Unsettled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from celeriac.drivers.amqp.connection import AMQPConnection
    from celeriac.drivers.amqp.declarations import Declarations

_WRITE_SIZE = 1 << 20
_TARGETS_KEPT = 1024


class QueueCounts(NamedTuple):
    """What queue.declare tells about a queue."""

    queue: str
    messages: int
    consumers: int


class Channel:
    """A channel of a connection; get one from :meth:`AMQPConnection.channel`.

    Every method that waits takes ``deadline``, a point of ``time.monotonic()``; ``None`` means the
    connection's ``operation_timeout`` from now. When an answer does not come in time the state at the server
    is unknown, so the connection is dropped and :exc:`OperationTimeout` raised.

    Attributes:
        id: Channel number.
        deliveries: Received messages in order of arrival; the caller takes them off the left.
        cancelled: Tags of consumers the server cancelled (for example because their queue was deleted); the
            caller takes them off the left.
        returned: Unroutable mandatory messages that came back while confirms are off (the last 1000); with
            confirms on :meth:`wait_confirms` reports them.
        error: Why the channel is closed, ``None`` while it is open.
    """

    def __init__(self, connection: AMQPConnection, channel_id: int) -> None:
        self.id = channel_id
        self.deliveries: deque[Delivery] = deque()
        self.cancelled: deque[str] = deque()
        self.returned: deque[Delivery] = deque(maxlen=1000)
        self.error: AMQPError | None = None
        self._connection = connection
        self._replies: deque[Method | Delivery] = deque()
        self._closing = False
        self._flowing = True
        self._targets: dict[tuple[str, str, bool], bytes] = {}
        self._unsettled = Unsettled()
        self._no_ack_consumers: set[str] = set()
        self._confirms = ConfirmTracker()

    # --- life ---

    def open(self, deadline: float | None = None) -> None:
        """Open the channel at the server; :meth:`AMQPConnection.channel` does it."""
        self._call(m.CHANNEL_OPEN, ("",), (m.CHANNEL_OPEN_OK,), deadline)

    def close(self, deadline: float | None = None) -> None:
        """Close the channel; the server puts unacknowledged messages back. Does nothing on a closed one."""
        if self.error is None:
            self._closing = True
            # The server may close it at the same moment.
            with contextlib.suppress(ChannelClosed):
                self._call(m.CHANNEL_CLOSE, (200, "", 0, 0), (m.CHANNEL_CLOSE_OK,), deadline)
            self._fail(ChannelClosed(self.id, 0, "close() was called"))
            self._connection._forget_channel(self)

    def _check_open(self) -> None:
        if self.error is not None:
            # The same object is raised again and again: without this its traceback would grow each time.
            raise self.error.with_traceback(None)

    def _fail(self, error: AMQPError) -> None:
        if self.error is None:
            self._confirms.describe(error)
            self.error = error
            self._unsettled.clear()

    def _call(
        self, method: int, args: tuple[Any, ...], answers: tuple[int, ...], deadline: float | None
    ) -> Method | Delivery:
        """Send a method and wait for its answer."""
        self._check_open()
        frame = m.encode_method(self.id, method, *args)
        connection = self._connection
        limit = connection._deadline(deadline)
        connection._send(frame, limit)
        while not self._replies:
            connection._await_answer(limit, f"the answer to {m.method_name(method)}")
            self._check_open()
        reply = self._replies.popleft()
        if reply.method not in answers:
            raise connection._break(f"answered {m.method_name(method)} with {m.method_name(reply.method)}")
        return reply

    # --- exchanges and queues ---

    def declare_all(self, declarations: Declarations, deadline: float | None = None) -> None:
        """Declare many things with one write and one wait.

        Raises:
            ChannelClosed: One of them was refused: those before it are made, those behind it are not.
        """
        self._check_open()
        if declarations:
            limit = self._connection._deadline(deadline)
            self._connection._send(declarations.encode(self.id), limit)
            # Methods of a channel are carried out in order: its answer means that all before it are done.
            self.basic_qos(0, deadline=limit)

    def check_exchange(self, exchange: str, *, deadline: float | None = None) -> None:
        """Find out whether there is an exchange, whatever its type.

        Raises:
            ChannelClosed: 404: there is none.
        """
        args: tuple[Any, ...] = (0, exchange, "direct", True, False, False, False, False, {})
        self._call(m.EXCHANGE_DECLARE, args, (m.EXCHANGE_DECLARE_OK,), deadline)

    def exchange_delete(self, exchange: str, *, if_unused: bool = False, deadline: float | None = None) -> None:
        """Delete an exchange; one that does not exist is no error to RabbitMQ."""
        self._call(m.EXCHANGE_DELETE, (0, exchange, if_unused, False), (m.EXCHANGE_DELETE_OK,), deadline)

    def queue_declare(
        self,
        queue: str = "",
        *,
        passive: bool = False,
        durable: bool = True,
        exclusive: bool = False,
        auto_delete: bool = False,
        arguments: Mapping[str, Any] | None = None,
        deadline: float | None = None,
    ) -> QueueCounts:
        """Declare a queue, or only ask for its counts (``passive``).

        Returns:
            Its name (made by the server if ``queue`` is empty), its ready messages and its consumers.

        Raises:
            ChannelClosed: 404 (passive, and there is none), 405 (exclusive to another connection) or 406 (it
                exists with other attributes).
        """
        args = (0, queue, passive, durable, exclusive, auto_delete, False, arguments or {})
        reply = self._call(m.QUEUE_DECLARE, args, (m.QUEUE_DECLARE_OK,), deadline)
        return QueueCounts(*_arguments(reply))

    def queue_purge(self, queue: str, *, deadline: float | None = None) -> int:
        """Drop all ready messages of a queue; returns how many they were."""
        return int(_arguments(self._call(m.QUEUE_PURGE, (0, queue, False), (m.QUEUE_PURGE_OK,), deadline))[0])

    def queue_delete(
        self, queue: str, *, if_unused: bool = False, if_empty: bool = False, deadline: float | None = None
    ) -> int:
        """Delete a queue; returns how many messages went with it (0 if there was no queue)."""
        args = (0, queue, if_unused, if_empty, False)
        return int(_arguments(self._call(m.QUEUE_DELETE, args, (m.QUEUE_DELETE_OK,), deadline))[0])

    # --- consuming ---

    def basic_qos(self, prefetch_count: int, *, global_: bool = False, deadline: float | None = None) -> None:
        """Limit unacknowledged messages to ``prefetch_count`` (0: no limit).

        Args:
            prefetch_count: The limit.
            global_: To RabbitMQ, ``False`` means for each consumer started from now on, ``True`` for the
                whole channel (which quorum queues refuse).
            deadline: See the class.
        """
        self._call(m.BASIC_QOS, (0, prefetch_count, global_), (m.BASIC_QOS_OK,), deadline)

    def basic_consume(
        self,
        queue: str,
        consumer_tag: str = "",
        *,
        no_ack: bool = False,
        exclusive: bool = False,
        arguments: Mapping[str, Any] | None = None,
        deadline: float | None = None,
    ) -> str:
        """Start a consumer; its messages arrive in ``deliveries``. Returns the consumer tag."""
        # Known before the answer: deliveries may come in the same read.
        if no_ack and consumer_tag:
            self._no_ack_consumers.add(consumer_tag)
        args = (0, queue, consumer_tag, False, no_ack, exclusive, False, arguments or {})
        tag = str(_arguments(self._call(m.BASIC_CONSUME, args, (m.BASIC_CONSUME_OK,), deadline))[0])
        if no_ack and tag not in self._no_ack_consumers:
            self._no_ack_consumers.add(tag)
            for delivery in self.deliveries:
                if delivery.consumer_tag == tag:
                    self._unsettled.settle(delivery.delivery_tag)
        return tag

    def basic_cancel(self, consumer_tag: str, *, deadline: float | None = None) -> None:
        """Stop a consumer; messages already delivered stay in ``deliveries`` and must still be settled."""
        self._call(m.BASIC_CANCEL, (consumer_tag, False), (m.BASIC_CANCEL_OK,), deadline)
        self._no_ack_consumers.discard(consumer_tag)

    def basic_get(self, queue: str, *, no_ack: bool = False, deadline: float | None = None) -> Delivery | None:
        """Fetch one message, ``None`` if the queue is empty."""
        answers = (m.BASIC_GET_OK, m.BASIC_GET_EMPTY)
        reply = self._call(m.BASIC_GET, (0, queue, no_ack), answers, deadline)
        if not isinstance(reply, Delivery):
            return None
        if not no_ack:
            self._unsettled.add(reply.delivery_tag)
        return reply

    # --- settling ---

    def ack_many(self, delivery_tags: Iterable[int], *, put_off: bool = False, deadline: float | None = None) -> bool:
        """Acknowledge many messages with one write.

        Those with no unsettled message before them become one multiple acknowledgement. Each of the others costs the
        server a search through all that is unsettled on the channel.

        Args:
            delivery_tags: The messages.
            put_off: Leave those others to a later call, by which they may have become part of a multiple one.
            deadline: See the class.

        Returns:
            Whether any were put off.
        """
        self._check_open()
        acks = self._unsettled.acknowledge(delivery_tags, put_off=put_off)
        if acks:
            frames = b"".join([m.encode_ack(self.id, tag, multiple) for tag, multiple in acks])
            self._connection._send(frames, self._connection._deadline(deadline))
        return self._unsettled.has_put_off

    def nack_many(self, delivery_tags: Iterable[int], *, requeue: bool = True, deadline: float | None = None) -> None:
        """Refuse many messages with one write."""
        self._check_open()
        frames: list[bytes] = []
        for tag in delivery_tags:
            self._unsettled.settle(tag)
            frames.append(m.encode_nack(self.id, tag, False, requeue))
        if frames:
            self._connection._send(b"".join(frames), self._connection._deadline(deadline))

    # --- publishing ---

    def confirm_select(self, *, deadline: float | None = None) -> None:
        """Ask the server to confirm every message published from now on."""
        if not self._confirms.enabled:
            self._call(m.CONFIRM_SELECT, (False,), (m.CONFIRM_SELECT_OK,), deadline)
            self._confirms.enabled = True

    def tx_select(self, *, deadline: float | None = None) -> None:
        """Have everything published and settled from now on wait for `tx_commit`."""
        self._call(m.TX_SELECT, (), (m.TX_SELECT_OK,), deadline)

    def tx_commit(self, *, deadline: float | None = None) -> None:
        """Carry out what was published and settled since the last commit: all of it, or nothing."""
        self._call(m.TX_COMMIT, (), (m.TX_COMMIT_OK,), deadline)

    def basic_publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        properties: Mapping[str, Any] | None = None,
        headers: Mapping[str, Any] | None = None,
        *,
        mandatory: bool = False,
        deadline: float | None = None,
    ) -> int:
        """Write one message; returns its tag. See :meth:`publish_many`."""
        return self.publish_many([(exchange, routing_key, body, properties or {}, headers, mandatory)], deadline)[0]

    def publish_many(self, messages: Sequence[OutgoingMessage], deadline: float | None = None) -> range:
        """Write messages without waiting for their confirms (see :meth:`wait_confirms`).

        Args:
            messages: Tuples of exchange, routing key, body, properties, headers or ``None``, mandatory.
            deadline: When to give up writing. If that happens between two messages of a blocked connection
                nothing was sent; in the middle of writing the connection is dropped and nothing is known.

        Returns:
            The delivery tags of the messages, in order.

        Raises:
            EncodeError: A message cannot be encoded; none was sent.
            ChannelClosed: The channel is closed, for example because an exchange published to does not exist.
            OperationTimeout: The server blocks publishers (memory or disk alarm), or takes no data.
            ConnectionLost: The connection broke.
        """
        self._check_open()
        connection = self._connection
        limit = connection._deadline(deadline)
        try:
            connection._before_publish(self, limit)
            writes = self._encode(messages)
            tags = self._confirms.add(messages)
            for data in writes:
                connection._send(data, limit)
        except AMQPError as exc:
            self._confirms.describe(exc)
            raise
        return tags

    def _encode(self, messages: Sequence[OutgoingMessage]) -> list[bytes]:
        channel, frame_max, targets = self.id, self._connection.frame_max, self._targets
        writes: list[bytes] = []
        parts: list[bytes] = []
        size = 0
        for exchange, routing_key, body, properties, headers, mandatory in messages:
            target = targets.get((exchange, routing_key, mandatory))
            if target is None:
                target = self._keep_target(exchange, routing_key, mandatory)
            parts.append(target)
            m.append_content(parts, channel, body, properties, headers, frame_max)
            size += len(body)
            if size > _WRITE_SIZE:
                writes.append(b"".join(parts))
                parts.clear()
                size = 0
        if parts:
            writes.append(b"".join(parts))
        return writes

    def _keep_target(self, exchange: str, routing_key: str, mandatory: bool) -> bytes:
        if len(self._targets) >= _TARGETS_KEPT:
            self._targets.clear()
        frame = m.encode_publish(self.id, exchange, routing_key, mandatory)
        self._targets[exchange, routing_key, mandatory] = frame
        return frame

    @property
    def unconfirmed(self) -> tuple[int, ...]:
        """Tags of published messages the server has not confirmed yet."""
        return tuple(self._confirms.pending)

    def wait_confirms(self, deadline: float | None = None, *, leave: int = 0) -> None:
        """Wait until the server has confirmed everything published, or all but ``leave`` messages.

        Raises:
            PublishRefused: Messages were returned (mandatory and unroutable) or confirmed negatively; the
                others are confirmed, except those still left. Each is reported once.
            OperationTimeout: Not all confirms came in time; ``unconfirmed`` has the tags still open. The
                channel stays usable and a later call goes on waiting.
            ChannelClosed: The channel was closed; ``unconfirmed`` has the tags whose fate is unknown.
            ConnectionLost: The connection broke; ``unconfirmed`` likewise.
        """
        limit = self._connection._deadline(deadline)
        confirms = self._confirms
        while len(confirms.pending) > leave:
            self._check_open()
            if not self._pump_confirms(limit) and time.monotonic() >= limit and len(confirms.pending) > leave:
                error = OperationTimeout(f"{len(confirms.pending)} messages were not confirmed in time")
                confirms.describe(error)
                raise error
        if confirms.refusals:
            refusals = list(confirms.refusals.values())
            confirms.refusals.clear()
            raise PublishRefused(refusals)
        self._check_open()

    def _pump_confirms(self, limit: float) -> bool:
        try:
            return self._connection._pump(limit)
        except ConnectionLost:
            self._check_open()  # raises the same with the messages of this channel
            raise

    # --- what the server sends ---

    def _on_delivery(self, delivery: Delivery) -> bool:
        """Take a message; returns whether it is news, not the answer to a call."""
        if delivery.method == m.BASIC_DELIVER:
            if not self._no_ack_consumers or delivery.consumer_tag not in self._no_ack_consumers:
                self._unsettled.add(delivery.delivery_tag)
            self.deliveries.append(delivery)
        elif delivery.method == m.BASIC_GET_OK:
            self._replies.append(delivery)
            return False
        elif self._confirms.enabled:
            self._confirms.returned(delivery)
        else:
            self.returned.append(delivery)
        return True

    def _on_method(self, event: Method) -> bool:
        """Take a method; returns whether it is news, not the answer to a call."""
        method = event.method
        if method == m.BASIC_ACK:
            self._confirms.confirmed(event.args[0], event.args[1], refused=False)
        elif method == m.BASIC_NACK:
            self._confirms.confirmed(event.args[0], event.args[1], refused=True)
        elif method == m.BASIC_CANCEL:
            self._on_cancel(*event.args)
        else:
            self._on_answer(event)
            return False
        return True

    def _on_answer(self, event: Method) -> None:
        if event.method == m.CHANNEL_CLOSE:
            self._on_close(*event.args)
        elif event.method == m.CHANNEL_FLOW:
            self._flowing = event.args[0]
            self._connection._reply(m.encode_method(self.id, m.CHANNEL_FLOW_OK, self._flowing))
        elif event.method != m.CHANNEL_CLOSE_OK or self._closing:
            # A close-ok nobody waits for is for an earlier channel of this number.
            self._replies.append(event)

    def _on_cancel(self, consumer_tag: str, no_wait: bool) -> None:
        self.cancelled.append(consumer_tag)
        self._no_ack_consumers.discard(consumer_tag)
        if not no_wait:
            self._connection._reply(m.encode_method(self.id, m.BASIC_CANCEL_OK, consumer_tag))

    def _on_close(self, code: int, text: str, class_id: int, method_id: int) -> None:
        self._connection._reply(m.encode_method(self.id, m.CHANNEL_CLOSE_OK))
        objected = m.method_name(class_id << 16 | method_id) if class_id else ""
        self._fail(ChannelClosed(self.id, code, text, objected))
        self._connection._forget_channel(self, reported=False)


def _arguments(reply: Method | Delivery) -> tuple[Any, ...]:
    return reply.args if isinstance(reply, Method) else ()
