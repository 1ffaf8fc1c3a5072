"""A small HTTP server for probes and metrics, in a thread of its own.  What it answers is its owner's business."""

from __future__ import annotations

import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from celeriac.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["NO_METRICS", "UNAVAILABLE", "Answer", "StatusServer", "as_json"]

logger = logging.getLogger("celeriac.platform")

#: Seconds a client may take to send its request.
_REQUEST_TIMEOUT: Final = 5.0
_HIGHEST_PORT: Final = 65535
_OK: Final = 200
#: Status of a probe that fails.
UNAVAILABLE: Final = 503
_NOT_FOUND, _FAILED, _NOT_IMPLEMENTED = 404, 500, 501


class Answer(NamedTuple):
    """What a path answers.

    Attributes:
        body: Its body.
        status: HTTP status.
        content_type: MIME type of the body.
    """

    body: bytes
    status: int = _OK
    content_type: str = "application/json"


def as_json(status: int = _OK, **fields: Any) -> Answer:
    """An answer of some fields."""
    return Answer(f"{json.dumps(fields)}\n".encode(), status)


#: What a process answers that was asked for metrics and cannot count.
NO_METRICS: Final = as_json(
    _NOT_IMPLEMENTED, error="metrics need prometheus_client: pip install 'celeriac[prometheus]'"
)


class StatusServer:
    """Answers GET and HEAD requests.

    Args:
        address: ``host:port``, ``:port`` for every interface, or ``port`` for this host only; port 0 is any that is
            free.
        routes: What answers a path, given the value of the request's ``Accept`` header. Called in the server's threads.
        setting: Name of the setting that gave the address, for messages.

    Raises:
        ImproperlyConfigured: The address cannot be read, or is taken.
    """

    def __init__(self, address: str | int, routes: Mapping[str, Callable[[str], Answer]], setting: str) -> None:
        host, port = _parse(address, setting)
        try:
            self._server = _Server((host, port), _handler(routes))
        except OSError as exc:
            raise ImproperlyConfigured(
                f"{setting} is {address!r}, where nothing can listen: {exc.strerror or exc}"
            ) from exc
        self._thread = threading.Thread(target=self._server.serve_forever, name="status", daemon=True)

    @property
    def url(self) -> str:
        """Where it answers."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def _parse(address: str | int, setting: str) -> tuple[str, int]:
    text = str(address)
    host, colon, port = text.rpartition(":")
    if not port.isdigit() or int(port) > _HIGHEST_PORT:
        raise ImproperlyConfigured(f"{setting} is {text!r}: give host:port, as in 127.0.0.1:9090, or :9090")
    return (host.strip("[]") if host else "" if colon else "127.0.0.1"), int(port)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # What the file descriptor table of a busy worker costs is not a reason to be told of every reset connection.
    block_on_close = False


def _handler(routes: Mapping[str, Callable[[str], Answer]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _REQUEST_TIMEOUT
        server_version = "celeriac"
        sys_version = ""

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def _answer(self, *, with_body: bool) -> None:
            answer = _find(routes, self.path.partition("?")[0], self.headers.get("Accept", ""))
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if with_body:
                self.wfile.write(answer.body)

        def log_message(self, format: str, *args: Any) -> None:
            logger.debug("status: %s", format % args)

    return Handler


def _find(routes: Mapping[str, Callable[[str], Answer]], path: str, accept: str) -> Answer:
    route = routes.get(path)
    if route is None:
        return as_json(_NOT_FOUND, error=f"there are {', '.join(sorted(routes))}")
    try:
        return route(accept)
    except Exception as exc:
        logger.exception("status: %s failed", path)
        return as_json(_FAILED, error=type(exc).__name__)
