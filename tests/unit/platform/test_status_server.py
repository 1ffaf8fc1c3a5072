"""The HTTP port: addresses, paths, and answers that fail."""

from __future__ import annotations

import socket
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from celeriac.exceptions import ImproperlyConfigured
from celeriac.platform.status_server import Answer, StatusServer, as_json
from tests.support.http import get, get_json

if TYPE_CHECKING:
    from collections.abc import Iterator


def broken(accept: str) -> Answer:
    raise ValueError("secret")


@contextmanager
def serving(address: str | int) -> Iterator[str]:
    """A server; gives its URL."""
    routes = {
        "/livez": lambda accept: as_json(live=True),
        "/echo": lambda accept: Answer(accept.encode()),
        "/b": broken,
    }
    server = StatusServer(address, routes, "worker_http_address")
    server.start()
    try:
        yield f"http://localhost:{server.url.rpartition(':')[2]}"
    finally:
        server.stop()


@pytest.mark.parametrize("address", ["127.0.0.1:0", "localhost:0", "0", 0])
def test_paths_answer(address: str | int) -> None:
    with serving(address) as url:
        assert get_json(f"{url}/livez") == (200, {"live": True})
        assert get_json(f"{url}/livez?verbose") == (200, {"live": True})
        assert get(f"{url}/echo", Accept="text/x") == (200, "text/x")
        status, fields = get_json(f"{url}/nothing")
        assert status == 404
        assert "/livez" in fields["error"]


def test_errors_are_told_without_their_text() -> None:
    with serving("127.0.0.1:0") as url:
        status, body = get(f"{url}/b")
    assert status == 500
    assert "ValueError" in body
    assert "secret" not in body


def test_stopped_server_frees_its_port() -> None:
    with serving("127.0.0.1:0") as url:
        port = int(url.rpartition(":")[2])
    with serving(f"127.0.0.1:{port}") as again:
        assert get_json(f"{again}/livez")[0] == 200


@pytest.mark.parametrize("address", ["localhost", "localhost:", "127.0.0.1:x", "127.0.0.1:70000", "a.b.c"])
def test_addresses_that_are_none_are_refused(address: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"worker_http_address is .*give host:port"):
        StatusServer(address, {}, "worker_http_address")


def test_port_that_is_taken_is_told() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ImproperlyConfigured, match=f"127.0.0.1:{port}.*where nothing can listen"):
            StatusServer(f"127.0.0.1:{port}", {}, "worker_http_address")
