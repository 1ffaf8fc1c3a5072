"""The broker that a contract is applied to, and what contracts say to it.  It checks nothing by itself."""

from __future__ import annotations

import statistics
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from celeriac.broker import BrokerOptions, BrokerSession, Queue, open_broker
from celeriac.message import Delivery, Destination, Message, Publication
from celeriac.utils.dataclass import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

T = TypeVar("T")

#: Seconds after which something that should have happened is given up: many, for a machine that has much else to do.
PATIENCE = 60.0
#: Seconds that such a machine may add to what has a limit of time.
SLACK = 15.0


@dataclass
class BrokerUnderTest:
    """A broker to test, and how a test interferes with it from outside.

    Attributes:
        url: URL of a broker that nobody else uses, or uses with the same queue names.
        open: Makes the broker; `open_broker` unless the driver is not in its table.
        transport_options: Passed on to the driver.
        urgent: The priority that goes first.
        ordinary: A priority that goes last.
        many: Messages of a large batch.
        reaction: Seconds within which an idle session notices a message, as a median of nine in a row.
        silence: Makes a session fall silent, where not using it is not enough.
        put_malformed: Puts something into a queue that is no message; None if a broker cannot hold it.
        disconnect: Ends the connection of a session from the server's side; None without a server.
        url_at_port: The URL of such a broker on a port of this host; None without a server.
    """

    url: str
    open: Callable[[str, BrokerOptions], Any] = open_broker
    transport_options: Mapping[str, Any] = field(default_factory=dict)
    urgent: int = 9
    ordinary: int = 0
    many: int = 10_000
    reaction: float = 0.25
    silence: Callable[[BrokerSession], None] | None = None
    put_malformed: Callable[[str], None] | None = None
    disconnect: Callable[[BrokerSession], None] | None = None
    url_at_port: Callable[[int], str] | None = None

    def broker(self, url: str | None = None, **options: Any) -> Any:
        """A broker with these `BrokerOptions`."""
        options.setdefault("transport_options", self.transport_options)
        return self.open(url or self.url, BrokerOptions(**options))

    @contextmanager
    def session(self, *consumed: Queue, **options: Any) -> Iterator[BrokerSession]:
        """An open session that consumes some queues; closed at the end."""
        session: BrokerSession = self.broker(**options).connect(timeout=PATIENCE)
        try:
            if consumed:
                session.consume(consumed)
            yield session
        finally:
            session.close()


def new_queue(**options: Any) -> Queue:
    """A queue with a name of its own."""
    return Queue(f"contract-{uuid.uuid4().hex[:12]}", **options)


def publication(queue: Queue, body: bytes = b"[[], {}, {}]", **options: Any) -> Publication:
    """A message to a queue by the default exchange.

    Args:
        queue: Where it goes.
        body: Its body.
        **options: ``not_before`` of the publication; anything else is a property of the message.
    """
    not_before = options.pop("not_before", None)
    return Publication(new_message(body, **options), Destination("", queue.name, queue), not_before)


def new_message(body: bytes, **properties: Any) -> Message:
    """A message with headers such as a task has."""
    task_id = str(uuid.uuid4())
    headers = {"lang": "py", "task": "contract.task", "id": task_id, "retries": 0, "timelimit": [None, None]}
    return Message(body, "application/json", "utf-8", headers, {"correlation_id": task_id, **properties})


def bodies(deliveries: list[Delivery]) -> list[bytes]:
    """The bodies of deliveries."""
    return [delivery.message.body for delivery in deliveries]


def fetch_count(session: BrokerSession, expected: int, *, limit: int = 100) -> list[Delivery]:
    """Fetch until `expected` deliveries have come; fails when they do not."""
    found: list[Delivery] = []
    deadline = time.monotonic() + PATIENCE
    while len(found) < expected:
        found += session.fetch(limit=limit, wait=0.2)
        if time.monotonic() > deadline:
            raise AssertionError(f"{len(found)} of {expected} messages came within {PATIENCE} s")
    return found


def depth(session: BrokerSession, queue: Queue) -> int:
    """Waiting messages of one queue."""
    return session.depths([queue.name])[queue.name]


def until(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of a condition; fails when it does not come."""
    deadline = time.monotonic() + PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {PATIENCE} s")
        time.sleep(0.01)


def soon_noticed(delay: Callable[[], float], reaction: float) -> None:
    """Check that waiting ends soon after what is waited for; fails when it does not.

    On a busy machine one delay proves nothing: delays are measured until the median of nine in a row is short.

    Args:
        delay: Measures one delay, in seconds.
        reaction: What their median has to be less than.
    """
    delays = [delay() for _ in range(9)]
    deadline = time.monotonic() + PATIENCE
    while statistics.median(delays[-9:]) >= reaction:
        if time.monotonic() > deadline:
            raise AssertionError(f"no nine delays in a row have a median below {reaction} s: {delays}")
        delays.append(delay())


def in_time(before: Callable[[float], T], lead: float, resolution: float) -> tuple[float, T]:
    """Do something before a delay is over; again with a longer one as often as the machine was too slow for it.

    Args:
        before: What to do, on a queue of its own; gets the Unix time at which the delay ends.
        lead: Seconds of the first delay.
        resolution: Seconds by which delays may end early.

    Returns:
        When the delay ends that was long enough, and what `before` returned.
    """
    while True:
        due = time.time() + lead
        value = before(due)
        if time.time() < due - resolution:
            return due, value
        lead *= 2
