"""Workflows that the client of one library makes, with steps in workers of both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.interop.fleet import CELERIAC, CELERY
from tests.interop.talk import Sig
from tests.interop.workflows import NOT_IN_CELERY, WORKFLOWS
from tests.support import wait_until
from tests.support.servers import unique

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.interop.fleet import Fleet

PLACES = {
    "all ours": (CELERIAC, CELERIAC, CELERIAC, CELERIAC),
    "ours then theirs": (CELERIAC, CELERY, CELERIAC, CELERY),
    "theirs then ours": (CELERY, CELERIAC, CELERY, CELERIAC),
    "all theirs": (CELERY, CELERY, CELERY, CELERY),
}


NESTED = [14, [2, [3, 4]], [[2, 4], 2]]

senders = pytest.mark.parametrize("sender", [CELERY, CELERIAC])


@senders
@pytest.mark.parametrize("places", PLACES.values(), ids=PLACES)
def test_chain_is_forwarded_to_its_end(fleet: Fleet, sender: str, places: tuple[str, ...]) -> None:
    for library in set(places):
        fleet.worker(library)
    first = Sig("add", (1, 2), options={"queue": fleet.queue(places[0])})
    rest = [Sig("double", options={"queue": fleet.queue(place)}) for place in places[1:]]
    client = fleet.client(sender)
    last = client("chain", first, *rest)
    assert client("outcome", last).value == 24
    (record,) = fleet.ledger.records("double", id=last)
    assert record["library"] == places[-1]


def test_chain_kept_in_the_store_goes_on_after_steps_in_workers_of_celery(fleet: Fleet) -> None:
    for library in (CELERY, CELERIAC):
        fleet.worker(library)
    client = fleet.start_client(CELERIAC, task_graph_inline_max=0)
    try:
        ids = [f"{fleet.prefix}-kept-{number}" for number in range(8)]
        steps = [
            Sig("about", options={"queue": fleet.queue((CELERY, CELERIAC)[number % 2]), "task_id": task_id})
            for number, task_id in enumerate(ids)
        ]
        assert client("chain", *steps) == ids[-1]
        client("outcome", ids[-1])
        found = [client("outcome", task_id).value for task_id in ids]
    finally:
        client.close()
    assert {each["root_id"] for each in found} == {ids[0]}
    assert [each["parent_id"] for each in found] == [None, *ids[:-1]]


def test_chord_with_a_kept_body_and_parts_in_workers_of_both(fleet: Fleet) -> None:
    for library in (CELERY, CELERIAC):
        fleet.worker(library)
    client = fleet.start_client(CELERIAC, task_graph_inline_max=0)
    try:
        header = [Sig("add", (n, n), options={"queue": fleet.queue((CELERY, CELERIAC)[n % 2])}) for n in range(6)]
        body, _ = client("chord", header, Sig("total", options={"queue": fleet.queue(CELERIAC)}))
        assert client("outcome", body).value == 30
    finally:
        client.close()


def test_chain_kept_in_the_store_fails_where_only_workers_of_celery_are(fleet: Fleet) -> None:
    fleet.worker(CELERY)
    client = fleet.start_client(CELERIAC, task_graph_inline_max=0)
    try:
        step = Sig("double", options={"queue": fleet.queue(CELERY)})
        found = client(
            "outcome", client("chain", Sig("add", (1, 2), options={"queue": fleet.queue(CELERY)}), step, step)
        )
    finally:
        client.close()
    assert found.state == "FAILURE"
    assert found.error is not None
    assert found.error.name == "NotRegistered"


@senders
@pytest.mark.parametrize("runner", [CELERY, CELERIAC])
def test_chain_keeps_root_and_parent(fleet: Fleet, sender: str, runner: str) -> None:
    client = fleet.client(sender)
    fleet.worker(runner)
    queue, prefix = fleet.queue(runner), f"{fleet.prefix}-{sender}-{runner}"
    steps = [Sig("about", options={"queue": queue, "task_id": f"{prefix}-{n}"}) for n in range(3)]
    client("chain", *steps)
    found = [client("outcome", f"{prefix}-{n}").value for n in range(3)]
    assert {each["root_id"] for each in found} == {f"{prefix}-0"}
    assert [each["parent_id"] for each in found] == [None, f"{prefix}-0", f"{prefix}-1"]


@senders
@pytest.mark.parametrize("runner", [CELERY, CELERIAC])
def test_failure_in_a_chain_reaches_its_errback_and_all_steps_after_it(fleet: Fleet, sender: str, runner: str) -> None:
    client = fleet.client(sender)
    fleet.worker(runner)
    queue = fleet.queue(runner)
    failing = f"{fleet.prefix}-failing-{sender}-{runner}"
    error = Sig("errback", options={"queue": queue})
    last = client(
        "chain", Sig("add", (1, 2), options={"queue": queue}),
        Sig("fail", ("KeyError",), options={"queue": queue, "task_id": failing}, immutable=True),
        Sig("double", options={"queue": queue}), Sig("double", options={"queue": queue}), link_error=error,
    )  # fmt: skip
    for task_id in (failing, last):
        found = client("outcome", task_id)
        assert (found.state, found.error.name) == ("FAILURE", "KeyError")
    assert not fleet.ledger.count("double", id=last)


@senders
@pytest.mark.parametrize("runner", [CELERY, CELERIAC])
def test_group_at_the_end_of_a_chain(fleet: Fleet, sender: str, runner: str) -> None:
    client = fleet.client(sender)
    fleet.worker(runner)
    options = {"queue": fleet.queue(runner)}
    prefix = f"{fleet.prefix}-tail-{sender}-{runner}"
    double = [Sig("double", options={**options, "task_id": f"{prefix}-{n}"}) for n in range(2)]
    client("chain_into_group", Sig("add", (1, 2), options=options), *double)
    assert [client("outcome", f"{prefix}-{n}").value for n in range(2)] == [6, 6]


@senders
@pytest.mark.parametrize("runner", [CELERY, CELERIAC])
def test_starmap_runs_in_one_message(fleet: Fleet, sender: str, runner: str) -> None:
    client = fleet.client(sender)
    fleet.worker(runner)
    task_id = client("starmap", "add", [(1, 1), (2, 3)], queue=fleet.queue(runner))
    assert client("outcome", task_id).value == [2, 5]


@senders
def test_group_in_both_workers_is_collected(fleet: Fleet, sender: str) -> None:
    client = fleet.client(sender)
    members = []
    for number in range(10):
        library = (CELERY, CELERIAC)[number % 2]
        fleet.worker(library)
        members.append(Sig("add", (number, number), options={"queue": fleet.queue(library)}))
    group_id, ids = client("group", *members)
    assert client("group_values", group_id) == [2 * number for number in range(10)]
    assert len(ids) == 10


@senders
@pytest.mark.parametrize("places", PLACES.values(), ids=PLACES)
def test_chord_with_parts_in_workers_of_both(fleet: Fleet, sender: str, places: tuple[str, ...]) -> None:
    for library in set(places):
        fleet.worker(library)
    client = fleet.client(sender)
    header = [Sig("add", (n, n), options={"queue": fleet.queue(places[n % 3])}) for n in range(6)]
    body, _ = client("chord", header, Sig("total", options={"queue": fleet.queue(places[3])}))
    assert client("outcome", body).value == 30
    (record,) = fleet.ledger.records("total", id=body)
    assert record["library"] == places[3]


@senders
@pytest.mark.parametrize("runner", [CELERY, CELERIAC])
def test_failure_in_a_chord_fails_its_body(fleet: Fleet, sender: str, runner: str) -> None:
    client = fleet.client(sender)
    fleet.worker(runner)
    options = {"queue": fleet.queue(runner)}
    error = Sig("errback", options=options)
    header = [Sig("add", (1, 1), options=options), Sig("fail", ("KeyError",), options=options)]
    body, members = client("chord", header, Sig("total", options={**options, "link_error": [error]}))
    found = client("state", body)
    wait_until(lambda: client("state", body)[0] == "FAILURE", what="the body failed")
    found = client("state", body)[1]
    assert found.name == "ChordError"
    assert found.text == f"Dependency {members[1]} raised KeyError('k')"
    wait_until(lambda: fleet.ledger.count("errback", failed=body) == 1, what="the errback ran")


@senders
def test_chords_in_chains_and_chords(fleet: Fleet, sender: str) -> None:
    for library in (CELERY, CELERIAC):
        fleet.worker(library)
    client = fleet.client(sender)
    assert client("nested", fleet.queue(CELERY), fleet.queue(CELERIAC)) == NESTED
    assert client("nested", fleet.queue(CELERIAC), fleet.queue(CELERY)) == NESTED


@senders
@pytest.mark.parametrize("place", [CELERY, CELERIAC, "both"])
def test_workflows_of_all_kinds(fleet: Fleet, sender: str, place: str) -> None:
    for library in (CELERY, CELERIAC):
        fleet.worker(library)
    queue = fleet.common_queue if place == "both" else fleet.queue(place)
    names, key = [name for name in WORKFLOWS if place == CELERIAC or name not in NOT_IN_CELERY], unique()
    assert fleet.client(sender)("workflows", names, queue, key) == {name: WORKFLOWS[name][1] for name in names}
    wanted = {name: WORKFLOWS[name][2] for name in names}

    def written() -> dict[str, list[Any]]:
        records = fleet.ledger.records("noted")
        return {name: [each["value"] for each in records if each["key"] == f"{key}/{name}"] for name in names}

    total = sum(map(len, wanted.values()))
    wait_until(lambda: sum(map(len, written().values())) >= total, what="all links and errbacks ran")
    assert written() == wanted


def test_chord_of_a_client_whose_store_cannot_count(
    make_fleet: Callable[..., Fleet], redis_database: str, results_database: str
) -> None:
    fleet = make_fleet(
        broker_url=redis_database, result_backend=f"db+{results_database}", result_chord_retry_interval=0.2
    )
    queue, client = fleet.queue(CELERIAC), fleet.client(CELERY)
    worker = fleet.start_worker(CELERIAC)
    gate = fleet.gate()
    header = [Sig("gated", (str(gate),), options={"queue": queue}), Sig("echo", (1,), options={"queue": queue})]
    body, _ = client("chord", header, Sig("echo", options={"queue": queue}))
    wait_until(
        lambda: "celery.chord_unlock" in worker.log and "retry: Retry in 0.2s" in worker.log, what="a second look"
    )
    gate.touch()
    assert client("outcome", body).value == ["done", 1]
    assert fleet.ledger.count("echo", id=body) == 1
