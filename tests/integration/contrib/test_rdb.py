"""A debugger over a socket."""

from __future__ import annotations

import errno
import io
import re
import socket
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.contrib import rdb
from tests.support import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable


class Client:
    """Whoever debugs."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._read = b""

    def ask(self, command: str) -> str:
        """What is printed until the prompt after a command."""
        self._socket.sendall(command.encode() + b"\n")
        return self.until_prompt()

    def until_prompt(self) -> str:
        while b"(Rdb) " not in self._read:
            data = self._socket.recv(4096)
            assert data, self._read
            self._read += data
        text, _, self._read = self._read.partition(b"(Rdb) ")
        return text.decode()

    def say(self, command: str) -> bytes:
        """What comes after a command until the end."""
        self._socket.sendall(command.encode() + b"\n")
        with closing(self._socket):
            return self._socket.makefile("rb").read()

    def leave(self) -> None:
        self._socket.close()


@pytest.fixture
def debugged(monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[int, threading.Thread, list[Any], io.StringIO]]:
    """Runs a function that stops in the debugger: its port, its thread, its result, what was said."""

    def start() -> tuple[int, threading.Thread, list[Any], io.StringIO]:
        said, results = io.StringIO(), []
        monkeypatch.setattr(sys, "stderr", said)
        monkeypatch.setattr(rdb.Rdb.__init__, "__defaults__", ("127.0.0.1", 16899, 100, 0, None))

        def run() -> None:
            number = 20
            rdb.set_trace()
            number += 1
            results.append(number * 2)

        thread = threading.Thread(target=run)
        thread.start()
        found = wait_until(lambda: re.search(r"telnet 127\.0\.0\.1 (\d+)", said.getvalue()), what="the address")
        assert found is not None
        return int(found[1]), thread, results, said

    return start


def test_a_function_is_looked_at_changed_and_let_go(debugged: Any) -> None:
    port, thread, results, said = debugged()
    client = Client(port)
    assert "number += 1" in client.until_prompt()
    assert client.ask("p number").strip() == "20"
    assert "results.append" in client.ask("n")
    client.ask("!number = 5")
    client.say("c")
    thread.join(PATIENCE)
    assert results == [10]
    assert said.getvalue().splitlines()[-1] == f"Remote Debugger:{port}: Session ended."


def test_quitting_does_not_fail_what_is_debugged(debugged: Any) -> None:
    port, thread, results, _ = debugged()
    client = Client(port)
    client.until_prompt()
    client.say("q")
    thread.join(PATIENCE)
    assert results == [42]


def test_a_client_that_goes_away_lets_it_go_on(debugged: Any) -> None:
    port, thread, results, _ = debugged()
    client = Client(port)
    client.until_prompt()
    client.leave()
    thread.join(PATIENCE)
    assert results == [42]


def test_another_session_can_follow(debugged: Any) -> None:
    for _ in range(2):
        port, thread, results, _ = debugged()
        client = Client(port)
        client.until_prompt()
        client.say("c")
        thread.join(PATIENCE)
        assert results == [42]


def test_a_port_in_use_is_passed_over_and_none_left_is_told_of() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"no free port from {port} to {port}: set CELERY_RDB_PORT") as caught:
            rdb.Rdb(port=port, port_search_limit=1)
        assert caught.value.errno == errno.EADDRINUSE
    with pytest.raises(OSError, match=r"cannot listen on 203\.0\.113\.1:"):
        rdb.Rdb(host="203.0.113.1")
