"""Messages as rows and rows as messages.  It runs no statements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from celeriac.broker.bindings import priority_of
from celeriac.exceptions import EncodeError
from celeriac.message import DeadLetter, Delivery, Message
from celeriac.serialization.json_types import dumps, find_unencodable, loads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celeriac.message import Publication

#: Columns after the id: queue, precedence, visible_at, expires_at, then the content of `schema.CONTENT`.
Row: TypeAlias = tuple[Any, ...]


def _encode(values: dict[str, Any], what: str) -> str:
    """Headers or properties as text."""
    try:
        return dumps(values).decode("ascii")
    except (TypeError, ValueError, RecursionError) as exc:
        path, value = find_unencodable(values) or ("", values)
        raise EncodeError(
            f"the message's {what}{path} is {value!r:.100} of type {type(value).__name__}, which JSON cannot "
            f"carry; pass text or numbers, or register the type with register_type()"
        ) from exc


def to_row(publication: Publication, queue: str, expires_at: float | None, now: float) -> Row:
    """The row of a message in one queue.

    Raises:
        EncodeError: A header or property cannot be stored.
    """
    message, destination = publication.message, publication.destination
    not_before = publication.not_before
    return (
        queue,
        -priority_of(message),
        float(not_before) if not_before is not None and not_before > now else None,
        expires_at,
        destination.exchange,
        destination.routing_key,
        message.content_type,
        message.content_encoding,
        _encode(message.headers, "headers"),
        _encode(message.properties, "properties"),
        message.body,
    )


def to_delivery(row: Sequence[Any], session_id: int) -> Delivery:
    """The delivery of a claimed row.

    Args:
        row: id, queue, deliveries, then the content.
        session_id: The session that claimed it.
    """
    id_, queue, charged, exchange, routing_key, *content = row
    message, malformed = to_message(content)
    return Delivery(message, queue, id_, session_id, exchange, routing_key, charged > 0, charged + 1, malformed)


def to_message(content: Sequence[Any]) -> tuple[Message, str | None]:
    """The message of a row's content, and why it is malformed, or None.

    Args:
        content: content_type, content_encoding, headers, properties, body.
    """
    content_type, content_encoding, headers, properties, body = content
    try:
        read = _mapping(headers), _mapping(properties)
    except ValueError as exc:
        return Message(bytes(body), "", "", {}, {}), f"its headers or properties are no JSON object: {exc}"
    return Message(bytes(body), content_type, content_encoding, *read), None


def to_dead_letter(row: Sequence[Any]) -> DeadLetter:
    """A dead letter from its row: id, queue, reason, dead_at, deliveries, then the content."""
    id_, queue, reason, dead_at, deliveries, exchange, routing_key, *content = row
    details = {"deliveries": deliveries, "exchange": exchange, "routing_key": routing_key}
    return DeadLetter(str(id_), queue, reason, to_message(content)[0], float(dead_at), details)


def _mapping(text: str | bytes | None) -> dict[str, Any]:
    if text is None:
        return {}
    value = loads(text.encode() if isinstance(text, str) else text)
    if not isinstance(value, dict):
        raise ValueError(f"{text!r:.100}")
    return value
