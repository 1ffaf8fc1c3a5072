"""A session belongs to a thread, and goes with it."""

from __future__ import annotations

import os
import threading
from typing import Any, cast

from celeriac.app.sessions import Sessions


class Session:
    """A session that knows whether it was closed."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


class Broker:
    """Opens such sessions, and keeps them."""

    def __init__(self) -> None:
        self.opened: list[Session] = []

    def connect(self, *, timeout: float | None = None) -> Session:
        self.opened.append(Session())
        return self.opened[-1]


def make() -> tuple[Sessions, Broker]:
    broker = Broker()
    return Sessions(lambda: cast("Any", broker)), broker


def in_thread(work: Any) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_a_thread_keeps_its_session() -> None:
    sessions, broker = make()
    assert sessions.get() is sessions.get()
    in_thread(sessions.get)
    assert len(broker.opened) == 2


def test_a_session_is_closed_when_its_thread_ends() -> None:
    sessions, broker = make()
    for _ in range(3):
        in_thread(sessions.get)
    assert [session.closed for session in broker.opened] == [1, 1, 1]


def test_a_dropped_session_is_replaced() -> None:
    sessions, broker = make()
    sessions.get()
    sessions.drop()
    assert broker.opened[0].closed
    assert cast("Any", sessions.get()) is broker.opened[1]


def test_closing_reaches_the_sessions_of_all_threads() -> None:
    sessions, broker = make()
    sessions.get()
    opened, done = threading.Event(), threading.Event()

    def hold() -> None:
        sessions.get()
        opened.set()
        done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    opened.wait()
    sessions.close()
    assert all(session.closed for session in broker.opened)
    done.set()
    thread.join()


def test_a_fork_leaves_the_sessions_of_its_parent_alone() -> None:
    sessions, broker = make()
    sessions.get()
    opened, done = threading.Event(), threading.Event()

    def hold() -> None:
        sessions.get()
        opened.set()
        done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    opened.wait()
    pid = os.fork()
    if not pid:
        inherited = broker.opened[:]
        other = cast("Any", sessions.get()) not in inherited
        os._exit(0 if other and not any(session.closed for session in inherited) else 1)
    status = os.waitpid(pid, 0)[1]
    done.set()
    thread.join()
    assert status == 0
