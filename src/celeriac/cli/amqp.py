"""``celeriac amqp``: single AMQP methods, on the command line or at a prompt."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from celeriac.cli.errors import Unreachable
from celeriac.cli.options import Command, Group
from celeriac.drivers.amqp import AMQPError, Declarations, Delivery
from celeriac.drivers.amqp.link import Link
from celeriac.drivers.amqp.params import params_from_url
from celeriac.exceptions import ImproperlyConfigured
from celeriac.utils.url import redact, split_failover

if TYPE_CHECKING:
    from celeriac.app.base import Celery
    from celeriac.cli.state import State
    from celeriac.drivers.amqp import Channel

#: Schemes of URLs that speak AMQP.
_SCHEMES = ("amqp", "amqps", "pyamqp", "librabbitmq")
_PERSISTENT = 2
#: Where the server is kept for the methods.
_SERVER = "celeriac.cli.amqp.server"

pass_server = click.decorators.pass_meta_key(_SERVER)


class Server:
    """The server that methods are called on; what it closed is opened anew.

    Args:
        state: The invocation.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._url = _url(state.app)
        conf = state.app.conf
        timeout = conf.broker_connection_timeout or 4.0
        self._link = Link(params_from_url(self._url, tls=conf.broker_use_ssl or False, connect_timeout=timeout))

    @property
    def channel(self) -> Channel:
        """An open channel.

        Raises:
            Unreachable: The server does not answer.
        """
        if self._link.connection.closed:
            self.connect()
        return self._link.control(self._link.deadline())

    def connect(self) -> None:
        """Connect.

        Raises:
            Unreachable: The server does not answer.
        """
        self._note(f"-> connecting to {redact(self._url)}.")
        try:
            self._link.reconnect(self._link.deadline())
        except AMQPError as exc:
            raise Unreachable("message broker", self._url, exc) from exc
        self._note("-> connected.")

    def _note(self, text: str) -> None:
        if not self._state.quiet:
            self._state.error(text)

    def say(self, text: str = "OK") -> None:
        """Print an answer."""
        self._state.echo(text)

    def close(self) -> None:
        """Leave the server."""
        self._link.close()


def _url(app: Celery) -> str:
    """The first URL of the broker.

    Raises:
        ImproperlyConfigured: It is not AMQP.
    """
    url = app.conf.broker_read_url or app.conf.broker_url
    first = str(split_failover(url)[0]) if url else ""
    if first.partition("://")[0] not in _SCHEMES:
        raise ImproperlyConfigured(
            f"The broker is {redact(first) if first else 'the embedded one'}, and `celeriac amqp` is for RabbitMQ: "
            "give -b amqp://user:password@host:5672/vhost"
        )
    return first


class Method(Command):
    """An AMQP method: its errors are the server's, in one line."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except AMQPError as exc:
            raise click.ClickException(str(exc)) from exc


@click.group(
    "amqp",
    cls=Group,
    invoke_without_command=True,
    epilog="Without a method, a prompt takes one after the other; a message that basic.get took is given back when it "
    "is left.",
)
@click.pass_context
def amqp(ctx: click.Context) -> None:
    """Call single AMQP methods on RabbitMQ."""
    server = ctx.meta[_SERVER] = Server(ctx.obj)
    ctx.call_on_close(server.close)
    if ctx.invoked_subcommand is None:
        _prompt(ctx, server)


amqp.examples = (
    ("celeriac -b amqp:// amqp queue.declare mail", "declare a queue, and see what is in it"),
    ("celeriac -b amqp:// amqp queue.purge mail", "empty it"),
    ("celeriac -b amqp:// amqp", "a prompt"),
)
amqp.command_class = Method


def _prompt(ctx: click.Context, server: Server) -> None:
    """Take methods until the end of the input."""
    server.connect()
    while True:
        try:
            line = click.prompt("amqp", prompt_suffix="> ", default="", show_default=False, err=True)
        except click.Abort:
            click.echo(err=True)
            return
        words = shlex.split(line)
        if words and words[0] in ("exit", "quit"):
            return
        if words:
            _call(ctx, words)


def _call(ctx: click.Context, words: list[str]) -> None:
    if words[0] == "help":
        click.echo(amqp.get_help(ctx))
        return
    try:
        name, method, rest = amqp.resolve_command(ctx, words)
        if method is not None:
            with method.make_context(name, rest, parent=ctx) as own:
                method.invoke(own)
    except click.exceptions.Exit:
        pass
    except click.ClickException as exc:
        click.echo(f"ERROR: {exc.format_message()}", err=True)


# -------------------------------------------------------------------------------------------------- methods


@amqp.command("exchange.declare")
@click.argument("exchange")
@click.argument("exchange_type", metavar="TYPE")
@click.argument("passive", type=bool, default=False)
@click.argument("durable", type=bool, default=False)
@click.argument("auto_delete", type=bool, default=False)
@pass_server
def exchange_declare(
    server: Server, /, exchange: str, exchange_type: str, passive: bool, durable: bool, auto_delete: bool
) -> None:
    """Declare an exchange; PASSIVE only asks whether there is one."""
    if passive:
        server.channel.check_exchange(exchange)
    else:
        wanted = Declarations()
        wanted.exchange(exchange, exchange_type, durable=durable, auto_delete=auto_delete)
        server.channel.declare_all(wanted)
    server.say()


@amqp.command("exchange.delete")
@click.argument("exchange")
@click.argument("if_unused", type=bool, default=False)
@pass_server
def exchange_delete(server: Server, /, exchange: str, if_unused: bool) -> None:
    """Delete an exchange."""
    server.channel.exchange_delete(exchange, if_unused=if_unused)
    server.say()


@amqp.command("queue.bind")
@click.argument("queue")
@click.argument("exchange")
@click.argument("routing_key")
@pass_server
def queue_bind(server: Server, /, queue: str, exchange: str, routing_key: str) -> None:
    """Have an exchange send to a queue what has a routing key."""
    wanted = Declarations()
    wanted.bind_queue(queue, exchange, routing_key)
    server.channel.declare_all(wanted)
    server.say()


@amqp.command("queue.declare")
@click.argument("queue")
@click.argument("passive", type=bool, default=False)
@click.argument("durable", type=bool, default=False)
@click.argument("auto_delete", type=bool, default=False)
@pass_server
def queue_declare(server: Server, /, queue: str, passive: bool, durable: bool, auto_delete: bool) -> None:
    """Declare a queue, and print how many messages and consumers it has."""
    found = server.channel.queue_declare(queue, passive=passive, durable=durable, auto_delete=auto_delete)
    server.say(f"queue:{found.queue} messages:{found.messages} consumers:{found.consumers}")


@amqp.command("queue.delete")
@click.argument("queue")
@click.argument("if_unused", type=bool, default=False)
@click.argument("if_empty", type=bool, default=False)
@pass_server
def queue_delete(server: Server, /, queue: str, if_unused: bool, if_empty: bool) -> None:
    """Delete a queue with its messages."""
    server.say(f"{server.channel.queue_delete(queue, if_unused=if_unused, if_empty=if_empty)} messages deleted.")


@amqp.command("queue.purge")
@click.argument("queue")
@pass_server
def queue_purge(server: Server, /, queue: str) -> None:
    """Delete the messages that wait in a queue."""
    server.say(f"{server.channel.queue_purge(queue)} messages deleted.")


@amqp.command("basic.get")
@click.argument("queue")
@click.argument("no_ack", type=bool, default=False)
@pass_server
def basic_get(server: Server, /, queue: str, no_ack: bool) -> None:
    """Take one message from a queue and print it; at a prompt, basic.ack removes it."""
    found = server.channel.basic_get(queue, no_ack=no_ack)
    server.say("(empty)" if found is None else _text(found))


def _text(found: Delivery) -> str:
    facts = {
        "delivery_tag": found.delivery_tag,
        "redelivered": found.redelivered,
        "exchange": found.exchange,
        "routing_key": found.routing_key,
        **found.properties,
        "headers": found.headers,
        "body": found.body.decode(errors="backslashreplace"),
    }
    return "\n".join(f"{name}: {value}" for name, value in facts.items())


@amqp.command("basic.publish")
@click.argument("message")
@click.argument("exchange")
@click.argument("routing_key")
@click.argument("mandatory", type=bool, default=False)
@pass_server
def basic_publish(server: Server, /, message: str, exchange: str, routing_key: str, mandatory: bool) -> None:
    """Publish a text, and wait until the server has it."""
    channel = server.channel
    channel.confirm_select()
    properties = {"content_type": "text/plain", "content_encoding": "utf-8", "delivery_mode": _PERSISTENT}
    channel.basic_publish(exchange, routing_key, message.encode(), properties, mandatory=mandatory)
    channel.wait_confirms()
    server.say()


@amqp.command("basic.ack")
@click.argument("delivery_tag", type=int)
@pass_server
def basic_ack(server: Server, /, delivery_tag: int) -> None:
    """Acknowledge a message that basic.get took at this prompt."""
    server.channel.ack_many([delivery_tag])
    server.say()
