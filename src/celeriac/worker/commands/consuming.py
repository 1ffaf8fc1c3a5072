"""Commands about the queues that a worker consumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from celeriac.worker.commands.registry import CONTROL, INSPECT

if TYPE_CHECKING:
    from celeriac.broker.topology import Exchange, Queue
    from celeriac.worker.commands.state import ControlState


def add_consumer(
    state: ControlState,
    queue: str,
    exchange: str | None = None,
    exchange_type: str | None = None,
    routing_key: str | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Tell worker(s) to consume from task queue by name."""
    if queue in state.app.queues.consume_from:
        return {"ok": f"already consuming from {queue!r}"}
    state.consumer.add_task_queue(queue, exchange, exchange_type or "direct", routing_key, **options)
    return {"ok": f"add consumer {queue}"}


def cancel_consumer(state: ControlState, queue: str, **_: Any) -> dict[str, Any]:
    """Tell worker(s) to stop consuming from task queue by name."""
    state.consumer.cancel_task_queue(queue)
    return {"ok": f"no longer consuming from {queue}"}


def active_queues(state: ControlState, **_: Any) -> list[dict[str, Any]]:
    """List the task queues a worker is currently consuming from."""
    return [_as_dict(queue) for queue in state.consumer.queues]


def _as_dict(queue: Queue) -> dict[str, Any]:
    """A queue as Celery's workers describe it."""
    return {
        "name": queue.name,
        "exchange": None if queue.exchange is None else _exchange_as_dict(queue.exchange),
        "routing_key": queue.routing_key,
        "queue_arguments": queue.queue_arguments,
        "binding_arguments": queue.binding_arguments,
        "consumer_arguments": queue.consumer_arguments,
        "durable": queue.durable,
        "exclusive": queue.exclusive,
        "auto_delete": queue.auto_delete,
        "no_ack": queue.no_ack,
        "alias": queue.alias,
        "bindings": [
            {"exchange": bound.exchange.name, "routing_key": bound.routing_key, "arguments": bound.arguments}
            for bound in queue.bindings
        ],
        "no_declare": queue.no_declare or None,
        "expires": queue.expires,
        "message_ttl": queue.message_ttl,
        "max_length": queue.max_length,
        "max_length_bytes": queue.max_length_bytes,
        "max_priority": queue.max_priority,
    }


def _exchange_as_dict(exchange: Exchange) -> dict[str, Any]:
    return {
        "name": exchange.name,
        "type": exchange.type,
        "arguments": exchange.arguments,
        "durable": exchange.durable,
        "passive": False,
        "auto_delete": exchange.auto_delete,
        "delivery_mode": exchange.delivery_mode,
        "no_declare": exchange.no_declare,
    }


COMMANDS: Final[tuple[tuple[Any, dict[str, Any]], ...]] = (
    (
        add_consumer,
        {
            "type": CONTROL,
            "args": [("queue", str), ("exchange", str), ("exchange_type", str), ("routing_key", str)],
            "signature": "<queue> [exchange [type [routing_key]]]",
        },
    ),
    (cancel_consumer, {"type": CONTROL, "args": [("queue", str)], "signature": "<queue>"}),
    (active_queues, {"type": INSPECT}),
)
