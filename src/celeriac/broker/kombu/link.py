"""The one file that talks to kombu: a connection with one channel.  All of it belongs to one thread."""

from __future__ import annotations

import importlib
import json
import time
from queue import Empty
from typing import TYPE_CHECKING, Any, Final

from celeriac.broker.bindings import BindingRow, binding_rows, check_queue
from celeriac.broker.kombu.held import MARKS, Held, Payload, read
from celeriac.broker.kombu.transports import kombu_url, traits
from celeriac.broker.transport_options import ELSEWHERE
from celeriac.broker.url import redact
from celeriac.exceptions import ImproperlyConfigured, Unroutable
from celeriac.utils.uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from celeriac.broker.base import BrokerOptions
    from celeriac.broker.bindings import Lifetime
    from celeriac.broker.topology import Queue

#: Bindings by exchange: most transports keep them in the connection, so that each process knows those that it has
#: declared itself.
Bindings = dict[str, dict[BindingRow, None]]
#: Seconds that a request for messages waits in a service, unless it is told otherwise.
WAIT: Final = 1


def load(url: str, options: BrokerOptions) -> Any:
    """The connection object of kombu for a URL; it connects to nothing yet.

    Raises:
        ImproperlyConfigured: kombu, or what the transport needs, is not installed; or the URL cannot be used.
    """
    scheme, plain = kombu_url(url)
    extra = traits(scheme).extra
    try:
        kombu = importlib.import_module("kombu")
        virtual = importlib.import_module("kombu.transport.virtual")
    except ImportError as error:
        raise ImproperlyConfigured(
            f"broker_url {redact(url)!r} needs kombu itself ({error}): pip install 'celeriac[{extra}]', and leave "
            f"CELERIAC_KOMBU unset"
        ) from error
    given = {name: value for name, value in options.transport_options.items() if name not in ELSEWHERE}
    if traits(scheme).waits:
        given.setdefault("wait_time_seconds", WAIT)
    try:
        connection = kombu.Connection(
            plain,
            ssl=options.use_ssl,
            login_method=options.login_method,
            connect_timeout=options.connect_timeout,
            transport_options=given,
        )
        channel = connection.get_transport_cls().Channel
    except (ImportError, KeyError, AttributeError) as error:
        raise ImproperlyConfigured(
            f"broker_url {redact(url)!r}: kombu's transport {scheme} cannot be loaded ({error}): "
            f"pip install 'celeriac[{extra}]'"
        ) from error
    if not issubclass(channel, virtual.Channel):
        raise ImproperlyConfigured(f"broker_url {redact(url)!r}: kombu's transport {scheme} cannot be used here")
    return connection


class Link:
    """A connection.

    Args:
        connection: What `load` made.
        name: Name of the transport.
        bindings: Shared by the sessions of one broker in this process.
    """

    def __init__(self, connection: Any, name: str, bindings: Bindings) -> None:
        self._connection = connection
        self._name = name
        self._bindings = bindings
        self._channel: Any = None
        self._bound: set[BindingRow] = set()
        self._declared: dict[str, Queue] = {}
        self._lifetimes: dict[str, Lifetime] = {}
        self._consumed: dict[str, bool] = {}
        self._inbox: list[Held] = []
        self._unsettled = 0
        self._ticks = traits(name).ticks
        self._tick = 0

    def open(self, probe: str) -> None:
        """Connect, and have the server answer a question about a queue."""
        self._connection.connect()
        self._channel = self._connection.channel()
        self._channel.Message = _message_class(self._channel.Message)
        self.depth(probe)

    # --- declaring

    def declare(self, queue: Queue) -> None:
        """Make sure that a queue, its exchanges and bindings exist.

        Raises:
            ImproperlyConfigured: The transport cannot have such a queue.
        """
        if self._declared.get(queue.name) is queue or queue.no_declare:
            return
        if queue.name:
            self._lifetimes[queue.name] = self._check(queue)
            self._channel.queue_declare(
                queue=queue.name, durable=queue.durable, exclusive=queue.exclusive, auto_delete=queue.auto_delete,
                arguments=queue.arguments or None,
            )  # fmt: skip
            self._declared[queue.name] = queue
        for row in binding_rows(queue):
            self._bindings.setdefault(row.exchange, {})[row] = None
            self._bind(row)

    def _check(self, queue: Queue) -> Lifetime:
        lifetime = check_queue(queue, self._name)
        if lifetime.expires is not None and not lifetime.transient:
            raise ImproperlyConfigured(
                f"queue {queue.name!r} has expires={lifetime.expires:g}: kombu's transport {self._name} deletes no "
                f"queue that nobody uses; leave it out, or declare the queue with auto_delete, so that it goes with "
                f"its consumer"
            )
        for bound in queue.all_bindings:
            self._check_type(bound.exchange.name, str(bound.exchange.type))
        return lifetime

    def _check_type(self, exchange: str, type_: str) -> None:
        possible = self._connection.transport.implements.exchange_type
        if type_ not in possible or (type_ == "fanout" and not self._channel.supports_fanout):
            raise ImproperlyConfigured(
                f"exchange {exchange!r} is of type {type_!r}, which kombu's transport {self._name} does not have; "
                f"it has {', '.join(sorted(possible))}"
            )

    def _bind(self, row: BindingRow) -> None:
        if row not in self._bound:
            self.declare_exchange(row.exchange, row.type)
            self._channel.queue_bind(row.queue, row.exchange, row.binding_key)
            self._bound.add(row)

    def declare_exchange(self, name: str, type_: str) -> None:
        """Make sure that an exchange exists."""
        self._check_type(name, type_)
        self._channel.exchange_declare(exchange=name, type=type_, durable=True)

    # --- publishing

    def publish(self, payload: Payload, *, mandatory: bool = False) -> None:
        """Publish a message.

        Raises:
            Unroutable: It is mandatory and reaches no queue.
        """
        exchange, key = payload.exchange, payload.routing_key
        if exchange:
            for row in list(self._bindings.get(exchange, ())):
                self._bind(row)
            if mandatory and not self._reached(exchange, key):
                raise Unroutable(
                    f"kombu's transport {self._name} knows no queue bound to exchange {exchange!r} for routing key "
                    f"{key!r}; declare a queue with this binding first"
                )
        message = payload.message
        properties = {name: value for name, value in message.properties.items() if value is not None}
        prepared = self._channel.prepare_message(
            message.body, properties.get("priority"), message.content_type, message.content_encoding,
            dict(message.headers), {**properties, MARKS: dict(payload.marks)},
        )  # fmt: skip
        # The order of what one session publishes is kept where messages are ordered by milliseconds.
        while self._ticks and round(time.monotonic() * 1000) <= self._tick:
            time.sleep(0.0002)
        self._channel.basic_publish(prepared, exchange=exchange, routing_key=key)
        self._tick = round(time.monotonic() * 1000)

    def _reached(self, exchange: str, key: str) -> bool:
        table = self._channel.get_table(exchange) if exchange in self._channel.get_exchanges() else []
        return bool(table) and bool(self._channel.typeof(exchange).lookup(table, exchange, key, None))

    # --- consuming

    def consume(self, queues: Sequence[Queue]) -> None:
        """Take from these queues from now on."""
        wanted = {queue.name: queue.no_ack for queue in queues}
        for name in self._consumed.keys() - wanted.keys():
            self._channel.basic_cancel(name)
        for name in wanted.keys() - self._consumed.keys():
            self._channel.basic_consume(name, wanted[name], self._taker(name, wanted[name]), name)
        self._consumed = wanted

    def _taker(self, name: str, settled: bool) -> Callable[[Any], None]:
        def take(raw: Any) -> None:
            self._unsettled += not settled
            self._inbox.append(read(raw, name, settled=settled))

        return take

    def take(self, limit: int) -> list[Held]:
        """Up to so many messages that wait; a service may keep the request waiting for its ``wait_time_seconds``."""
        while len(self._inbox) < limit and self._consumed:
            self._channel.basic_qos(0, self._unsettled + limit - len(self._inbox), False)
            try:
                self._connection.drain_events(timeout=0)
            except (Empty, TimeoutError):
                break
        found, self._inbox = self._inbox, []
        return found

    def message_ttl(self, queue: str) -> float | None:
        """Seconds that a message may wait in a queue."""
        lifetime = self._lifetimes.get(queue)
        return None if lifetime is None else lifetime.message_ttl

    # --- settling

    def ack(self, items: Iterable[Held]) -> None:
        """Settle for good."""
        for held in items:
            if held.kombu_tag is not None:
                self._channel.basic_ack(held.kombu_tag)
                self._unsettled -= 1

    def move(self, items: Iterable[tuple[Held, Payload]]) -> None:
        """Publish something in the place of each message; what is in between at a crash is there twice."""
        for held, payload in items:
            self.publish(payload)
            self.ack([held])

    # --- looking

    def depth(self, queue: str) -> int:
        """Waiting messages."""
        try:
            return int(self._channel.queue_declare(queue=queue, passive=True).message_count)
        except self._connection.channel_errors:
            if self._channel.closed:
                raise
            return 0

    def purge(self, queue: str) -> int:
        """Drop what waits; returns how much that was."""
        return int(self._channel.queue_purge(queue) or 0)

    def rotate(self, queue: str, keep: Callable[[Held], bool]) -> None:
        """Show each message of a queue once; those that are kept go to its end, in order."""
        for _ in range(self.depth(queue)):
            raw = self._channel.basic_get(queue)
            if raw is None:
                return
            held = read(raw, queue, settled=False)
            self._unsettled += 1
            if keep(held):
                self.publish(Payload(held.message, "", queue, held.marks))
            self.ack([held])

    def close(self, *, lost: bool) -> None:
        """Close; queues that live by their consumer go.

        Args:
            lost: Ask nothing of the server any more: somebody else takes care of what was held.
        """
        if self._channel is not None:
            if lost:
                self._channel.do_restore = False
            else:
                for name in self._consumed:
                    if name in self._lifetimes and self._lifetimes[name].transient:
                        self._channel.queue_delete(name)
        try:
            self._connection.release()
        finally:
            # SQLAlchemy's transport leaves its transaction open.
            session = getattr(self._channel, "_session", None)
            if session is not None:
                session.close()


def _message_class(base: Any) -> Any:
    """A class of kombu's messages that leaves bodies as they are, and reads what is no message."""

    class RawMessage(base):  # type: ignore[misc]
        malformed: str | None = None
        was_redelivered = False

        def __init__(self, payload: Any, channel: Any = None, **kwargs: Any) -> None:
            try:
                headers = dict(payload.get("headers") or {})
                # kombu would decompress the body by it.
                plain = {name: value for name, value in headers.items() if name != "compression"}
                super().__init__({**payload, "headers": plain}, channel=channel, **kwargs)
                self.headers = headers
                self.was_redelivered = bool(payload.get("redelivered"))
            except Exception as error:
                self._become_malformed(payload, channel, error)

        def _become_malformed(self, payload: Any, channel: Any, error: Exception) -> None:
            self.malformed = f"the envelope cannot be read: {error!r}"
            empty: dict[str, Any] = {}
            self.channel, self.delivery_tag, self.properties = channel, uuid4(), empty
            self.delivery_info, self.headers, self._raw = {**empty}, {**empty}, payload
            self.content_type, self.content_encoding = "", ""
            self.body = payload if isinstance(payload, bytes) else json.dumps(payload, default=repr).encode()

        def serializable(self) -> Any:
            made = super().serializable()
            return {**made, "headers": dict(self.headers)}

    return RawMessage
