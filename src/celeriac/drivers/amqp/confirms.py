"""Which published messages the server has taken, refused or not answered for; does no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac.drivers.amqp.errors import AMQPError, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from celeriac.drivers.amqp.frames import Delivery

#: Exchange, routing key, body, properties, headers, mandatory.
OutgoingMessage = tuple[str, str, bytes, "Mapping[str, Any]", "Mapping[str, Any] | None", bool]


class ConfirmTracker:
    """Follows the confirms of one channel.

    Attributes:
        enabled: Whether the channel is in confirm mode; without it only tags are counted.
        pending: Messages the server has not answered for, by tag.
        refusals: Messages it returned or confirmed negatively, by tag; the owner clears it.
    """

    def __init__(self) -> None:
        self.enabled = False
        self.pending: dict[int, OutgoingMessage] = {}
        self.refusals: dict[int, Refusal] = {}
        self._next_tag = 1
        self._settled_below = 1
        self._last_returned = 0

    def add(self, messages: Sequence[OutgoingMessage]) -> range:
        """Number messages that are about to be sent."""
        tags = range(self._next_tag, self._next_tag + len(messages))
        self._next_tag = tags.stop
        if self.enabled:
            self.pending.update(zip(tags, messages, strict=True))
        return tags

    def describe(self, error: AMQPError) -> None:
        """Note in an error which messages are open and which are refused."""
        error.unconfirmed = tuple(self.pending)
        error.refusals = tuple(self.refusals.values())

    def confirmed(self, tag: int, multiple: bool, refused: bool) -> None:
        """Take basic.ack, or basic.nack (``refused``)."""
        for each in range(self._settled_below, tag + 1) if multiple else (tag,):
            message = self.pending.pop(each, None)
            if refused and message is not None:
                text = "the server could not take the message"
                self.refusals.setdefault(each, Refusal(each, message[0], message[1], 0, text))
        if multiple:
            self._settled_below = tag + 1

    def returned(self, back: Delivery) -> None:
        """Find the message a basic.return is about: it has no tag, but returns come in order."""
        code, text = back.reply or (0, "")
        for tag, (exchange, routing_key, body, properties, _headers, mandatory) in self.pending.items():
            if (
                tag > self._last_returned
                and mandatory
                and routing_key == back.routing_key
                and exchange == back.exchange
                and properties.get("message_id") == back.properties.get("message_id")
                and properties.get("correlation_id") == back.properties.get("correlation_id")
                and body == back.body
            ):
                self._last_returned = tag
                self.refusals[tag] = Refusal(tag, exchange, routing_key, code, text)
                return
