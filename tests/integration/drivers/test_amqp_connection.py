"""The AMQP client against RabbitMQ, and against scripted servers for what RabbitMQ does not do on demand."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest

from celeriac.drivers.amqp import (
    AccessRefused,
    AMQPConnection,
    Channel,
    ChannelClosed,
    ConnectionLost,
    ConnectionRefused,
    Declarations,
    Delivery,
    EncodeError,
    OperationTimeout,
    PublishRefused,
)
from celeriac.drivers.amqp import methods as m
from celeriac.drivers.amqp.frames import FrameParser, Method
from tests.support import PATIENCE, SLACK, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from celeriac.drivers.amqp import OutgoingMessage


def parameters(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    return {
        "host": parts.hostname or "127.0.0.1",
        "port": parts.port or 5672,
        "user": parts.username or "guest",
        "password": parts.password or "guest",
        "vhost": unquote(parts.path[1:]) or "/",
    }


@contextmanager
def connected(url: str, **options: Any) -> Iterator[AMQPConnection]:
    connection = AMQPConnection(**(parameters(url) | options))
    connection.connect()
    try:
        yield connection
    finally:
        connection.close()


@pytest.fixture
def connection(amqp_url: str) -> Iterator[AMQPConnection]:
    with connected(amqp_url) as opened:
        yield opened


@pytest.fixture
def queue(amqp_url: str, unique_name: str) -> Iterator[str]:
    with connected(amqp_url) as opened:
        opened.channel().queue_declare(unique_name)
        yield unique_name
        opened.channel().queue_delete(unique_name)


def message(queue: str, body: bytes = b"body", **headers: Any) -> OutgoingMessage:
    return ("", queue, body, {"delivery_mode": 2, "content_type": "application/json"}, headers, True)


def publish(connection: AMQPConnection, messages: list[OutgoingMessage]) -> None:
    channel = connection.channel()
    channel.confirm_select()
    channel.publish_many(messages)
    channel.wait_confirms()
    channel.close()


def receive(connection: AMQPConnection, channel: Channel, count: int, seconds: float = PATIENCE) -> list[Delivery]:
    deadline = time.monotonic() + seconds
    while len(channel.deliveries) < count:
        left = deadline - time.monotonic()
        assert left > 0, f"{len(channel.deliveries)} of {count} messages came"
        connection.drain(left)
    return [channel.deliveries.popleft() for _ in range(count)]


# --- messages ---


def test_a_message_comes_back_as_it_was_published(connection: AMQPConnection, queue: str) -> None:
    properties = {"correlation_id": "7", "priority": 3, "expiration": "60000", "reply_to": "me"}
    headers = {"task": "proj.add", "eta": None, "timelimit": [None, 1.5], "stamps": {"ä": [1]}, "retries": 0}
    publish(connection, [("", queue, b"[]", properties, headers, True)])
    channel = connection.channel()
    tag = channel.basic_consume(queue)
    (delivery,) = receive(connection, channel, 1)
    assert (delivery.properties, delivery.headers, delivery.body) == (properties, headers, b"[]")
    assert (delivery.consumer_tag, delivery.exchange, delivery.routing_key) == (tag, "", queue)
    assert (delivery.delivery_tag, delivery.redelivered) == (1, False)


@pytest.mark.parametrize("size", [0, 1, 131064, 131065, 1_000_000, 20_000_000])
def test_bodies_of_any_size_survive(connection: AMQPConnection, queue: str, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    publish(connection, [message(queue, body)])
    channel = connection.channel()
    channel.basic_consume(queue)
    (delivery,) = receive(connection, channel, 1)
    assert delivery.body == body


def test_get_returns_a_message_or_nothing(connection: AMQPConnection, queue: str) -> None:
    channel = connection.channel()
    assert channel.basic_get(queue) is None
    publish(connection, [message(queue)])
    delivery = channel.basic_get(queue)
    assert delivery is not None
    assert delivery.body == b"body"
    channel.ack_many([delivery.delivery_tag])
    assert channel.queue_declare(queue, passive=True).messages == 0


def test_publishing_and_consuming_large_batches_at_once_does_not_lock_up(
    connection: AMQPConnection, queue: str
) -> None:
    channel = connection.channel()
    channel.confirm_select()
    channel.basic_consume(queue, no_ack=True)
    for number in range(20):
        channel.publish_many([message(queue, bytes(200_000), number=number) for _ in range(10)])
    channel.wait_confirms()
    numbers = [each.headers["number"] for each in receive(connection, channel, 200)]
    assert numbers == sorted(numbers)


def test_prefetch_limits_what_is_delivered(connection: AMQPConnection, queue: str) -> None:
    publish(connection, [message(queue)] * 10)
    channel = connection.channel()
    channel.basic_qos(3)
    channel.basic_consume(queue)
    receive(connection, channel, 3)
    assert channel.queue_declare(queue, passive=True).messages == 7
    assert not channel.deliveries


# --- settling ---


def unsettled(connection: AMQPConnection, channel: Channel, queue: str) -> int:
    """Close the channel; what was not acknowledged is ready again."""
    channel.close()
    return connection.channel().queue_declare(queue, passive=True).messages


def test_ack_many_settles_exactly_the_tags_given(connection: AMQPConnection, queue: str) -> None:
    publish(connection, [message(queue, b"%d" % number) for number in range(12)])
    channel = connection.channel()
    channel.basic_consume(queue)
    receive(connection, channel, 12)
    channel.ack_many([3])
    channel.ack_many([1, 2, 7, 5])
    channel.ack_many([])
    channel.ack_many([6, 4, 9])
    channel.nack_many([12], requeue=False)
    channel.close()
    other = connection.channel()
    other.basic_consume(queue)
    assert [each.body for each in receive(connection, other, 3)] == [b"7", b"9", b"10"]
    assert unsettled(connection, other, queue) == 3


def test_acks_that_were_put_off_become_part_of_a_multiple_one(connection: AMQPConnection, queue: str) -> None:
    publish(connection, [message(queue)] * 5)
    channel = connection.channel()
    channel.basic_consume(queue)
    receive(connection, channel, 5)
    assert channel.ack_many([2, 3, 5], put_off=True)
    assert channel.ack_many([1], put_off=True)
    assert not channel.ack_many([4], put_off=True)
    assert unsettled(connection, channel, queue) == 0


def test_acks_that_were_put_off_go_with_the_next_call_that_does_not(connection: AMQPConnection, queue: str) -> None:
    publish(connection, [message(queue)] * 4)
    channel = connection.channel()
    channel.basic_consume(queue)
    receive(connection, channel, 4)
    channel.ack_many([3], put_off=True)
    assert not channel.ack_many([4])
    channel.ack_many([1, 2])
    assert unsettled(connection, channel, queue) == 0


def test_refused_messages_go_back_in_one_write(connection: AMQPConnection, queue: str) -> None:
    publish(connection, [message(queue)] * 5)
    channel = connection.channel()
    channel.basic_qos(5)
    channel.basic_consume(queue)
    tags = [each.delivery_tag for each in receive(connection, channel, 5)]
    channel.nack_many(tags, requeue=True)
    assert all(each.redelivered for each in receive(connection, channel, 5))


# --- declaring ---


def test_exchanges_and_bindings_route_messages(connection: AMQPConnection, queue: str) -> None:
    channel = connection.channel()
    source, target = f"{queue}.source", f"{queue}.target"
    declarations = Declarations()
    declarations.exchange(source, "topic", durable=False, auto_delete=True)
    declarations.exchange(target, "fanout", durable=False)
    declarations.bind_exchange(target, source, "a.*")
    declarations.bind_queue(queue, target)
    channel.declare_all(declarations)
    channel.confirm_select()
    channel.basic_publish(source, "a.b", b"routed", mandatory=True)
    channel.wait_confirms()
    channel.basic_publish(source, "b.b", b"not routed", mandatory=True)
    with pytest.raises(PublishRefused):
        channel.wait_confirms()
    channel.exchange_delete(target)
    assert channel.queue_purge(queue) == 1
    assert channel.queue_declare(queue, passive=True)[1:] == (0, 0)


def test_an_unnamed_queue_gets_a_name_and_a_count_of_its_consumers(connection: AMQPConnection) -> None:
    channel = connection.channel()
    name = channel.queue_declare(exclusive=True, durable=False, arguments={"x-expires": 60000}).queue
    tag = channel.basic_consume(name)
    assert channel.queue_declare(name, passive=True).consumers == 1
    channel.basic_cancel(tag)
    assert channel.queue_declare(name, passive=True).consumers == 0


def test_deleting_a_queue_cancels_its_consumer_visibly(connection: AMQPConnection, queue: str) -> None:
    channel = connection.channel()
    tag = channel.basic_consume(queue)
    connection.channel().queue_delete(queue)
    wait_until(lambda: connection.drain(0.1) and channel.cancelled)
    assert list(channel.cancelled) == [tag]


# --- confirms ---


def test_unroutable_messages_are_named_and_the_others_confirmed(connection: AMQPConnection, queue: str) -> None:
    channel = connection.channel()
    channel.confirm_select()
    gone = f"{queue}.gone"
    tags = channel.publish_many([message(queue), message(gone), message(queue), message(gone, b"2")])
    with pytest.raises(PublishRefused, match="NO_ROUTE") as raised:
        channel.wait_confirms()
    assert [each.tag for each in raised.value.refusals] == [tags[1], tags[3]]
    assert {(each.routing_key, each.reply_code) for each in raised.value.refusals} == {(gone, 312)}
    assert channel.queue_declare(queue, passive=True).messages == 2
    channel.wait_confirms()


def test_a_full_queue_that_rejects_publishing_is_reported(connection: AMQPConnection, unique_name: str) -> None:
    channel = connection.channel()
    arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
    name = channel.queue_declare(unique_name, exclusive=True, durable=False, arguments=arguments).queue
    channel.confirm_select()
    channel.publish_many([message(name)])
    channel.wait_confirms()
    (tag,) = channel.publish_many([message(name)])
    with pytest.raises(PublishRefused, match="nack") as raised:
        channel.wait_confirms()
    assert [(each.tag, each.reply_code) for each in raised.value.refusals] == [(tag, 0)]


def test_returned_messages_are_kept_when_confirms_are_off(connection: AMQPConnection, queue: str) -> None:
    channel = connection.channel()
    channel.publish_many([message(f"{queue}.gone", b"lost")])
    wait_until(lambda: connection.drain(0.1) or channel.returned)
    assert [(each.body, each.reply) for each in channel.returned] == [(b"lost", (312, "NO_ROUTE"))]


def test_nothing_is_sent_when_one_message_cannot_be_encoded(connection: AMQPConnection, queue: str) -> None:
    channel = connection.channel()
    with pytest.raises(EncodeError):
        channel.publish_many([message(queue), message(queue, bad=object())])
    assert channel.queue_declare(queue, passive=True).messages == 0
    assert channel.publish_many([message(queue)]) == range(1, 2)


# --- errors of a channel ---


def test_an_error_closes_only_its_channel(connection: AMQPConnection, queue: str) -> None:
    channel, other = connection.channel(), connection.channel()
    with pytest.raises(ChannelClosed, match=r"queue\.declare") as raised:
        channel.queue_declare(f"{queue}.gone", passive=True)
    assert (raised.value.reply_code, raised.value.channel_id) == (404, channel.id)
    with pytest.raises(ChannelClosed):
        channel.basic_qos(1)
    with pytest.raises(ChannelClosed) as raised:
        other.queue_declare(queue, durable=False)
    assert raised.value.reply_code == 406
    assert connection.channel().queue_declare(queue, passive=True).queue == queue


def test_messages_to_a_missing_exchange_are_reported_as_unconfirmed(connection: AMQPConnection, queue: str) -> None:
    channel = connection.channel()
    channel.confirm_select()
    tags = channel.publish_many([(f"{queue}.gone", "", b"", {}, None, False)])
    with pytest.raises(ChannelClosed) as raised:
        channel.wait_confirms()
    assert (raised.value.reply_code, raised.value.unconfirmed) == (404, tuple(tags))


def test_drain_raises_when_the_server_closes_a_channel(connection: AMQPConnection) -> None:
    channel = connection.channel()
    channel.ack_many([99])
    with pytest.raises(ChannelClosed, match="unknown delivery tag") as raised:
        wait_until(lambda: connection.drain(1))
    assert raised.value.reply_code == 406
    assert connection.drain(0.01) == 0


def test_numbers_of_closed_channels_are_used_again(connection: AMQPConnection) -> None:
    for _ in range(5):
        channel = connection.channel()
        channel.close()
        channel.close()
        assert channel.id == 1
    with pytest.raises(ChannelClosed, match="close"):
        channel.basic_qos(1)


# --- connecting ---


@pytest.mark.parametrize("method", [None, "PLAIN", "AMQPLAIN"])
def test_login_methods_are_accepted(amqp_url: str, method: str | None) -> None:
    with connected(amqp_url, login_method=method) as connection:
        assert connection.server_properties["product"] == "RabbitMQ"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [({"password": "wrong"}, 403), ({"vhost": "no such vhost"}, 530), ({"login_method": "EXTERNAL"}, 0)],
)
def test_refused_access_says_why(amqp_url: str, wrong: dict[str, str], code: int) -> None:
    connection = AMQPConnection(**(parameters(amqp_url) | wrong))
    with pytest.raises(AccessRefused) as raised:
        connection.connect()
    assert raised.value.reply_code == code
    assert connection.closed


def test_a_closed_port_refuses_the_connection() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        connection = AMQPConnection("127.0.0.1", unused.getsockname()[1])
        with pytest.raises(ConnectionRefused, match="cannot connect"):
            connection.connect()


def test_closing_twice_and_using_a_closed_connection(amqp_url: str) -> None:
    with connected(amqp_url) as connection:
        channel = connection.channel()
        connection.close()
        connection.close()
        connection.wake()
        for use in (lambda: connection.drain(0), connection.channel, lambda: channel.basic_qos(1)):
            with pytest.raises(ConnectionLost, match="closed from this side"):
                use()


def test_heartbeats_keep_an_idle_connection_open(amqp_url: str) -> None:
    # The server closes a connection that was silent for twice the interval.
    with connected(amqp_url, heartbeat=2) as connection:
        channel = connection.channel()
        deadline = time.monotonic() + 7
        while time.monotonic() < deadline:
            connection.drain(deadline - time.monotonic())
        channel.basic_qos(1)


def test_a_connection_closed_by_the_server_fails_every_channel(connection: AMQPConnection, queue: str) -> None:
    channel = connection.channel()
    channel.confirm_select()
    never_opened = Channel(connection, 77)
    with pytest.raises(ConnectionLost) as raised:
        never_opened.basic_qos(1)
    assert raised.value.reply_code == 504
    with pytest.raises(ConnectionLost):
        channel.publish_many([message(queue)])


def test_another_thread_wakes_a_waiting_drain(connection: AMQPConnection) -> None:
    threading.Timer(0.05, connection.wake).start()
    started = time.monotonic()
    assert connection.drain(10) == 0
    assert time.monotonic() - started < 5


def test_a_wake_before_the_drain_is_not_lost(connection: AMQPConnection) -> None:
    connection.wake()
    connection.wake()
    started = time.monotonic()
    connection.drain(PATIENCE)
    assert time.monotonic() - started < SLACK
    assert connection.drain(0.01) == 0


def test_what_arrived_during_another_call_ends_the_next_drain_at_once(connection: AMQPConnection, queue: str) -> None:
    channel = connection.channel()
    channel.basic_consume(queue)
    publish(connection, [message(queue)])
    while not channel.deliveries:
        channel.basic_qos(0)
    started = time.monotonic()
    assert connection.drain(PATIENCE) > 0
    assert time.monotonic() - started < SLACK


# --- TLS, through a proxy in front of the server ---


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    names = ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command, *names, "-keyout", path, "-out", f"{path}.crt"], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + path.with_name("both.pem.crt").read_bytes())
    return path


def copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@contextmanager
def tls_proxy(certificate: Path, host: str, port: int) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError), listener:
            plain, _address = listener.accept()
            with (
                context.wrap_socket(plain, server_side=True) as client,
                socket.create_connection((host, port)) as server,
            ):
                back = threading.Thread(target=copy, args=(server, client))
                back.start()
                copy(client, server)
                back.join()

    thread = threading.Thread(target=serve)
    thread.start()
    yield int(listener.getsockname()[1])
    thread.join()


def test_messages_go_over_tls(amqp_url: str, queue: str, certificate: Path) -> None:
    server = parameters(amqp_url)
    trusting = ssl.create_default_context(cafile=str(certificate))
    with tls_proxy(certificate, server["host"], server["port"]) as port:
        options = {"host": "127.0.0.1", "port": port, "ssl": trusting, "server_hostname": "localhost"}
        with connected(amqp_url, **options) as connection:
            publish(connection, [message(queue, bytes(3_000_000))])
            channel = connection.channel()
            channel.basic_consume(queue, no_ack=True)
            assert receive(connection, channel, 1)[0].body == bytes(3_000_000)


def test_a_certificate_of_another_name_is_refused(amqp_url: str, certificate: Path) -> None:
    server = parameters(amqp_url)
    trusting = ssl.create_default_context(cafile=str(certificate))
    with tls_proxy(certificate, server["host"], server["port"]) as port:
        options = {"host": "127.0.0.1", "port": port, "ssl": trusting, "server_hostname": "other.example"}
        with (
            pytest.raises(ConnectionRefused, match="CERTIFICATE_VERIFY_FAILED"),
            connected(amqp_url, **options),
        ):
            pass


# --- scripted servers ---


class ScriptedServer:
    """Logs a client in and then lets the script of the test talk to it."""

    def __init__(self, client: socket.socket) -> None:
        self.client = client
        self.parser = FrameParser()
        self.seen: list[Method | Delivery] = []

    def expect(self, method: int) -> Method:
        while True:
            for index, event in enumerate(self.seen):
                if event.method == method and isinstance(event, Method):
                    del self.seen[: index + 1]
                    return event
            data = self.client.recv(65536)
            if not data:
                raise OSError("the client closed the connection")
            self.seen += self.parser.feed(data)

    def send(self, channel: int, method: int, *args: Any) -> None:
        self.client.sendall(m.encode_method(channel, method, *args))

    def log_in(self, heartbeat: int = 0) -> None:
        header = self.client.recv(8, socket.MSG_WAITALL)
        assert header == m.PROTOCOL_HEADER
        self.send(0, m.CONNECTION_START, 0, 9, {}, b"PLAIN", b"en_US")
        self.expect(m.CONNECTION_START_OK)
        self.send(0, m.CONNECTION_TUNE, 0, 0, heartbeat)
        self.expect(m.CONNECTION_OPEN)
        self.send(0, m.CONNECTION_OPEN_OK, "")

    def open_confirming_channel(self) -> None:
        self.expect(m.CHANNEL_OPEN)
        self.send(1, m.CHANNEL_OPEN_OK, b"")
        self.expect(m.CONFIRM_SELECT)
        self.send(1, m.CONFIRM_SELECT_OK)


@contextmanager
def scripted(script: Callable[[ScriptedServer], None]) -> Iterator[AMQPConnection]:
    """A connection, not yet connected, to a server that runs ``script`` and then stays silent."""
    listener = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()

    def serve() -> None:
        with contextlib.suppress(OSError), listener:
            client, _address = listener.accept()
            with client:
                script(ScriptedServer(client))
                done.wait()

    thread = threading.Thread(target=serve)
    thread.start()
    connection = AMQPConnection("127.0.0.1", listener.getsockname()[1], connect_timeout=PATIENCE, heartbeat=1)
    try:
        yield connection
    finally:
        connection.abort()
        done.set()
        thread.join()


def assert_takes(seconds: float, started: float) -> None:
    assert seconds - 0.01 <= time.monotonic() - started < seconds + SLACK


def test_a_silent_server_costs_no_more_than_the_deadline() -> None:
    with scripted(lambda server: None) as connection:
        started = time.monotonic()
        with pytest.raises(OperationTimeout, match=r"connection\.start"):
            connection.connect(deadline=started + 0.3)
        assert_takes(0.3, started)
        assert connection.closed


def test_a_server_of_another_protocol_is_recognised() -> None:
    with (
        scripted(lambda server: server.client.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")) as connection,
        pytest.raises(ConnectionLost, match="not an AMQP"),
    ):
        connection.connect()


def test_a_server_without_heartbeats_is_taken_for_dead() -> None:
    with scripted(lambda server: server.log_in(heartbeat=1)) as connection:
        connection.connect()
        started = time.monotonic()
        with pytest.raises(ConnectionLost, match="heartbeats"):
            connection.drain(PATIENCE)
        assert_takes(2.0, started)


def test_an_unanswered_call_ends_at_its_deadline_and_drops_the_connection() -> None:
    def script(server: ScriptedServer) -> None:
        server.log_in()
        server.open_confirming_channel()

    with scripted(script) as connection:
        connection.connect()
        connection.channel().confirm_select()
        started = time.monotonic()
        with pytest.raises(OperationTimeout, match=r"channel\.open"):
            connection.channel(deadline=started + 0.2)
        assert_takes(0.2, started)
        with pytest.raises(ConnectionLost):
            connection.drain(0)


def test_missing_confirms_time_out_with_their_tags_and_may_come_later() -> None:
    more = threading.Event()

    def script(server: ScriptedServer) -> None:
        server.log_in()
        server.open_confirming_channel()
        server.send(1, m.BASIC_ACK, 2, False)
        more.wait(PATIENCE)
        server.send(1, m.BASIC_NACK, 3, True, False)

    with scripted(script) as connection:
        connection.connect()
        channel = connection.channel()
        channel.confirm_select()
        channel.publish_many([message("q")] * 3)
        with pytest.raises(OperationTimeout) as raised:
            channel.wait_confirms(time.monotonic() + 0.3)
        assert raised.value.unconfirmed == (1, 3)
        more.set()
        with pytest.raises(PublishRefused) as refused:
            channel.wait_confirms()
        assert [each.tag for each in refused.value.refusals] == [1, 3]


def test_a_connection_lost_while_waiting_names_the_unconfirmed_messages() -> None:
    def script(server: ScriptedServer) -> None:
        server.log_in()
        server.open_confirming_channel()
        server.send(1, m.BASIC_ACK, 1, False)
        server.send(0, m.CONNECTION_CLOSE, 320, "shutdown", 0, 0)
        server.expect(m.CONNECTION_CLOSE_OK)

    with scripted(script) as connection:
        connection.connect()
        channel = connection.channel()
        channel.confirm_select()
        channel._confirms.add([message("q")] * 3)
        with pytest.raises(ConnectionLost, match="shutdown") as raised:
            channel.wait_confirms()
        assert (raised.value.reply_code, raised.value.unconfirmed) == (320, (2, 3))


def test_a_blocked_connection_times_out_unsent_and_works_when_unblocked() -> None:
    more = threading.Event()

    def script(server: ScriptedServer) -> None:
        server.log_in()
        server.open_confirming_channel()
        server.send(0, m.CONNECTION_BLOCKED, "low on memory")
        more.wait(PATIENCE)
        server.send(0, m.CONNECTION_UNBLOCKED)
        while not any(isinstance(each, Delivery) for each in server.seen):
            # A server has no use for basic.publish in its parser; the bytes are enough here.
            if b"the body" in server.client.recv(65536):
                break
        server.send(1, m.BASIC_ACK, 1, True)

    with scripted(script) as connection:
        connection.connect()
        channel = connection.channel()
        channel.confirm_select()
        wait_until(lambda: connection.drain(0.1) or connection.blocked)
        with pytest.raises(OperationTimeout, match=r"low on memory.*nothing was sent"):
            channel.publish_many([message("q", b"the body")], time.monotonic() + 0.2)
        assert channel.unconfirmed == ()
        more.set()
        assert channel.publish_many([message("q", b"the body")]) == range(1, 2)
        channel.wait_confirms()


def test_a_server_that_takes_no_data_ends_the_publish_at_its_deadline() -> None:
    def script(server: ScriptedServer) -> None:
        server.log_in()
        server.open_confirming_channel()

    with scripted(script) as connection:
        connection.connect()
        channel = connection.channel()
        channel.confirm_select()
        started = time.monotonic()
        with pytest.raises(OperationTimeout, match="did not take") as raised:
            channel.publish_many([message("q", bytes(50_000_000))], started + 0.5)
        assert_takes(0.5, started)
        assert raised.value.unconfirmed == (1,)
        assert connection.closed
