"""``celeriac migrate``: messages from one broker to another."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import click

from celeriac.app.connections import make_broker
from celeriac.app.moving import Moving, move
from celeriac.cli.errors import Unreachable
from celeriac.cli.options import COMMA_SEPARATED_LIST, command, option
from celeriac.exceptions import OperationalError
from celeriac.message import Destination, Publication

if TYPE_CHECKING:
    from celeriac.broker.base import Broker, BrokerSession
    from celeriac.cli.state import State
    from celeriac.message import Delivery


@command(
    "migrate",
    examples=(
        ("celeriac -A proj migrate redis://old amqp://new -a", "move all that waits"),
        ("celeriac -A proj migrate redis://old redis://new -Q mail:post", "copy the queue mail to the queue post"),
    ),
    epilog="Without --ack-messages, messages are copied: what the destination has got goes back to the source as well. "
    "Messages that a worker has claimed stay, and so do delayed ones; `celeriac release` makes those of Redis wait in "
    "their queues.",
)
@click.argument("source", metavar="SOURCE")
@click.argument("destination", metavar="DESTINATION")
@option("-n", "--limit", type=click.IntRange(1), metavar="N", help="At most so many messages.")
@option("-t", "--timeout", type=click.FloatRange(0), default=1.0, show_default=True, metavar="SECONDS",
        help="End when no message has come for so long.")  # fmt: skip
@option("-a", "--ack-messages", is_flag=True, help="Remove from SOURCE what DESTINATION has accepted.")
@option("-T", "--tasks", type=COMMA_SEPARATED_LIST, metavar="NAMES", help="Only messages of these tasks.")
@option("-Q", "--queues", type=COMMA_SEPARATED_LIST, metavar="QUEUES",
        help="Only these queues; name:other goes to the queue other. Default: all of the app.")  # fmt: skip
@option("-F", "--forever", is_flag=True, help="Go on until interrupted.")
@click.pass_obj
def migrate(
    state: State,
    /,
    source: str,
    destination: str,
    limit: int | None,
    timeout: float,
    ack_messages: bool,
    tasks: list[str] | None,
    queues: list[str] | None,
    forever: bool,
) -> None:
    """Send the messages that wait at SOURCE to DESTINATION; both are URLs of brokers."""
    app = state.app
    renamed = dict(_renamed(name) for name in queues or app.queues.consume_from)
    names = None if tasks is None else frozenset(tasks)

    def choose(delivery: Delivery) -> Publication | None:
        if names is not None and delivery.message.headers.get("task") not in names:
            return None
        queue = app.queues.get_or_create(renamed[delivery.queue])
        return Publication(delivery.message, Destination("", queue.name, queue), mandatory=True)

    wanted = Moving(list(renamed), choose, limit, timeout, forever, ack_messages)
    there, here = (make_broker(app.conf, url, app.main or "") for url in (source, destination))
    with closing(_connect(there)) as incoming, closing(_connect(here)) as outgoing:
        total = sum(incoming.depths(wanted.queues).values())
        number = 0
        for number, delivery in enumerate(move(app, incoming, outgoing, wanted), 1):
            name, task_id = (delivery.message.headers.get(header) for header in ("task", "id"))
            state.echo(f"Migrating task {number}/{max(total, number)}: {name}[{task_id}]")
    verb = "Moved" if ack_messages else "Copied"
    state.echo(f"{verb} {number} message{'' if number == 1 else 's'} to {here.url}.")


def _renamed(name: str) -> tuple[str, str]:
    before, _, after = name.partition(":")
    return before, after or before


def _connect(broker: Broker) -> BrokerSession:
    try:
        return broker.connect()
    except OperationalError as exc:
        raise Unreachable("message broker", broker.url, exc) from exc
