"""Remote control across libraries: each one's client with both workers, and their answers side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.interop.fleet import CELERIAC, CELERY, Client, Fleet
from tests.interop.talk import PATIENCE
from tests.support import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Names of the nodes, by library.
NODES = {library: f"control-{library}@interop" for library in (CELERY, CELERIAC)}


@dataclass
class Controlled:
    """A client of one library, with a worker of each that hears it.

    Attributes:
        broker: Kind of the broker.
        sender: Library of the client.
        fleet: All processes.
        client: The client.
    """

    broker: str
    sender: str
    fleet: Fleet
    client: Client

    def queue(self, library: str) -> str:
        """The queue of a worker."""
        return f"{self.fleet.prefix}.control.{library}"

    def ask(self, question: str, *args: Any) -> dict[str, Any]:
        """The answers of both workers, by library."""
        return by_library(self.client("inspect", list(NODES.values()), question, *args))

    def wait(self, question: str, count: int) -> dict[str, Any]:
        """Such answers of both workers, once each names so many tasks."""

        def answers() -> dict[str, Any] | None:
            found = self.ask(question)
            return found if all(len(each) == count for each in found.values()) else None

        found = wait_until(answers, what=f"{count} {question} in each worker", interval=0.1)
        assert found is not None
        return found

    def tell(self, method: str, *args: Any, **options: Any) -> dict[str, Any]:
        """What both workers answer to a command, by library."""
        given = {"destination": list(NODES.values()), "reply": True, "timeout": PATIENCE} | options
        replies = self.client("control", method, *args, **given)
        return by_library({node: answer for reply in replies for node, answer in reply.items()})


def by_library(answers: dict[str, Any]) -> dict[str, Any]:
    """Answers of both workers, none missing."""
    assert sorted(answers) == sorted(NODES.values())
    return {library: answers[node] for library, node in NODES.items()}


@pytest.fixture(scope="module")
def heard(fleet: Fleet) -> Iterator[Fleet]:
    """The fleet, with a worker of each library that hears commands."""
    workers = [
        fleet.start_worker(
            library, queue=f"{fleet.prefix}.control.{library}", name=NODES[library].partition("@")[0],
            worker_enable_remote_control=True, worker_prefetch_multiplier=4,
        )
        for library in (CELERY, CELERIAC)
    ]  # fmt: skip
    yield fleet
    for worker in workers:
        assert worker.alive, worker.log[-4000:]
        worker.kill()


@pytest.fixture(params=(CELERY, CELERIAC), ids=("from_celery", "from_celeriac"))
def controlled(request: pytest.FixtureRequest, heard: Fleet, broker: str) -> Controlled:
    """Both workers, and a client."""
    return Controlled(broker, request.param, heard, heard.client(request.param))


def shape(value: Any) -> Any:
    """What a value is made of: keys, and kinds of what is under them."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value[:1]]
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def test_all_workers_answer_a_ping(controlled: Controlled) -> None:
    assert controlled.ask("ping") == {CELERY: {"ok": "pong"}, CELERIAC: {"ok": "pong"}}
    # Only RabbitMQ does not tell how many hear it; and only our client asks.
    limit = None if controlled.broker == "redis" and controlled.sender == CELERIAC else 2
    everybody = controlled.client("control", "ping", timeout=PATIENCE, limit=limit)
    assert sorted(node for reply in everybody for node in reply) == sorted(NODES.values())
    matching = {"pattern": "control-*", "matcher": "glob", "limit": 2, "destination": None}
    assert controlled.tell("broadcast", "ping", **matching)[CELERIAC] == {"ok": "pong"}


@pytest.mark.parametrize("question", ["active", "reserved", "scheduled", "clock", "active_queues", "registered"])
def test_answers_have_the_same_shape(controlled: Controlled, question: str) -> None:
    answers = controlled.ask(question)
    assert shape(answers[CELERIAC]) == shape(answers[CELERY])


def test_statistics_have_the_same_keys(controlled: Controlled) -> None:
    answers = controlled.ask("stats")
    ours, theirs = answers[CELERIAC], answers[CELERY]
    assert ours.keys() == theirs.keys()
    for part in ("broker", "pool", "rusage"):
        assert ours[part].keys() == theirs[part].keys()
    assert ours["pool"]["writes"].keys() == theirs["pool"]["writes"].keys()
    assert shape(ours["rusage"]) == shape(theirs["rusage"])
    same = ("hostname", "port", "transport", "virtual_host", "userid", "ssl")
    assert {key: ours["broker"][key] for key in same} == {key: theirs["broker"][key] for key in same}
    # Celery's grows while the worker holds a task with an ETA, as another test has it do.
    assert ours["prefetch_count"] == 8 <= theirs["prefetch_count"]


def test_running_and_waiting_tasks_are_described_alike(controlled: Controlled) -> None:
    gate = controlled.fleet.gate()
    ids = {
        library: [controlled.client.send("gated", str(gate), queue=controlled.queue(library)) for _ in range(3)]
        for library in NODES
    }
    try:
        answers = controlled.wait("active", 2)
        waiting = controlled.wait("reserved", 1)
        for found in (answers, waiting):
            assert shape(found[CELERIAC]) == shape(found[CELERY])
        for library in NODES:
            assert {info["id"] for info in (*answers[library], *waiting[library])} == set(ids[library])
            assert {info["name"] for info in answers[library]} == {"tests.interop.tasks.gated"}
        one_of_each = [ids[library][0] for library in NODES]
        told = controlled.ask("query_task", *one_of_each)
        for library, task_id in zip(NODES, one_of_each, strict=True):
            assert [task_id, "active"] == [next(iter(told[library])), told[library][task_id][0]]
    finally:
        gate.touch()
    for task_id in (*ids[CELERY], *ids[CELERIAC]):
        assert controlled.client("outcome", task_id).state == "SUCCESS"


def test_commands_are_answered_alike(controlled: Controlled) -> None:
    for command in (
        ("rate_limit", "tests.interop.tasks.add", "100/s"),
        ("rate_limit", "tests.interop.tasks.add", 0),
        ("rate_limit", "nosuch", "1/s"),
        ("time_limit", "tests.interop.tasks.add", 30.0, 60.0),
        ("time_limit", "tests.interop.tasks.add"),
        ("time_limit", "nosuch", 1.0),
        ("add_consumer", "another"),
        ("cancel_consumer", "another"),
        ("enable_events",),
        ("enable_events",),
        ("disable_events",),
        ("terminate", "unknown"),
        ("pool_restart",),
        ("autoscale", 3, 1),
        ("broadcast", "nosuch"),
    ):
        answers = controlled.tell(*command)
        assert answers[CELERIAC] == answers[CELERY], command
    unreadable = controlled.tell("rate_limit", "tests.interop.tasks.add", "x")
    assert all(answer["error"].startswith("Invalid rate limit string") for answer in unreadable.values())
    stamped = controlled.tell("revoke_by_stamped_headers", {"owner": "nobody"})
    assert stamped[CELERIAC] == stamped[CELERY]
    assert controlled.tell("heartbeat") == {CELERY: None, CELERIAC: None}


def test_revoked_tasks_do_not_run(controlled: Controlled) -> None:
    gate = controlled.fleet.gate()
    blocking = [
        controlled.client.send("gated", str(gate), queue=controlled.queue(library))
        for library in NODES
        for _ in range(2)
    ]
    try:
        controlled.wait("active", 2)
        revoked = [controlled.client.send("add", 1, 2, queue=controlled.queue(library)) for library in NODES]
        answers = controlled.tell("revoke", revoked[0])
        assert answers[CELERIAC] == answers[CELERY] == {"ok": f"tasks {{{revoked[0]!r}}} flagged as revoked"}
        controlled.tell("revoke", revoked)
        assert all(set(revoked) <= set(found) for found in controlled.ask("revoked").values())
    finally:
        gate.touch()
    for task_id in revoked:
        outcome = controlled.client("outcome", task_id)
        assert (outcome.state, outcome.error.name, outcome.error.args) == ("REVOKED", "TaskRevokedError", ("revoked",))
    for task_id in blocking:
        assert controlled.client("outcome", task_id).state == "SUCCESS"


def test_running_tasks_are_terminated(controlled: Controlled) -> None:
    gate = controlled.fleet.gate()
    ids = {library: controlled.client.send("gated", str(gate), queue=controlled.queue(library)) for library in NODES}
    try:
        controlled.wait("active", 1)
        answers = controlled.tell("terminate", list(ids.values()), signal="SIGKILL")
        assert answers == {library: {"ok": f"terminate: {task_id}"} for library, task_id in ids.items()}
        for task_id in ids.values():
            outcome = controlled.client("outcome", task_id)
            # Celery's worker stores "revoked" at once for what does not run in itself.
            assert outcome.state == "REVOKED"
            assert outcome.error.args in (("terminated",), ("revoked",))
    finally:
        gate.touch()


@pytest.mark.parametrize("library", [CELERIAC, CELERY])
def test_a_worker_that_mingles_learns_what_both_were_told(heard: Fleet, library: str) -> None:
    client, revoked = heard.client(CELERY), f"revoked-for-{library}"
    # Only these two are told, so that nothing but they knows it.
    client("control", "revoke", revoked, destination=list(NODES.values()), reply=True, timeout=PATIENCE, limit=2)
    options = ("--mingle",) if library == CELERIAC else ()
    # Answers are waited for one second, which on a busy machine may be too short.
    for number in range(20):
        queue, node = f"{heard.prefix}.mingling.{library}", f"mingling{number}-{library}"
        worker = heard.start_worker(
            library, *options, queue=queue, name=node, alone=False, worker_enable_remote_control=True
        )
        found = (client("inspect", [f"{node}@interop"], "revoked") or {}).get(f"{node}@interop", [])
        worker.kill()
        if revoked in found:
            break
    assert revoked in found
