"""Queues and exchanges of other libraries, known by their attributes: those of kombu in users' settings.

It imports none of them.
"""

from __future__ import annotations

from typing import Any, Final

from celeriac.broker.topology import Broadcast, Exchange, Queue, binding

__all__ = ["as_exchange", "as_queue"]

#: Attributes that say what a queue and an exchange are, beside their names.
_OF_A_QUEUE: Final = ("exchange", "routing_key", "durable", "exclusive", "auto_delete")
_OF_AN_EXCHANGE: Final = ("type", "durable", "auto_delete")
#: Attributes that are taken as they are.
_QUEUE_OPTIONS: Final = (
    "durable", "exclusive", "auto_delete", "queue_arguments", "binding_arguments", "consumer_arguments", "expires",
    "message_ttl", "max_length", "max_length_bytes", "max_priority", "no_ack", "alias", "no_declare",
)  # fmt: skip
_EXCHANGE_OPTIONS: Final = ("durable", "auto_delete", "delivery_mode", "arguments", "no_declare")


def as_queue(obj: Any) -> Any:
    """The queue that an object of another library describes; anything else as it is."""
    if isinstance(obj, Queue | str) or not _has(obj, "name", *_OF_A_QUEUE):
        return obj
    options = _options(obj, _QUEUE_OPTIONS)
    exchange = as_exchange(obj.exchange)
    if any(kind.__name__ == "Broadcast" for kind in type(obj).__mro__):
        return Broadcast(options.get("alias"), queue=obj.name, exchange=exchange, **options)
    bindings = tuple(
        binding(as_exchange(each.exchange), each.routing_key or "", getattr(each, "arguments", None))
        for each in getattr(obj, "bindings", None) or ()
    )
    return Queue(obj.name or "", exchange, obj.routing_key or "", bindings, **options)


def as_exchange(obj: Any) -> Any:
    """The exchange that an object of another library describes; anything else as it is."""
    if obj is None or isinstance(obj, Exchange | str) or not _has(obj, "name", *_OF_AN_EXCHANGE):
        return obj
    return Exchange(obj.name or "", obj.type or "direct", **_options(obj, _EXCHANGE_OPTIONS))


def _has(obj: Any, *names: str) -> bool:
    return not isinstance(obj, dict) and all(hasattr(obj, name) for name in names)


def _options(obj: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Those that are set: None is the default everywhere."""
    return {name: value for name in names if (value := getattr(obj, name, None)) is not None}
