"""Publishing in bulk, while the broker is away, after it is back, and across a fork."""

from __future__ import annotations

import os
import resource
import socket
import sqlite3
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery
from celeriac.exceptions import OperationalError
from tests.support import PATIENCE, SLACK, servers, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.client_app import Site

#: Seconds for a publish in these tests.
DEADLINE = 0.5


@pytest.mark.parametrize("scheme", ["redis", "sqlite", "amqp"])
def test_bulk_publishing_runs_every_call_of_a_generator_once(make_site: Callable[..., Site], scheme: str) -> None:
    site = make_site(scheme)
    count, key = site.task("count"), servers.unique()
    taken = 0

    def calls() -> Iterator[Any]:
        nonlocal taken
        for _ in range(20_000):
            taken += 1
            yield count.s(key)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert site.app.publish_many(calls(), results=False, timeout=PATIENCE) == taken == 20_000
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    # Two chunks of 1,000 are in memory at a time; all 20,000 messages would take 50 MiB.
    assert grown < 24 * 1024, f"the client grew by {grown} KiB"
    session = site.app.broker_for_read.connect()
    try:
        assert session.depths([site.conf["task_default_queue"]]) == {site.conf["task_default_queue"]: 20_000}
    finally:
        session.close()


def test_what_bulk_publishing_sent_runs(make_site: Callable[..., Site]) -> None:
    site = make_site("redis")
    site.start()
    results = site.app.publish_many(site.task("add").s(number, 1) for number in range(2500))
    assert [each.get(timeout=PATIENCE) for each in results] == list(range(1, 2501))


@contextmanager
def closed_port(_: Path) -> Iterator[str]:
    yield f"127.0.0.1:{servers.free_port()}"


@contextmanager
def silent_port(_: Path) -> Iterator[str]:
    """A server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def full_port(_: Path) -> Iterator[str]:
    """A server that does not even accept: its backlog is full, and connecting hangs."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        fillers = []
        for _number in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(address)
            fillers.append(filler)
        try:
            yield f"127.0.0.1:{address[1]}"
        finally:
            for filler in fillers:
                filler.close()


@contextmanager
def locked_file(directory: Path) -> Iterator[str]:
    """A queue file that another process has locked."""
    path = directory / "queue.db"
    with Celery("maker", broker=f"sqlite:///{path}", backend="disabled://", set_as_current=False) as maker:
        maker.send_task("first")
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield str(path)
        connection.execute("ROLLBACK")
    connection.close()


AWAY = {
    "redis, closed port": ("redis://{}/0", closed_port),
    "redis, silent server": ("redis://{}/0", silent_port),
    "redis, full backlog": ("redis://{}/0", full_port),
    "amqp, closed port": ("amqp://guest:guest@{}//", closed_port),
    "amqp, silent server": ("amqp://guest:guest@{}//", silent_port),
    "amqp, full backlog": ("amqp://guest:guest@{}//", full_port),
    "sqlite, locked file": ("sqlite:///{}", locked_file),
}


@pytest.mark.parametrize("how", AWAY)
def test_delay_raises_within_its_deadline_every_time(how: str, tmp_path: Path) -> None:
    """The first call, and those after it, whatever the ones before have left behind."""
    url, away = AWAY[how]
    with (
        away(tmp_path) as address,
        Celery("away", broker=url.format(address), backend="disabled://", set_as_current=False,
               broker_publish_timeout=DEADLINE, broker_connection_timeout=PATIENCE) as app,
    ):  # fmt: skip

        @app.task
        def task() -> None: ...

        for _ in range(3):
            before = time.monotonic()
            with pytest.raises(OperationalError):
                task.delay()
            assert time.monotonic() - before < DEADLINE + SLACK


@pytest.mark.parametrize(
    "how", ["redis, closed port", "redis, silent server", "amqp, silent server", "sqlite, locked file"]
)
def test_the_hundredth_call_raises_as_the_first(how: str, tmp_path: Path) -> None:
    url, away = AWAY[how]
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    with (
        away(tmp_path) as address,
        Celery(
            "away",
            broker=url.format(address),
            backend="disabled://",
            set_as_current=False,
            broker_connection_timeout=PATIENCE,
        ) as app,
    ):

        @app.task
        def task() -> None: ...

        for _ in range(100):
            before = time.monotonic()
            with pytest.raises(OperationalError):
                task.apply_async(timeout=0.02)
            assert time.monotonic() - before < 0.02 + SLACK
        assert len(list(Path("/proc/self/fd").iterdir())) < descriptors + 20


@pytest.fixture
def private_redis(tmp_path: Path) -> Iterator[Callable[[], Any]]:
    """Starts a Redis server on one port, again and again; calling what it returns ends it."""
    port = servers.free_port()
    running: list[subprocess.Popen[bytes]] = []

    def start() -> tuple[str, Callable[[], None]]:
        process = subprocess.Popen(
            ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(tmp_path)],
            stdout=subprocess.DEVNULL,
        )
        running.append(process)
        wait_until(lambda: servers.answers("127.0.0.1", port), what="redis-server answers")

        def stop() -> None:
            process.kill()
            process.wait()

        return f"redis://127.0.0.1:{port}/0", stop

    yield start
    for process in running:
        process.kill()
        process.wait()


def test_publishing_works_again_when_the_broker_is_back(private_redis: Callable[[], Any]) -> None:
    url, stop = private_redis()
    with Celery("back", broker=url, backend="disabled://", set_as_current=False) as app:
        app.send_task("one")
        stop()
        with pytest.raises(OperationalError):
            app.send_task("two", timeout=DEADLINE)
        private_redis()
        app.send_task("three")
        session = app.broker_for_read.connect()
        assert session.depths(["celery"]) == {"celery": 1}
        session.close()


def test_a_broker_that_comes_back_within_the_deadline_is_no_error(private_redis: Callable[[], Any]) -> None:
    url, stop = private_redis()
    with Celery(
        "back", broker=url, backend="disabled://", set_as_current=False, broker_publish_timeout=PATIENCE
    ) as app:
        app.send_task("one")
        stop()
        starter = threading.Timer(0.5, private_redis)
        starter.start()
        app.send_task("two", retry_policy={"max_retries": None, "interval_max": 0.1})
        starter.join()


@pytest.mark.parametrize("scheme", ["redis", "sqlite", "amqp"])
def test_parent_and_child_of_a_fork_publish_on_connections_of_their_own(
    make_site: Callable[..., Site], scheme: str
) -> None:
    site = make_site(scheme)
    where = site.task("where")
    first = where.delay("before")
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            for number in range(50):
                where.delay(f"child {number}")
            status = 0
        finally:
            os._exit(status)
    for number in range(50):
        where.delay(f"parent {number}")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    after = where.delay("after")
    site.start()
    first.get(timeout=PATIENCE)
    after.get(timeout=PATIENCE)
    wanted = sorted(["before", "after", *(f"{who} {number}" for who in ("parent", "child") for number in range(50))])
    wait_until(
        lambda: sorted(each["key"] for each in site.ledger.records("where")) == wanted, what="every task ran once"
    )
