"""A non-blocking TCP or TLS socket with bounded waits and a wake-up for other threads; knows no AMQP."""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from typing import Any

from celeriac.drivers.amqp.errors import ConnectionLost, ConnectionRefused
from celeriac.utils.polling import make_poll
from celeriac.utils.url import lookup_form

#: One read takes at most this much.
READ_SIZE = 131072


class Transport:
    """A connected socket.

    Args:
        sock: A connected, non-blocking socket (plain or TLS with its handshake done).
        peer: How to name the server in messages.
    """

    def __init__(self, sock: socket.socket, peer: str) -> None:
        self.peer = peer
        self._sock = sock
        self._fileno = sock.fileno()
        self._want_write = False
        self._closed = False
        self._pollers: dict[tuple[bool, bool], Any] = {}
        self._wake_lock = threading.Lock()
        self._woken = False
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)

    def fileno(self) -> int:
        """The socket's descriptor, for a caller's own selector."""
        return self._fileno

    def receive(self) -> bytes | None:
        """What has arrived, ``None`` if nothing has.

        Raises:
            ConnectionLost: The server closed the connection, or the socket failed.
        """
        try:
            data = self._sock.recv(READ_SIZE)
        except (BlockingIOError, ssl.SSLWantReadError, InterruptedError):
            return None
        except ssl.SSLWantWriteError:
            self._want_write = True
            return None
        except OSError as exc:
            raise ConnectionLost(f"reading from {self.peer} failed: {exc}") from exc
        if not data:
            raise ConnectionLost(f"{self.peer} closed the connection")
        return data

    def send(self, data: bytes | memoryview) -> int:
        """Write as much as the socket takes now; returns how many bytes that were, possibly 0.

        Raises:
            ConnectionLost: The socket failed.
        """
        try:
            return self._sock.send(data)
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError, InterruptedError):
            return 0
        except OSError as exc:
            raise ConnectionLost(f"writing to {self.peer} failed: {exc}") from exc

    def wait(self, timeout: float, *, write: bool = False, wakeable: bool = False) -> bool:
        """Wait until the socket is readable (or writable, if asked for) or another thread calls :meth:`wake`.

        Args:
            timeout: Seconds; 0 or less only looks.
            write: Also return when the socket can be written to.
            wakeable: Also return on :meth:`wake`; a call made earlier and not yet noticed counts.

        Returns:
            Whether it was woken.
        """
        write = write or self._want_write
        self._want_write = False
        seconds = max(timeout, 0.0)
        poller = self._pollers.get((write, wakeable)) or self._make_poller(write, wakeable)
        # Rounded up: poll counts in milliseconds, and a wait that ends early would spin until the deadline.
        poller.poll(int(seconds * 1000) + 1 if seconds else 0)
        return wakeable and self._take_wake()

    def _make_poller(self, write: bool, wakeable: bool) -> Any:
        poller = self._pollers[write, wakeable] = make_poll()
        poller.register(self._fileno, select.POLLIN | (select.POLLOUT if write else 0))
        if wakeable:
            poller.register(self._wake_receiver, select.POLLIN)
        return poller

    def wake(self) -> None:
        """End the current or the next wakeable wait; safe from any thread, also on a closed transport."""
        with self._wake_lock:
            if not self._woken and not self._closed:
                self._woken = True
                self._wake_sender.send(b"\0")

    def _take_wake(self) -> bool:
        if not self._woken:
            return False
        with self._wake_lock:
            self._woken = False
            self._wake_receiver.recv(16)
            return True

    def close(self) -> None:
        """Close the socket; anything unsent is dropped."""
        with self._wake_lock:
            if self._closed:
                return
            self._closed = True
            for each in (self._sock, self._wake_receiver, self._wake_sender):
                each.close()


def open_transport(
    host: str, port: int, context: ssl.SSLContext | None, server_name: str, deadline: float
) -> Transport:
    """Connect to the first address of ``host`` that answers.

    Looking up the name is the system's business and not bounded by the deadline.

    Args:
        host: Name or address.
        port: TCP port.
        context: TLS settings, ``None`` for plain TCP.
        server_name: The name the certificate must have.
        deadline: Point of ``time.monotonic()`` at which to give up.

    Raises:
        ConnectionRefused: No address could be connected to in time, or TLS failed.
    """
    peer = f"{host}:{port}"
    try:
        addresses = socket.getaddrinfo(lookup_form(host), port, type=socket.SOCK_STREAM)
    except OSError as exc:
        raise ConnectionRefused(f"cannot look up {host!r}: {exc}") from exc
    failure: OSError | None = None
    for family, kind, protocol, _name, address in addresses:
        left = deadline - time.monotonic()
        if left <= 0:
            failure = failure or TimeoutError("the deadline passed")
            break
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(left)
            sock.connect(address)
            sock = _prepare(sock, context, server_name, deadline)
        except OSError as exc:
            failure = exc
            sock.close()
        else:
            return Transport(sock, peer)
    raise ConnectionRefused(f"cannot connect to {peer}: {failure}") from failure


def _prepare(sock: socket.socket, context: ssl.SSLContext | None, server_name: str, deadline: float) -> socket.socket:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if context is not None:
        sock.settimeout(max(deadline - time.monotonic(), 0.001))
        sock = context.wrap_socket(sock, server_hostname=server_name)
    sock.setblocking(False)
    return sock
