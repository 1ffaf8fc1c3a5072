"""An AMQP connection: login, heartbeats, reading, dispatching, closing; holds no operation of a channel."""

from __future__ import annotations

import contextlib
import math
import platform
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NoReturn

from celeriac.drivers.amqp import methods as m
from celeriac.drivers.amqp.channel import Channel
from celeriac.drivers.amqp.codec import encode_table
from celeriac.drivers.amqp.errors import (
    AccessRefused,
    AMQPError,
    ChannelClosed,
    ConnectionLost,
    FrameError,
    OperationTimeout,
)
from celeriac.drivers.amqp.frames import Delivery, FrameParser, Method
from celeriac.drivers.amqp.transport import Transport, open_transport

if TYPE_CHECKING:
    import ssl as tls
    from collections.abc import Mapping

_CAPABILITIES = {
    "publisher_confirms": True,
    "exchange_exchange_bindings": True,
    "basic.nack": True,
    "consumer_cancel_notify": True,
    "connection.blocked": True,
    "authentication_failure_close": True,
}
_REFUSING_CODES = (403, 530)  # access refused, not allowed
#: A publisher that does not read otherwise looks at the socket this often (seconds), to notice a dead server.
_LOOK_INTERVAL = 1.0


class AMQPConnection:
    """One connection to an AMQP 0-9-1 server, for use by one thread; others may call only :meth:`wake`.

    Args:
        host: Server name or address.
        port: TCP port; 5671 is usual with TLS.
        user: User name for PLAIN and AMQPLAIN.
        password: Password for PLAIN and AMQPLAIN.
        vhost: Virtual host.
        ssl: TLS settings, ``None`` for plain TCP.
        server_hostname: Name the certificate must have; default ``host``.
        heartbeat: Seconds between signs of life; the server may ask for fewer. 0 disables heartbeats, which
            is right for a connection that nobody calls :meth:`drain` on for long.
        connect_timeout: Seconds for :meth:`connect` when it is given no deadline.
        operation_timeout: Seconds for every other waiting call that is given no deadline.
        login_method: ``PLAIN``, ``AMQPLAIN`` or ``EXTERNAL``; default the first of the first two the server
            offers.
        client_properties: Additions to what the server shows about this client, for example
            ``connection_name``.
        channel_max: Highest channel number wanted.
        frame_max: Largest frame wanted, in bytes.

    Attributes:
        blocked: Why the server takes no messages at present (memory or disk alarm), ``None`` when it does.
        server_properties: What the server told about itself.
        error: Why the connection is closed, ``None`` while it is open.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 5672,
        user: str = "guest",
        password: str = "guest",  # noqa: S107 - the documented default of every AMQP server
        vhost: str = "/",
        *,
        ssl: tls.SSLContext | None = None,
        server_hostname: str | None = None,
        heartbeat: float = 60.0,
        connect_timeout: float = 5.0,
        operation_timeout: float = 30.0,
        login_method: str | None = None,
        client_properties: Mapping[str, Any] | None = None,
        channel_max: int = 2047,
        frame_max: int = 131072,
    ) -> None:
        self.host, self.port, self.vhost, self.user = host, port, vhost, user
        self.heartbeat = heartbeat
        self.connect_timeout = connect_timeout
        self.operation_timeout = operation_timeout
        self.channel_max = channel_max
        self.frame_max = frame_max
        self.blocked: str | None = None
        self.server_properties: dict[str, Any] = {}
        self.error: AMQPError | None = ConnectionLost("connect() has not been called")
        self._password = password
        self._ssl = ssl
        self._server_hostname = server_hostname or host
        self._login_method = login_method
        self._client_properties = dict(client_properties or {})
        self._transport: Transport | None = None
        self._parser = FrameParser(frame_max)
        self._channels: dict[int, Channel] = {}
        self._free_channels: list[int] = []
        self._highest_channel = 0
        self._replies: deque[Method] = deque()
        self._closed_channels: deque[ChannelClosed] = deque()
        self._outbox = bytearray()
        self._unseen = 0
        self._send_every = self._lost_after = math.inf
        self._last_sent = self._last_received = 0.0

    @property
    def closed(self) -> bool:
        """Whether the connection cannot be used (any more)."""
        return self.error is not None

    @property
    def _peer(self) -> str:
        return f"AMQP server {self.host}:{self.port}"

    def fileno(self) -> int:
        """Descriptor of the socket, for an own selector; drain until it returns 0 before waiting on it."""
        return self._open_transport().fileno()

    def wake(self) -> None:
        """Make the :meth:`drain` that is running, or the next one, return at once. Safe from any thread."""
        transport = self._transport
        if transport is not None:
            transport.wake()

    # --- opening and closing ---

    def connect(self, deadline: float | None = None) -> None:
        """Connect, log in and open the virtual host. A connection object connects once.

        Raises:
            ConnectionRefused: There is no server to talk to.
            AccessRefused: The server refuses the credentials or the virtual host.
            OperationTimeout: The server did not answer in time.
            ConnectionLost: It is not an AMQP 0-9-1 server, or it closed the connection.
        """
        if self._transport is not None:
            raise RuntimeError("connect() was called before; make a new AMQPConnection to reconnect")
        limit = time.monotonic() + self.connect_timeout if deadline is None else deadline
        self._transport = open_transport(self.host, self.port, self._ssl, self._server_hostname, limit)
        self.error = None
        self._last_received = self._last_sent = time.monotonic()
        try:
            self._log_in(limit)
        except ConnectionLost as exc:
            self.abort()
            if exc.reply_code in _REFUSING_CODES:
                who = f"user {self.user!r} on virtual host {self.vhost!r}"
                message = f"{self._peer} refused {who}: {exc.reply_text}"
                raise AccessRefused(message, exc.reply_code, exc.reply_text) from exc
            raise
        except BaseException:
            self.abort()
            raise

    def _log_in(self, limit: float) -> None:
        self._send(m.PROTOCOL_HEADER, limit)
        _major, _minor, properties, mechanisms, _locales = self._await_method(m.CONNECTION_START, limit)
        self.server_properties = properties
        mechanism, response = self._credentials(mechanisms.decode("utf-8", "replace").split())
        about_me = {
            "product": "celeriac",
            "platform": f"Python {platform.python_version()}",
            "capabilities": _CAPABILITIES,
            **self._client_properties,
        }
        self._send(m.encode_method(0, m.CONNECTION_START_OK, about_me, mechanism, response, "en_US"), limit)
        self._agree(*self._await_method(m.CONNECTION_TUNE, limit))
        tuning = (self.channel_max, self.frame_max, int(self.heartbeat))
        frames = m.encode_method(0, m.CONNECTION_TUNE_OK, *tuning) + m.encode_method(
            0, m.CONNECTION_OPEN, self.vhost, "", False
        )
        self._send(frames, limit)
        self._await_method(m.CONNECTION_OPEN_OK, limit)
        if self.heartbeat:
            self._send_every, self._lost_after = self.heartbeat / 2, self.heartbeat * 2

    def _credentials(self, offered: list[str]) -> tuple[str, bytes]:
        mechanism = self._login_method or next((each for each in ("PLAIN", "AMQPLAIN") if each in offered), "PLAIN")
        if mechanism not in offered:
            raise AccessRefused(f"{self._peer} does not offer login method {mechanism}, only {', '.join(offered)}")
        if mechanism == "PLAIN":
            return mechanism, b"\0%b\0%b" % (self.user.encode(), self._password.encode())
        if mechanism == "AMQPLAIN":
            # A table without its length, says RabbitMQ.
            return mechanism, encode_table({"LOGIN": self.user, "PASSWORD": self._password})[4:]
        if mechanism == "EXTERNAL":
            return mechanism, b""
        raise AccessRefused(f"login method {mechanism} is not supported; use PLAIN, AMQPLAIN or EXTERNAL")

    def _agree(self, channel_max: int, frame_max: int, heartbeat: int) -> None:
        """Take the smaller of what both sides want; 0 means no limit, for heartbeats on our side: none."""
        self.channel_max = min(self.channel_max, channel_max or self.channel_max)
        self.frame_max = min(self.frame_max, frame_max or self.frame_max)
        wanted = math.ceil(self.heartbeat)
        self.heartbeat = min(wanted, heartbeat or wanted)
        self._parser.frame_max = self.frame_max

    def close(self, deadline: float | None = None) -> None:
        """Tell the server and close; the socket is closed whatever the server does. May be called twice."""
        if self.error is None:
            limit = self._deadline(deadline)
            # The aim is reached either way; an unanswered goodbye changes nothing for the caller.
            with contextlib.suppress(AMQPError):
                self._send(m.encode_method(0, m.CONNECTION_CLOSE, 200, "", 0, 0), limit)
                self._await_method(m.CONNECTION_CLOSE_OK, limit)
        self.abort()

    def abort(self) -> None:
        """Drop the connection without telling the server, which notices at once. May be called twice."""
        self._lose(ConnectionLost(f"the connection to {self._peer} was closed from this side"))

    def _lose(self, error: AMQPError) -> None:
        if self.error is None:
            # Only the call that timed out shall say so; to later ones the connection is gone.
            self.error = ConnectionLost(str(error)) if isinstance(error, OperationTimeout) else error
            for channel in self._channels.values():
                channel._fail(_copy_of(self.error))
            self._channels.clear()
        if self._transport is not None:
            self._transport.close()

    def _break(self, what: str) -> ConnectionLost:
        """Drop a connection whose other side does not keep to the protocol."""
        error = ConnectionLost(f"{self._peer} {what}")
        self._lose(error)
        return error

    def _check_open(self) -> None:
        if self.error is not None:
            # The same object is raised again and again: without this its traceback would grow each time.
            raise self.error.with_traceback(None)

    def _open_transport(self) -> Transport:
        self._check_open()
        transport = self._transport
        if transport is None:
            raise RuntimeError("connect() has not been called")
        return transport

    # --- channels ---

    def channel(self, deadline: float | None = None) -> Channel:
        """Open a new channel.

        Raises:
            ConnectionLost: All channel numbers the server allows are in use, or the connection broke.
        """
        self._check_open()
        if self._free_channels:
            number = self._free_channels.pop()
        elif self._highest_channel < self.channel_max:
            self._highest_channel = number = self._highest_channel + 1
        else:
            raise AMQPError(f"all {self.channel_max} channels of the connection are open; close some")
        channel = self._channels[number] = Channel(self, number)
        channel.open(deadline)
        return channel

    def _forget_channel(self, channel: Channel, reported: bool = True) -> None:
        if self._channels.pop(channel.id, None) is not None:
            self._free_channels.append(channel.id)
            if not reported and isinstance(channel.error, ChannelClosed):
                self._closed_channels.append(channel.error)

    # --- reading ---

    def drain(self, timeout: float) -> int:
        """Read what is available and hand it to the channels; wait for it up to ``timeout`` seconds.

        Also sends heartbeats and checks the server's.

        Returns:
            How many messages, confirms and cancellations the channels got since the last call, those read by
            other calls included; 0 after the timeout or when woken.

        Raises:
            ChannelClosed: The server closed a channel; raised once for each, with its number.
            ConnectionLost: The connection broke, or nothing was heard for two heartbeats.
        """
        self._check_open()
        # What came in while another call waited must not be slept on.
        limit = 0.0 if self._unseen or self._closed_channels else time.monotonic() + timeout
        while self._pump(limit, wakeable=True) and not self._unseen and not self._closed_channels:
            continue  # what came was of no interest to the caller
        if self._closed_channels:
            raise self._closed_channels.popleft()
        seen, self._unseen = self._unseen, 0
        return seen

    def _pump(self, limit: float, *, wakeable: bool = False) -> bool:
        """Dispatch what arrives next; returns whether anything did before ``limit`` or a wake-up."""
        transport = self._open_transport()
        while True:
            data = self._receive(transport)
            if data is not None:
                dispatched = self._dispatch(data)
                if self._outbox:
                    self._flush()
                if dispatched:
                    return True
                continue
            now = time.monotonic()
            self._keep_alive(now)
            if now >= limit:
                return False
            due = min(limit, self._last_sent + self._send_every, self._last_received + self._lost_after)
            if transport.wait(due - now, write=bool(self._outbox), wakeable=wakeable):
                return False
            if self._outbox:
                self._flush()

    def _receive(self, transport: Transport) -> bytes | None:
        try:
            return transport.receive()
        except ConnectionLost as exc:
            self._lose(exc)
            raise

    def _dispatch(self, data: bytes) -> int:
        """Parse received bytes and hand them to the channels; returns how many events they were."""
        self._last_received = time.monotonic()
        try:
            events = self._parser.feed(data)
        except FrameError as exc:
            raise self._break(f"sent something that cannot be understood: {exc}") from exc
        channels = self._channels
        for event in events:
            channel = channels.get(event.channel)
            if channel is None:
                self._on_connection_event(event)
            elif isinstance(event, Method):
                self._unseen += channel._on_method(event)
            else:
                self._unseen += channel._on_delivery(event)
        return len(events)

    def _on_connection_event(self, event: Method | Delivery) -> None:
        if event.channel:
            # Sent before the server saw that the channel is closed.
            return
        if isinstance(event, Delivery):
            raise self._break("sent a message on channel 0")
        if event.method == m.CONNECTION_CLOSE:
            self._on_close(*event.args)
        elif event.method == m.CONNECTION_BLOCKED:
            self.blocked = event.args[0] or "blocked"
        elif event.method == m.CONNECTION_UNBLOCKED:
            self.blocked = None
        else:
            self._replies.append(event)

    def _on_close(self, code: int, text: str, class_id: int, method_id: int) -> NoReturn:
        objected = f" (in {m.method_name(class_id << 16 | method_id)})" if class_id else ""
        error = ConnectionLost(f"{self._peer} closed the connection: {code} {text}{objected}", code, text)
        self._reply(m.encode_method(0, m.CONNECTION_CLOSE_OK))
        # The close is a fact; that the server has gone already is no news.
        with contextlib.suppress(ConnectionLost):
            self._open_transport().send(bytes(self._outbox))
        self._lose(error)
        raise error

    def _await_method(self, method: int, limit: float) -> tuple[Any, ...]:
        """Wait for a method on channel 0; anything else there breaks the protocol."""
        while not self._replies:
            self._await_answer(limit, m.method_name(method))
        event = self._replies.popleft()
        if event.method != method:
            raise self._break(f"sent {m.method_name(event.method)} where {m.method_name(method)} was due")
        return event.args

    def _await_answer(self, limit: float, what: str) -> None:
        """Wait for something to arrive; drop the connection when it is too late for ``what``."""
        if not self._pump(limit) and time.monotonic() >= limit:
            error = OperationTimeout(f"{self._peer} did not send {what} in time; the connection is dropped")
            self._lose(error)
            raise error

    # --- writing ---

    def _deadline(self, deadline: float | None) -> float:
        return time.monotonic() + self.operation_timeout if deadline is None else deadline

    def _reply(self, data: bytes) -> None:
        """Queue an answer; it must not get into the middle of a frame that is being written."""
        self._outbox += data

    def _flush(self) -> None:
        """Write queued answers as far as the socket takes them."""
        try:
            sent = self._open_transport().send(bytes(self._outbox))
        except ConnectionLost as exc:
            self._lose(exc)
            raise
        del self._outbox[:sent]
        if sent:
            self._last_sent = time.monotonic()

    def _send(self, data: bytes, limit: float) -> None:
        """Write ``data`` completely; if that takes too long drop the connection: a frame may be cut."""
        transport = self._open_transport()
        if self._outbox:
            data = bytes(self._outbox) + data
            self._outbox.clear()
        try:
            sent = transport.send(data)
            if sent < len(data):
                self._send_rest(transport, memoryview(data)[sent:], limit)
        except (ConnectionLost, OperationTimeout) as exc:
            self._lose(exc)
            raise
        self._last_sent = time.monotonic()

    def _send_rest(self, transport: Transport, data: memoryview, limit: float) -> None:
        """Go on writing, and read meanwhile: a server that cannot get rid of its data may not take ours."""
        while data:
            now = time.monotonic()
            if now >= limit:
                raise OperationTimeout(
                    f"{self._peer} did not take {len(data)} bytes in time; the connection is dropped"
                )
            transport.wait(limit - now, write=True)
            received = self._receive(transport)
            if received is not None:
                self._dispatch(received)  # answers wait in the outbox: they must not cut into this frame
            sent = transport.send(data)
            data = data[sent:]
        if self._outbox:
            self._flush()

    def _before_publish(self, channel: Channel, limit: float) -> None:
        """Notice a closed connection or channel, and wait while the server takes no messages."""
        if time.monotonic() - self._last_received > _LOOK_INTERVAL:
            self._pump(0.0)
            channel._check_open()
        while self.blocked is not None or not channel._flowing:
            reason = self.blocked or "channel.flow"
            if not self._pump(limit) and time.monotonic() >= limit:
                raise OperationTimeout(f"{self._peer} takes no messages: {reason}; nothing was sent")
            channel._check_open()

    def _keep_alive(self, now: float) -> None:
        """Send a heartbeat after half an interval of silence; called only after an attempt to read."""
        if now - self._last_received >= self._lost_after:
            raise self._break(f"sent nothing for {now - self._last_received:.0f} s, two heartbeats: taken for dead")
        if now - self._last_sent >= self._send_every:
            self._last_sent = now
            if not self._outbox:
                self._outbox += m.HEARTBEAT
                self._flush()


def _copy_of(error: AMQPError) -> AMQPError:
    """Each channel adds its own unconfirmed messages to the error."""
    copy = type(error).__new__(type(error))
    copy.args = error.args
    copy.__dict__.update(error.__dict__)
    return copy
