"""Half a fleet of each library, under load; then everything back to Celery while the queue is full.

``CELERIAC_TEST_FLEET`` says with how many tasks; `make interop-fleet` runs all of it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import pytest

from celeriac.broker import open_broker
from celeriac.broker.base import DelayReleasing
from tests.interop.fleet import CELERIAC, CELERY, LIBRARIES, Client, Fleet
from tests.support import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.worker import RunningWorker

#: Tasks of the load; a twentieth as many chords go with them.
TASKS = int(os.environ.get("CELERIAC_TEST_FLEET", "100"))
#: Workers of each library.
HALF = 2 if TASKS >= 5000 else 1
#: Seconds for all of it.
LONG = 60 + TASKS / 10
#: Members of a chord.
MEMBERS = 4


@dataclass
class Load:
    """What was sent, and what it has to come to.

    Attributes:
        tasks: Ids of tasks and their values.
        chords: Ids of bodies of chords and their values.
    """

    tasks: dict[str, int] = field(default_factory=dict)
    chords: dict[str, int] = field(default_factory=dict)

    def send(self, client: Client, tasks: int, queue: str) -> None:
        """Send tasks, and a chord with every twenty of them."""
        for first in range(0, tasks, 100):
            count = min(100, tasks - first)
            ids = client("send_many", "nap", count, queue=queue, kwargs={"seconds": 0})
            self.tasks.update(zip(ids, range(count), strict=True))
            self.chords.update(client("send_chords", count // 20, MEMBERS, queue))

    def check(self, client: Client, fleet: Fleet) -> None:
        """Everything has come to what it should, and nothing else ran."""
        for sent in (self.tasks, self.chords):
            assert dict(zip(sent, client("outcomes", list(sent), LONG), strict=True)) == sent
        for what, sent in (("nap", self.tasks), ("total", self.chords)):
            assert set(fleet.ledger.by_id(what)) == set(sent)


@pytest.fixture
def halves(broker: str, make_fleet: Callable[..., Fleet], request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """A fleet that hears commands, without workers."""
    redis = request.getfixturevalue("redis_database")
    url = redis if broker == "redis" else request.getfixturevalue("amqp_url")
    conf = {"broker_url": url, "result_backend": redis, "worker_enable_remote_control": True}
    yield make_fleet(**conf, task_graph_inline_max=None)


@pytest.mark.timeout(LONG * 4)
def test_half_a_fleet_of_each_and_all_back_to_celery(halves: Fleet) -> None:
    began, load = time.monotonic(), Load()
    queue = halves.common_queue
    workers = {
        f"{library}{number}": halves.start_worker(
            library, queue=queue, name=f"{library}{number}", alone=False, wait=False
        )
        for number in range(HALF)
        for library in LIBRARIES
    }
    for worker in workers.values():
        worker.wait_ready()
    with sending(halves, load, TASKS):
        asked = talk_across(halves, [f"{name}@interop" for name in workers], queue)
    load.check(halves.client(CELERIAC), halves)
    ran = halves.ledger.records()
    assert Counter(record["id"] for record in ran) == dict.fromkeys([*load.tasks, *load.chords], 1)
    shares = Counter(record["library"] for record in ran)
    assert set(shares) == set(LIBRARIES), shares
    middle = time.monotonic()
    waiting = go_back(halves, workers, load, queue)
    print(  # noqa: T201 - the numbers of the full level
        f"\n{halves.conf['broker_url']}: {len(load.tasks)} tasks and {len(load.chords)} chords in {len(workers)} "
        f"workers; {dict(shares)} while both ran, {asked} commands answered by all, {middle - began:.0f} s;"
        f" {waiting} messages waited when Celery took over, {time.monotonic() - middle:.0f} s"
    )


@contextlib.contextmanager
def sending(fleet: Fleet, load: Load, tasks: int) -> Iterator[None]:
    """Both clients send half of a load each, meanwhile."""
    failures: list[BaseException] = []

    def send(client: Client, own: Load) -> None:
        try:
            own.send(client, tasks // 2, fleet.common_queue)
        except BaseException as error:
            failures.append(error)

    loads = [Load() for _ in LIBRARIES]
    threads = [
        threading.Thread(target=send, args=(fleet.client(library), own))
        for library, own in zip(LIBRARIES, loads, strict=True)
    ]
    for thread in threads:
        thread.start()
    yield
    for thread, own in zip(threads, loads, strict=True):
        thread.join()
        load.tasks.update(own.tasks)
        load.chords.update(own.chords)
    assert not failures, failures


def talk_across(fleet: Fleet, nodes: list[str], queue: str) -> int:
    """Clients of both ask all workers, and change what they consume; returns how many commands all answered."""
    extra, asked = f"{fleet.prefix}.extra", 0
    for library in LIBRARIES:
        client = fleet.start_client(library)
        try:
            for _ in range(max(1, TASKS // 2000)):
                for question in ("ping", "active_queues", "stats", "active"):
                    assert sorted(client("inspect", nodes, question)) == sorted(nodes), question
                for command in ("add_consumer", "cancel_consumer"):
                    replies = client("control", command, extra, destination=nodes, reply=True, timeout=LONG)
                    assert sorted(node for reply in replies for node in reply) == sorted(nodes)
                    expected = {queue, extra} if command == "add_consumer" else {queue}
                    # Celery answers before it has done it.
                    wait_until(partial(consume, client, nodes, expected), what=f"{command} in all workers")
                asked += 8
        finally:
            client.close()
    return asked


def consume(client: Client, nodes: list[str], expected: set[str]) -> bool:
    """Whether all workers consume these queues."""
    answers = client("inspect", nodes, "active_queues")
    assert sorted(answers) == sorted(nodes)
    return all({each["name"] for each in queues} == expected for queues in answers.values())


def go_back(fleet: Fleet, workers: dict[str, RunningWorker], load: Load, queue: str) -> int:
    """Stop all workers under load, and let Celery alone do the rest; returns how many messages had waited."""
    before = fleet.ledger.count("nap")
    with sending(fleet, load, TASKS):
        wait_until(lambda: fleet.ledger.count("nap") >= before + TASKS // 20, what="some of the second load")
        for worker in workers.values():
            worker.send(signal.SIGTERM)
        for worker in workers.values():
            worker.wait()
    ids = fleet.client(CELERIAC)("send_copies", "echo", 10, "late", queue=queue, countdown=120)
    with contextlib.closing(open_broker(fleet.conf["broker_url"]).connect()) as session:
        waiting = session.depths([queue])[queue]
        released = session.release_delayed() if isinstance(session, DelayReleasing) else {}
    back = [fleet.start_worker(CELERY, queue=queue, name=f"back{number}", wait=False) for number in range(HALF)]
    for worker in back:
        worker.wait_ready()
    load.check(fleet.client(CELERY), fleet)
    # Celery, stopped on a busy machine, gives back some tasks that have run; Celeriac repeats none by itself.
    ran: dict[str, list[str]] = {}
    for record in fleet.ledger.records():
        ran.setdefault(record["id"], []).append(record["library"])
    repeated = {task_id: where for task_id, where in ran.items() if len(where) > 1}
    assert all(where[0] == CELERY and len(where) == 2 for where in repeated.values()), repeated
    if released:
        assert released == {queue: len(ids)}
    return waiting
