"""Requests and replies on the wire: kombu's pidbox.  It sends nothing.

The formats were observed on Celery 5.7.0: a request goes to the fanout exchange ``<namespace>.pidbox``, and replies
come back by the direct exchange ``reply.<namespace>.pidbox``, under the routing key that the request names.
"""

from __future__ import annotations

import fnmatch
import re
import time
from typing import TYPE_CHECKING, Any, Protocol

from celeriac.broker.topology import Exchange, Queue
from celeriac.exceptions import DecodeError
from celeriac.message import Message
from celeriac.utils.dataclass import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from celeriac.config.settings import Settings
    from celeriac.serialization.serializers import SerializerRegistry
    from celeriac.utils.clock import LamportClock

#: Header of ours: the sender has seen to it that what the command says outlives the workers that hear it.
KEPT = "celeriac-kept"


#: Header of ours: the reply comes from a worker that brokers count which cannot count all.
COUNTED = "celeriac-counted"


class MailboxApp(Protocol):
    """What messages are made with."""

    @property
    def conf(self) -> Settings: ...

    @property
    def serializers(self) -> SerializerRegistry: ...

    @property
    def accept_content(self) -> frozenset[str]: ...

    @property
    def clock(self) -> LamportClock: ...


@dataclass(frozen=True)
class Request:
    """A command on its way.

    Attributes:
        method: Name of the command.
        arguments: Its arguments.
        destination: Names of the nodes it is for; None is all.
        pattern: With ``matcher``: a pattern that names of nodes have to match.
        matcher: ``glob`` or ``pcre``.
        ticket: Id of the conversation; None when no reply is wanted.
        reply_to: Routing key of replies; None when none is wanted.
        expires: Unix time in seconds after which it is too late; 0 is never.
        kept: What it says is kept in the broker already.
    """

    method: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    destination: Sequence[str] | None = None
    pattern: str | None = None
    matcher: str | None = None
    ticket: str | None = None
    reply_to: str | None = None
    expires: float = 0.0
    kept: bool = False

    def is_for(self, hostname: str) -> bool:
        """Whether a node is meant."""
        if self.destination:
            return hostname in self.destination
        if self.pattern and self.matcher:
            return node_matches(hostname, self.pattern, self.matcher)
        return True

    def is_late(self) -> bool:
        """Nobody waits for the answer any more."""
        return bool(self.expires) and time.time() > self.expires


def node_matches(hostname: str, pattern: str, matcher: str) -> bool:
    """Whether the name of a node matches a pattern.

    Raises:
        ValueError: The matcher is neither ``glob`` nor ``pcre``.
    """
    if matcher == "glob":
        return fnmatch.fnmatchcase(hostname, pattern)
    if matcher == "pcre":
        return re.match(pattern, hostname) is not None
    raise ValueError(f"matcher is {matcher!r}: use 'glob' or 'pcre'")


class Mailbox:
    """Names of exchanges and queues, requests and replies as messages.

    Args:
        app: Settings and serializers.
    """

    def __init__(self, app: MailboxApp) -> None:
        conf = app.conf
        self._app = app
        name = f"{conf.control_exchange}.pidbox"
        self.exchange = Exchange(name, "fanout", durable=False, delivery_mode=1)
        self.reply_exchange = Exchange(f"reply.{name}", "direct", durable=False, delivery_mode=1)
        self._queue_options: dict[str, Any] = {
            "durable": conf.control_queue_durable,
            "exclusive": conf.control_queue_exclusive,
            "auto_delete": not conf.control_queue_durable,
            "expires": conf.control_queue_expires,
            "message_ttl": conf.control_queue_ttl,
        }

    def node_queue(self, hostname: str) -> Queue:
        """Where a node hears requests."""
        return Queue(f"{hostname}.{self.exchange.name}", self.exchange, **self._queue_options)

    def reply_queue(self, oid: str) -> Queue:
        """Where a client gets replies."""
        return Queue(f"{oid}.{self.reply_exchange.name}", self.reply_exchange, oid, **self._queue_options)

    def request(self, request: Request) -> Message:
        """A request as a message."""
        body: dict[str, Any] = {
            "method": request.method,
            "arguments": dict(request.arguments),
            "destination": None if request.destination is None else list(request.destination),
            "pattern": request.pattern,
            "matcher": request.matcher,
        }
        if request.ticket is not None:
            body["ticket"] = request.ticket
            body["reply_to"] = {"exchange": self.reply_exchange.name, "routing_key": request.reply_to}
        headers: dict[str, Any] = {"clock": self._app.clock.forward(), "expires": request.expires}
        if request.kept:
            headers[KEPT] = True
        return self._encode(body, headers)

    def reply(self, request: Request, hostname: str, value: Any) -> Message:
        """The reply of a node as a message."""
        headers = {"ticket": request.ticket, "clock": self._app.clock.forward(), COUNTED: True}
        return self._encode({hostname: value}, headers)

    def _encode(self, body: Any, headers: dict[str, Any]) -> Message:
        content_type, encoding, data = self._app.serializers.dumps(body, self._app.conf.task_serializer)
        return Message(data, content_type, encoding, headers, {"delivery_mode": 1})

    def read_request(self, message: Message) -> Request:
        """A message as a request.

        Raises:
            DecodeError: It is none.
            SerializationError: It cannot be decoded, or must not be.
        """
        body = self._decode(message)
        try:
            method, reply_to = body["method"], body.get("reply_to") or {}
            request = Request(
                str(method),
                dict(body.get("arguments") or {}),
                body.get("destination"),
                body.get("pattern"),
                body.get("matcher"),
                body.get("ticket"),
                reply_to.get("routing_key"),
                float(message.headers.get("expires") or 0.0),
                bool(message.headers.get(KEPT)),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise DecodeError(f"a control message is malformed: {type(exc).__name__}: {exc}") from exc
        return request

    def read_reply(self, message: Message) -> tuple[str | None, dict[str, Any], bool]:
        """The ticket of a reply, what the node said by its name, and whether it is a worker of ours.

        Raises:
            DecodeError: It is no reply.
            SerializationError: It cannot be decoded, or must not be.
        """
        body = self._decode(message)
        if not isinstance(body, dict):
            raise DecodeError(f"a reply to a control message is a {type(body).__name__}, not a mapping")
        return message.headers.get("ticket"), body, bool(message.headers.get(COUNTED))

    def _decode(self, message: Message) -> Any:
        clock = message.headers.get("clock")
        if isinstance(clock, int):
            self._app.clock.adjust(clock)
        return self._app.serializers.loads(
            message.body, message.content_type, message.content_encoding, self._app.accept_content
        )
