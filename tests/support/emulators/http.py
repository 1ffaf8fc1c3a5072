"""What the emulations share: a server in a thread of this process that answers one request at a time."""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass
class Request:
    """What a client asks.

    Attributes:
        method: GET, PUT, POST, DELETE, HEAD.
        path: The segments of the path, decoded.
        query: Parameters of the URL.
        headers: By lower-cased name.
        body: As it came.
    """

    method: str
    path: list[str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body or b"null")


@dataclass
class Answer:
    """What it gets: a status, and a value that is sent as JSON, unless it is bytes."""

    status: int
    value: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Emulator(ABC):
    """A store in memory."""

    #: Sent with every answer.
    headers: ClassVar[Mapping[str, str]] = {}
    content_type = "application/json"

    @abstractmethod
    def answer(self, request: Request) -> Answer:
        """Answer a request; no other one is answered meanwhile."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # One packet for each answer, at once.
    wbufsize = -1
    disable_nagle_algorithm = True
    emulator: Emulator
    lock: threading.Lock

    def handle_any(self) -> None:
        parts = urlsplit(self.path)
        request = Request(
            self.command,
            [unquote(segment) for segment in parts.path.split("/") if segment],
            dict(parse_qsl(parts.query, keep_blank_values=True)),
            {name.lower(): value for name, value in self.headers.items()},
            self.rfile.read(int(self.headers.get("content-length") or 0)),
        )
        with self.lock:
            answer = self.emulator.answer(request)
        content = answer.value if isinstance(answer.value, bytes) else json.dumps(answer.value).encode()
        body = b"" if self.command == "HEAD" or answer.status == 204 else content
        self.send_response(answer.status)
        headers = {"Content-Type": self.emulator.content_type, **self.emulator.headers, **answer.headers}
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815 - the base class looks for them

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error; one of the emulation is seen as an answer that is missing."""


@contextmanager
def serve(emulator: Emulator) -> Iterator[int]:
    """Serve an emulated store; yields the port."""
    handler = type("Handler", (_Handler,), {"emulator": emulator, "lock": threading.Lock()})
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()
