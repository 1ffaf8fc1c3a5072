"""The port every broker driver implements.  It holds no driver code.

A *session* is one connection used by one thread.  Everything a session has fetched and not yet settled is held
under **one lease, the session's**: `BrokerSession.heartbeat` extends it as a whole, and when a session falls
silent for longer than the lease, any other session's sweep returns all its messages to their queues, counted as
delivered once more.  (RabbitMQ does the same by itself when a connection dies.)  Settling a message of a session
whose lease ran out is a no-op: another worker may hold it by then.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, runtime_checkable

from celeriac.utils.dataclass import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from celeriac.broker.topology import Exchange, Queue
    from celeriac.message import DeadLetter, Delivery, Message, Publication

_session_ids = count(1)

#: Notices kept under one topic; of more, the newest stay.
MAX_NOTICES = 50_000


def next_session_id() -> int:
    """A number unique within this process."""
    return next(_session_ids)


@dataclass(frozen=True)
class BrokerOptions:
    """What every driver is told when it is opened.

    Attributes:
        connect_timeout: Seconds to establish a connection (``broker_connection_timeout``).
        publish_timeout: Seconds for one publish, everything included (``broker_publish_timeout``).
        lease: Seconds after which a silent session's messages return (``broker_lease``).
        sweep_interval: Seconds between searches for lapsed sessions (``broker_sweep_interval``).
        heartbeat: AMQP heartbeat in seconds, 0 is off (``broker_heartbeat``).
        confirm_publish: Wait for publisher confirms where the broker has them.
        use_ssl: ``broker_use_ssl``: False, True or a mapping of TLS parameters.
        login_method: ``broker_login_method``.
        max_body_size: Largest message body in bytes that a client may publish.
        transport_options: ``broker_transport_options``.
        delay_queue_type: ``broker_native_delayed_delivery_queue_type``.
        app_name: Name of the application; it names the file of the embedded broker.
    """

    connect_timeout: float = 4.0
    publish_timeout: float = 5.0
    lease: float = 30.0
    sweep_interval: float = 10.0
    heartbeat: float = 120.0
    confirm_publish: bool = True
    use_ssl: bool | Mapping[str, Any] = False
    login_method: str | None = None
    max_body_size: int = 256 * 1024 * 1024
    transport_options: Mapping[str, Any] = field(default_factory=dict)
    delay_queue_type: str = "quorum"
    app_name: str = "default"


@dataclass(frozen=True)
class BrokerCapabilities:
    """What a driver can do.

    Attributes:
        name: The URL scheme it is known by.
        fanout: It can deliver one message to many subscribers.
        priorities: It orders messages by priority.
        fanout_by_key: Consumers of a fanout exchange get only what the routing key of their binding matches, and a
            message that nobody is there for is gone.
        exchanges: It routes through named exchanges.
        in_process: Its messages are visible to this process only.
        delay_resolution: Seconds of precision of a delay kept by the broker; the worker holds the rest.
        purges_delayed: `BrokerSession.purge` reaches delayed messages too.
        answers_acks: An acknowledgement that was sent without an error has reached the broker.
        resumable: A lease outlives its connection: ``connect(resume=…)`` can continue it.
        counts_receivers: `BrokerSession.broadcast` counts everybody who gets the message; else our sessions alone, and
            those of Celery may get it too.
        once: It minds `Publication.once`; others publish such a message like any other.
    """

    name: str
    fanout: bool = False
    fanout_by_key: bool = False
    priorities: bool = True
    exchanges: bool = True
    in_process: bool = False
    delay_resolution: float = 0.0
    purges_delayed: bool = True
    answers_acks: bool = True
    resumable: bool = False
    counts_receivers: bool = True
    once: bool = False


class Broker(Protocol):
    """A configured broker; opening sessions is all it does."""

    @property
    def capabilities(self) -> BrokerCapabilities: ...

    @property
    def url(self) -> str:
        """The URL with its password masked, fit for logs."""
        ...

    def connect(self, *, timeout: float | None = None, resume: BrokerSession | None = None) -> BrokerSession:
        """Open a session.

        Args:
            timeout: Seconds for everything it takes; None is ``BrokerOptions.connect_timeout``.
            resume: A session of this broker whose connection broke.  Where leases outlive connections, and this one
                has not lapsed, the new session takes over the lease, everything held under it, and the
                ``session_id``; messages the old one had claimed without learning of it return to their queues,
                uncharged.  Otherwise the new session is an ordinary one, with a ``session_id`` of its own.

        Raises:
            SessionRefused: Credentials or permissions are wrong.
            OperationalError: The broker cannot be reached in time.
        """
        ...


@runtime_checkable
class DelayReleasing(Protocol):
    """A session of a broker whose delayed messages only we bring back, and that can leave them to others."""

    def release_delayed(self, queues: Sequence[str] | None = None) -> dict[str, int]:
        """Move delayed messages to their queues at once, each with an ETA that tells its consumer to hold it.

        Args:
            queues: Names of queues; None is every queue that has any.

        Returns:
            How many messages were moved, by queue.
        """
        ...


@runtime_checkable
class CountsDelayed(Protocol):
    """A session that tells how many messages are delayed, by queue."""

    def count_delayed(self, queues: Sequence[str]) -> dict[str, int]:
        """Messages of each queue that are not due yet; unknown queues count 0."""
        ...


@runtime_checkable
class CountsDeadLetters(Protocol):
    """A session that tells how many dead letters there are without reading them."""

    def count_dead_letters(self) -> int:
        """All dead letters of the broker."""
        ...


#: Where messages can be relayed to: the token of a session, and the queues that it consumes.
RelayAddress: TypeAlias = tuple[str, tuple[str, ...]]


@runtime_checkable
class Relaying(Protocol):
    """A session of a broker that can put a message under another session's lease as it is published.

    So the children of a worker publish what comes next, and hand it to their worker in the same step: it is in the
    broker, as a message that the worker has claimed.
    """

    def relay_address(self) -> RelayAddress | None:
        """Where this session takes messages; None where it takes none."""
        ...

    def relay(
        self, item: Publication, address: RelayAddress, tag: str, *, ended: Sequence[bytes] = (), timeout: float
    ) -> bytes | None:
        """Publish a message to its queue, or, if nothing waits that the session of the address could fetch, to that.

        Args:
            item: The message.
            address: Of the other session.
            tag: Its tag there; nothing else ever has it, and `RELAYED` is its beginning.
            ended: Tags of relayed messages that the other session may have settled for good, by the way: it is going
                to do so anyway.
            timeout: Seconds for everything.

        Returns:
            What `read_relayed` of the other session is to get; empty: it went to the queue. None: it has not
            been published, since messages of its kind are not relayed.

        Raises:
            OperationalError: It may or may not have been accepted, and may be held; see `reclaim`.
        """
        ...

    def read_relayed(self, queue: str, tag: str, envelope: bytes) -> Delivery:
        """The delivery of a message that was relayed to this session. Safe from any thread."""
        ...

    def adopt(self, deliveries: Sequence[Delivery]) -> None:
        """Learn of messages that were relayed to this session, and are treated as those that it fetched."""
        ...

    def reclaim(self, prefix: str) -> None:
        """Return to their queues what was relayed to this session and it has not been told of, uncharged.

        Args:
            prefix: Beginning of the tags.
        """
        ...


#: Beginning of the tags of relayed messages.
RELAYED: Final = "relayed-"


class BrokerSession(Protocol):
    """One connection used by one thread. Only `wake` may be called from another.

    Every method may raise `SessionLost`; the session is then useless and must be closed.  Every method is bounded
    by a deadline: its own ``timeout``, or the driver's I/O timeout.
    """

    session_id: int

    def declare(self, queues: Sequence[Queue]) -> None:
        """Make sure queues, their exchanges and bindings exist.

        A queue without a name stands for its exchanges alone.
        """
        ...

    def publish_many(self, items: Sequence[Publication], *, timeout: float | None = None) -> None:
        """Publish; returns once the broker has taken responsibility for every item.

        Queues of destinations are declared once per session.  Items with ``not_before`` in the future are kept by
        the broker until then.  An item with ``once`` whose place is the last one of its series was taken before,
        and nothing is done about it.

        Raises:
            Superseded: An item with ``once`` has an older token than the last one of its series.
            Unroutable: An item that is mandatory reaches no queue; the others may have been accepted.
            PublishTimeout: The deadline passed; each item may or may not have been accepted.
            OperationalError: Refused, or the connection broke; as above.
        """
        ...

    def consume(self, queues: Sequence[Queue]) -> None:
        """Set the queues that `fetch` takes from, in order of preference; declares them."""
        ...

    def fetch(self, *, limit: int, wait: float) -> list[Delivery]:
        """Claim up to ``limit`` messages under this session's lease.

        Claiming is atomic: a crash at any point leaves a message in its queue or under a lease.

        Args:
            limit: At most this many.
            wait: Seconds to wait for the first one; 0 returns at once.  `wake` ends the wait early.

        Returns:
            What was claimed; possibly nothing.  An envelope that cannot be read arrives with `Delivery.malformed`.
        """
        ...

    def ack_many(self, deliveries: Sequence[Delivery], *, confirm: bool = False) -> None:
        """Settle for good.

        A driver may put this off for some milliseconds, as long as `fetch` is called; see `flush`.

        Args:
            deliveries: Deliveries of this session; those of others are ignored.
            confirm: Return only when the broker has certainly processed it (needed for at-most-once).

        Raises:
            SessionLost: With ``confirm``: not all of them were still held by this session, so that another one may
                hold them now.
        """
        ...

    def flush(self) -> None:
        """Settle now what was put off; for a caller that is going to leave the session alone for a while."""
        ...

    def reject_many(self, deliveries: Sequence[Delivery]) -> None:
        """Discard; a dead-letter policy of the broker itself applies where there is one."""
        ...

    def requeue_many(self, deliveries: Sequence[Delivery], *, charge: bool = True) -> None:
        """Return to their queues at once.

        Args:
            deliveries: Deliveries of this session.
            charge: Count this delivery; False forgets it, as if the message had never been handed out.
        """
        ...

    def defer_many(self, items: Sequence[tuple[Delivery, float]]) -> None:
        """Put back under the broker's care until a Unix time, uncharged. Atomic for each message."""
        ...

    def dead_letter_many(self, items: Sequence[tuple[Delivery, str]]) -> None:
        """Set aside with a reason, in the broker's dead-letter store. Atomic for each message."""
        ...

    def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        """The newest dead letters, newest first."""
        ...

    def remove_dead_letters(self, ids: Collection[str]) -> int:
        """Delete dead letters for good.

        Args:
            ids: `DeadLetter.id` of each; one that is not there any more is left out.

        Returns:
            How many were deleted.
        """
        ...

    def heartbeat(self) -> None:
        """Extend the lease of everything this session holds; sweep for lapsed sessions when that is due.

        Raises:
            SessionLost: The lease had already run out; what was held belongs to others now.
        """
        ...

    def purge(self, queue: str) -> int:
        """Drop every waiting message of a queue; returns how many.

        Delayed ones are included where ``BrokerCapabilities.purges_delayed`` says so.
        """
        ...

    def depths(self, queues: Sequence[str]) -> dict[str, int]:
        """Waiting messages by queue (without delayed and claimed ones); unknown queues count 0."""
        ...

    def broadcast(self, exchange: Exchange, message: Message) -> int | None:
        """Publish to every queue bound to a fanout exchange, which is declared if need be.

        Returns:
            How many live sessions get it, as far as `BrokerCapabilities.counts_receivers` says; None when the broker
            does not answer that.
        """
        ...

    def keep_notices(self, topic: str, notices: Sequence[str], *, seconds: float) -> None:
        """Keep short texts for everybody to read, for some seconds from now; at most `MAX_NOTICES`, the newest.

        They outlive sessions, and restarts of the broker as far as its messages do.
        """
        ...

    def notices(self, topic: str) -> list[str]:
        """The texts kept under a topic, oldest first; one that was kept twice may be there twice."""
        ...

    def wake(self) -> None:
        """Make a waiting `fetch` return early. Safe from any thread and from signal handlers."""
        ...

    def close(self) -> None:
        """Release what is held, uncharged, and close. Never raises."""
        ...
