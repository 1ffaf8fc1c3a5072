"""A TCP proxy between a client and RabbitMQ that can fall silent and speak in the server's name."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from urllib.parse import urlsplit, urlunsplit


class Proxy:
    """Forwards connections to the server of a URL.

    Attributes:
        url: The URL to connect to instead.
        silent: Nothing goes to the client any more, and nothing to the server.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "127.0.0.1", parts.port or 5672)
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}"))
        self.silent = False
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._stop_receiver, self._stop_sender = socket.socketpair()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            sockets = [each for pair in self._pairs for each in pair]
            ready, _, _ = select.select([self._stop_receiver, self._listener, *sockets], [], [], 0.05)
            if self._stop_receiver in ready:
                return
            if self._listener in ready:
                client, _ = self._listener.accept()
                self._pairs.append((client, socket.create_connection(self._server)))
            if not self.silent:
                for client, server in list(self._pairs):
                    self._forward(client, server, ready)

    def _forward(self, client: socket.socket, server: socket.socket, ready: list[socket.socket]) -> None:
        for source, target in ((client, server), (server, client)):
            if source in ready:
                data = b""
                with contextlib.suppress(OSError):
                    data = source.recv(1 << 16)
                if not data:
                    self._drop((client, server))
                    return
                with contextlib.suppress(OSError):
                    target.sendall(data)

    def _drop(self, pair: tuple[socket.socket, socket.socket]) -> None:
        self._pairs.remove(pair)
        for each in pair:
            each.close()

    def say(self, data: bytes) -> None:
        """Send something to every client."""
        for client, _ in self._pairs:
            client.sendall(data)

    def cut(self) -> None:
        """End every connection."""
        for pair in list(self._pairs):
            for each in pair:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop; may be called twice."""
        if not self._thread.is_alive():
            return
        self._stop_sender.send(b".")
        self._thread.join()
        for pair in list(self._pairs):
            self._drop(pair)
        for each in (self._listener, self._stop_receiver, self._stop_sender):
            each.close()
