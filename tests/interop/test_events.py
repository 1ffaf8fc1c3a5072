"""Events of both libraries' workers and clients, as receivers of both libraries hear them."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.interop.fleet import CELERIAC, CELERY, LIBRARIES, Client
from tests.support import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.interop.fleet import Fleet

#: Seconds between two heartbeats.
BEAT = "1"


@dataclass
class Ears:
    """Listening clients, and the workers they listen to.

    Attributes:
        clients: A listener of each library, which also sends.
        queues: The queue of the worker of each library.
        hosts: Node name of the worker of each library.
    """

    clients: dict[str, Client]
    queues: dict[str, str]
    hosts: dict[str, str]

    def wait(self, listener: str, uuid: str, type_: str) -> list[dict[str, Any]]:
        """Wait for an event; returns all about the same."""

        def find() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = self.clients[listener]("events_of", uuid)
            return found if any(event["type"] == type_ for event in found) else []

        return wait_until(find, what=f"{listener} heard {type_}", interval=0.05)


@pytest.fixture(scope="module")
def ears(fleet: Fleet) -> Iterator[Ears]:
    ttl = {"event_queue_ttl": 60.0, "task_send_sent_event": True}
    with ExitStack() as stack:
        yield _start(fleet, stack, ttl)


def _start(fleet: Fleet, stack: ExitStack, conf: dict[str, Any]) -> Ears:
    clients = {}
    for library in LIBRARIES:
        clients[library] = fleet.start_client(library, **conf)
        stack.callback(clients[library].close)
        clients[library]("listen")
    queues = {library: f"{fleet.queue(library)}.events" for library in LIBRARIES}
    hosts = {library: f"events-{library}" for library in LIBRARIES}
    for library in LIBRARIES:
        worker = fleet.start_worker(
            library, "-E", "--heartbeat-interval", BEAT, queue=queues[library], name=hosts[library], concurrency=1
        )
        stack.callback(worker.kill)
    return Ears(clients, queues, {library: f"{name}@interop" for library, name in hosts.items()})


def fields(events: list[dict[str, Any]]) -> dict[str, set[str]]:
    """Names of the fields of each type."""
    return {event["type"]: set(event) for event in events}


@pytest.mark.parametrize("listener", LIBRARIES)
@pytest.mark.parametrize(
    ("task", "args", "last"),
    [("add", (1, 2), "task-succeeded"), ("fail", ("ValueError",), "task-failed"), ("retry", (1,), "task-succeeded")],
)
def test_events_of_tasks_are_alike(ears: Ears, listener: str, task: str, args: tuple[Any, ...], last: str) -> None:
    heard = {}
    for library in LIBRARIES:
        uuid = ears.clients[library].send(task, *args, queue=ears.queues[library])
        heard[library] = ears.wait(listener, uuid, last)
        ears.wait(listener, uuid, "task-sent")
        heard[library] = ears.clients[listener]("events_of", uuid)
    theirs, ours = fields(heard[CELERY]), fields(heard[CELERIAC])
    assert ours == theirs
    for event in heard[CELERIAC]:
        assert isinstance(event["clock"], int)
        assert isinstance(event["timestamp"], float)
    for type_ in ("task-sent", "task-received"):
        mine, its = ({event["type"]: event for event in heard[library]}[type_] for library in (CELERIAC, CELERY))
        for name in ("name", "args", "kwargs", "retries", "eta", "expires"):
            assert mine[name] == its[name], (type_, name)


@pytest.mark.parametrize("listener", LIBRARIES)
def test_events_of_workers_are_alike(ears: Ears, listener: str) -> None:
    beats = {}
    for library in LIBRARIES:
        heard = ears.wait(listener, ears.hosts[library], "worker-heartbeat")
        beats[library] = next(event for event in heard if event["type"] == "worker-heartbeat")
    assert set(beats[CELERIAC]) == set(beats[CELERY])
    for name, value in beats[CELERY].items():
        assert type(beats[CELERIAC][name]) is type(value), name


@pytest.mark.parametrize("listener", LIBRARIES)
def test_states_of_both_libraries_show_both_workers(ears: Ears, listener: str) -> None:
    ids = {}
    for library in LIBRARIES:
        ids[library] = ears.clients[listener].send("add", 1, 1, queue=ears.queues[library])
        ears.wait(listener, ids[library], "task-succeeded")
    found = ears.clients[listener]("picture")
    for library in LIBRARIES:
        name, state, host = found["tasks"][ids[library]]
        assert (name.rpartition(".")[2], state, host) == ("add", "SUCCESS", ears.hosts[library])
