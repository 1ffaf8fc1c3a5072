"""Queues, exchanges and bindings of the application as declarations, and what to say when the server refuses them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from celeriac.drivers.amqp import ChannelClosed, Declarations
from celeriac.drivers.amqp.faults import as_operational
from celeriac.exceptions import ImproperlyConfigured, OperationalError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celeriac.broker.topology import Exchange, Queue

_PRECONDITION_FAILED = 406
_RESOURCE_LOCKED = 405
#: In RabbitMQ's text about a declaration that differs.
_OBJECT = re.compile(r"for (?P<kind>queue|exchange) '(?P<name>.*?)' in vhost")


def declarations_of(queues: Iterable[Queue]) -> Declarations:
    """Everything some queues need.  A queue without a name stands for its exchanges alone."""
    declarations = Declarations()
    exchanges: set[Exchange] = set()
    for queue in queues:
        if queue.no_declare and queue.name:
            continue
        for bound in queue.all_bindings:
            exchange = bound.exchange
            if exchange.name and not exchange.no_declare and exchange not in exchanges:
                exchanges.add(exchange)
                declarations.exchange(
                    exchange.name,
                    str(exchange.type),
                    durable=exchange.durable,
                    auto_delete=exchange.auto_delete,
                    arguments=exchange.arguments,
                )
        if not queue.name:
            continue
        declarations.queue(
            queue.name,
            durable=queue.durable,
            exclusive=queue.exclusive,
            auto_delete=queue.auto_delete,
            arguments=queue.arguments,
        )
        for bound in queue.all_bindings:
            # Every queue is bound to the default exchange by itself.
            if bound.exchange.name:
                declarations.bind_queue(queue.name, bound.exchange.name, bound.routing_key, bound.arguments)
    return declarations


def refused_declaration(error: ChannelClosed, queues: Iterable[Queue]) -> Exception:
    """What to raise when the server closed the channel over one of the declarations."""
    by_name = {queue.name: queue for queue in queues}
    found = _OBJECT.search(error.reply_text)
    kind, name = (found["kind"], found["name"]) if found else ("queue", ", ".join(by_name))
    if error.reply_code == _PRECONDITION_FAILED:
        queue = by_name.get(name) if kind == "queue" else None
        here = f" It is declared here with {_description(queue)}." if queue is not None else ""
        return ImproperlyConfigured(
            f"{kind} {name!r} exists on the server with other attributes: {error.reply_text}.{here} Change task_queues "
            f"so that it agrees with the server, or delete the {kind} on the server to have it declared anew"
        )
    if error.reply_code == _RESOURCE_LOCKED:
        return OperationalError(
            f"queue {name!r} is exclusive to another connection: {error.reply_text}; use another name"
        )
    return as_operational(error)


def _description(queue: Queue) -> str:
    return (
        f"durable={queue.durable}, exclusive={queue.exclusive}, auto_delete={queue.auto_delete}, "
        f"arguments={queue.arguments}"
    )
