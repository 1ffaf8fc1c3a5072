"""Consumers of a session and what they received: prefetch, buffers, and what has been handed out.

It does not publish: messages that have to be counted are given to the session.
"""

from __future__ import annotations

import math
import time
from collections import deque
from itertools import count
from typing import TYPE_CHECKING

from celeriac.broker.amqp.envelope import needs_count, read_delivery
from celeriac.broker.amqp.presence import is_presence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from celeriac.broker.topology import Queue
    from celeriac.drivers.amqp import Channel
    from celeriac.drivers.amqp import Delivery as RawDelivery
    from celeriac.message import Delivery

#: AMQP's largest prefetch count.
_MAX_PREFETCH = 65535
#: Seconds for which an acknowledgement may wait for those of the messages before it.
_PUT_OFF = 0.005
#: The prefetch count shrinks when less than half of it was needed for so many seconds.
_SHRINK_AFTER = 5.0


class _Consumed:
    """A queue that is consumed, and what came from it and has not been handed out."""

    __slots__ = ("arrived", "counted", "queue", "tag")

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.tag: str | None = None
        self.arrived: deque[RawDelivery] = deque()
        self.counted: deque[Delivery] = deque()


class Consumption:
    """What a session consumes on a channel of its own.

    RabbitMQ applies a prefetch count to each consumer that is started after it was set, so a count that no longer
    fits means to start the consumers anew.

    Args:
        channel: The channel.
        session_id: Goes into every delivery.

    Attributes:
        held: Deliveries handed out and not settled, by tag.
        flush_at: Monotonic time at which `flush_due` has something to do.
    """

    def __init__(self, channel: Channel, session_id: int) -> None:
        self.channel = channel
        self.held: dict[int, Delivery] = {}
        self.flush_at = math.inf
        self._session_id = session_id
        self._queues: list[_Consumed] = []
        self._by_tag: dict[str, _Consumed] = {}
        self._tags = count(1)
        self._prefetch = 0
        self._roomy_since: float | None = None
        self._turn = 0
        self._returned: list[tuple[RawDelivery, _Consumed]] = []

    @property
    def queues(self) -> list[Queue]:
        """The queues consumed."""
        return [each.queue for each in self._queues]

    def check_open(self) -> None:
        """Raise why the channel was closed, if it was."""
        error = self.channel.error
        if error is not None:
            raise error.with_traceback(None)

    # --- consumers

    def replace(self, queues: Sequence[Queue]) -> list[Delivery]:
        """Consume other queues from the next fetch on; returns what had arrived from those left."""
        wanted = {queue.name: queue for queue in queues}
        kept = {each.queue.name: each for each in self._queues if each.queue.name in wanted}
        left = [each for each in self._queues if each.queue.name not in wanted]
        for each in left:
            self._cancel(each)
        self.collect()
        self._queues = [kept.get(name) or _Consumed(queue) for name, queue in wanted.items()]
        self._by_tag = {each.tag: each for each in self._queues if each.tag is not None}
        self._start([each for each in self._queues if each.tag is None and is_presence(each.queue)], self._prefetch)
        return [
            delivery for each in left for delivery in (*each.counted, *(self._read(raw, each) for raw in each.arrived))
        ]

    def tune(self, limit: int) -> None:
        """Let the server send what is held and a number of messages more, and start consumers that are not."""
        # Not 0, which means no limit.
        wanted = min(max(len(self.held) + limit, 1), _MAX_PREFETCH)
        if wanted > self._prefetch or (wanted * 2 < self._prefetch and self._roomy_for_long()):
            self._start([each for each in self._queues if not is_presence(each.queue)], wanted)
        elif wanted * 2 >= self._prefetch:
            self._roomy_since = None
        self._start([each for each in self._queues if each.tag is None], self._prefetch)

    def _roomy_for_long(self) -> bool:
        now = time.monotonic()
        if self._roomy_since is None:
            self._roomy_since = now
        return now - self._roomy_since >= _SHRINK_AFTER

    def _start(self, queues: Iterable[_Consumed], prefetch: int) -> None:
        """Start consumers; those that take the place of others come first, so that no queue is without one."""
        queues = list(queues)
        if not queues:
            return
        self._roomy_since = None
        self.channel.basic_qos(prefetch)
        self._prefetch = prefetch
        for each in queues:
            queue, before = each.queue, each.tag
            tag = f"c{next(self._tags)}"
            self._by_tag[tag] = each
            self.channel.basic_consume(queue.name, tag, no_ack=queue.no_ack, arguments=queue.consumer_arguments)
            if before is not None:
                self._cancel(each)
            each.tag = tag

    def _cancel(self, each: _Consumed) -> None:
        if each.tag is not None:
            self.channel.basic_cancel(each.tag)
            # What came before the answer is here by now.
            self.collect()
            self._by_tag.pop(each.tag, None)
            each.tag = None

    def stop(self) -> None:
        """Cancel all consumers; what arrived stays."""
        for each in self._queues:
            self._cancel(each)

    def cancelled(self) -> list[Queue]:
        """Queues whose consumer the server cancelled, most likely because they were deleted."""
        found: list[Queue] = []
        while self.channel.cancelled:
            each = self._by_tag.pop(self.channel.cancelled.popleft(), None)
            if each is not None:
                each.tag = None
                found.append(each.queue)
        return found

    # --- settling

    def acknowledge(self, deliveries: Iterable[Delivery], *, at_once: bool = False) -> None:
        """Acknowledge what has no unsettled message before it, and the rest a little later unless ``at_once``.

        Tasks end out of order, and one acknowledgement of many messages costs the server less than many of one.
        """
        now = time.monotonic()
        put_off = not at_once and now < self.flush_at
        if not self.channel.ack_many([delivery.tag for delivery in deliveries], put_off=put_off):
            self.flush_at = math.inf
        elif self.flush_at == math.inf:
            self.flush_at = now + _PUT_OFF

    def flush_due(self, now: float) -> None:
        """Send the acknowledgements that were put off for long enough."""
        if now >= self.flush_at:
            self.flush()

    def flush(self) -> None:
        """Send the acknowledgements that were put off."""
        if self.flush_at < math.inf:
            self.flush_at = math.inf
            self.channel.ack_many(())

    def confirm_settled(self) -> None:
        """Return when the server has carried out what was settled: it answers in order."""
        self.channel.basic_qos(self._prefetch)

    def is_exclusive(self, queue: str) -> bool:
        """Whether a queue goes with this connection, and all that is in it."""
        return any(each.queue.name == queue and each.queue.exclusive for each in self._queues)

    # --- messages

    def collect(self) -> None:
        """Sort what the channel received by queue, and apart from it what is to be counted first."""
        deliveries, by_tag = self.channel.deliveries, self._by_tag
        while deliveries:
            raw = deliveries.popleft()
            each = by_tag[raw.consumer_tag]
            if raw.redelivered and needs_count(raw):
                self._returned.append((raw, each))
            else:
                each.arrived.append(raw)

    def take_returned(self) -> list[Delivery]:
        """Take out what came back from sessions that died and is not counted; it is held from now on.

        What is not taken out before the session ends comes back to the next one, to be counted there.
        """
        found = [self.hold(self._read(raw, each)) for raw, each in self._returned]
        self._returned.clear()
        return found

    def return_counted(self, delivery: Delivery) -> None:
        """Put a delivery back that was counted here and has to be handed out by this session."""
        self.held.pop(delivery.tag, None)
        for each in self._queues:
            if each.queue.name == delivery.queue:
                each.counted.append(delivery)

    def take(self, limit: int) -> list[Delivery]:
        """Hand out up to a number of messages, beginning with another queue each time."""
        queues = self._queues
        found: list[Delivery] = []
        for offset in range(len(queues)):
            each = queues[(self._turn + offset) % len(queues)]
            arrived, name = each.arrived, each.queue.name
            held = None if each.queue.no_ack else self.held
            while each.counted and len(found) < limit:
                found.append(self.hold(each.counted.popleft()))
            while arrived and len(found) < limit:
                raw = arrived.popleft()
                delivery = read_delivery(raw, name, self._session_id)
                if held is not None:
                    held[raw.delivery_tag] = delivery
                found.append(delivery)
        if found:
            self._turn += 1
        return found

    def _read(self, raw: RawDelivery, each: _Consumed) -> Delivery:
        return read_delivery(raw, each.queue.name, self._session_id)

    def hold(self, delivery: Delivery) -> Delivery:
        """Count a delivery among those handed out."""
        self.held[delivery.tag] = delivery
        return delivery

    def release(self, deliveries: Iterable[Delivery]) -> list[Delivery]:
        """Take deliveries from those held; returns the ones that were."""
        held, session_id = self.held, self._session_id
        mine = [held.pop(d.tag, None) for d in deliveries if d.session_id == session_id]
        return [delivery for delivery in mine if delivery is not None]

    def take_arrived(self, queue: str | None = None) -> list[Delivery]:
        """Take out what arrived and was not handed out, from one queue or all."""
        self.collect()
        found: list[Delivery] = []
        for each in self._queues:
            if queue in (None, each.queue.name):
                if not each.queue.no_ack and not (queue is None and each.queue.exclusive):
                    found += each.counted
                    found += [self._read(raw, each) for raw in each.arrived]
                each.counted.clear()
                each.arrived.clear()
        return found

    def waiting_headers(self) -> Iterator[Mapping[str, Any]]:
        """The headers of what arrived and was not handed out."""
        for each in self._queues:
            yield from (raw.headers for raw in each.arrived)
            yield from (delivery.message.headers for delivery in each.counted)
        yield from (raw.headers for raw, _ in self._returned)

    def arrived(self, queue: str) -> int:
        """How many messages of a queue arrived and were not handed out."""
        self.collect()
        return sum(len(each.arrived) + len(each.counted) for each in self._queues if each.queue.name == queue)
