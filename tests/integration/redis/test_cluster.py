"""Results in a Redis Cluster whose slots move and whose nodes end."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

from celeriac.backend import BackendOptions, ResultRecord, open_backend, redis_watch
from celeriac.backend.base import ChordPart, ChordProgress
from celeriac.drivers.resp_cluster import slot_of
from celeriac.exceptions import OperationalError
from tests.support import PATIENCE, servers, wait_until
from tests.support.cluster import Nodes, execute, private_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from celeriac.backend import ResultBackend


@pytest.fixture
def backend(redis_cluster: Nodes) -> Iterator[ResultBackend]:
    opened = open_backend(redis_cluster.url, BackendOptions(timeout=PATIENCE))
    yield opened
    opened.close()


def _slot(task_id: str) -> int:
    return slot_of(f"celery-task-meta-{task_id}")


def _id_of_first_primary(name: str) -> str:
    """A task id whose result the first primary keeps."""
    return next(f"{name}-{number}" for number in range(1000) if _slot(f"{name}-{number}") < 8000)


def test_results_are_shared_out_among_the_nodes(redis_cluster: Nodes, backend: ResultBackend, unique_name: str) -> None:
    ids = [f"{unique_name}-{number}" for number in range(100)]
    backend.store_many([ResultRecord(id_, "SUCCESS", id_) for id_ in ids])
    assert {id_: record.result for id_, record in backend.load_many(ids).items()} == {id_: id_ for id_ in ids}
    for port in redis_cluster.ports[:2]:
        assert any(execute(port, "CLUSTER", "COUNTKEYSINSLOT", _slot(id_)) for id_ in ids), (
            f"the node on port {port} keeps nothing"
        )
    backend.forget_many(ids)
    assert backend.load_many(ids) == {}


@pytest.mark.parametrize("serializer", ["json", "pickle"])
def test_results_are_found_while_their_slot_moves(redis_cluster: Nodes, unique_name: str, serializer: str) -> None:
    options = BackendOptions(
        serializer=serializer,
        accept=frozenset({"application/json", "application/x-python-serialize"}),
        timeout=PATIENCE,
    )
    backend = open_backend(redis_cluster.url, options)
    first, second, _ = redis_cluster.ports
    old = _id_of_first_primary(unique_name)
    backend.store_many([ResultRecord(old, "SUCCESS", 1)])
    for step in redis_cluster.move_slot(_slot(old), first, second):
        backend.store_many([ResultRecord(old, "FAILURE", ValueError(step))])
        assert backend.load_many([old])[old].result == 1, f"a success is kept while nodes say {step}"
        # Another key of the slot, which the node that gives it away has not got.
        backend.save_group(f"{{celery-task-meta-{old}}}-{step}", [step])
        assert backend.load_group(f"{{celery-task-meta-{old}}}-{step}") == [step]
    for _ in redis_cluster.move_slot(_slot(old), second, first):
        continue
    assert backend.load_many([old])[old].result == 1
    backend.close()


def test_a_chord_is_in_one_slot(backend: ResultBackend, unique_name: str) -> None:
    chords = [f"{unique_name}-{number}" for number in range(20)]
    for chord in chords:
        backend.open_chord(chord, 1)
        progress = backend.add_chord_parts(chord, [ChordPart("t", 0, "SUCCESS", 1)], b"body", lease=0.0)
        assert progress is ChordProgress.COMPLETE
    found: list[str] = []

    def all_taken() -> bool:
        found.extend(id_ for id_, _ in backend.take_chords(lease=600.0))
        return set(chords) <= set(found)

    wait_until(all_taken, what="complete chords of all slots are taken over")
    for chord in chords:
        backend.close_chord(chord)


def test_a_waiting_client_that_was_not_told_reads_again(
    redis_cluster: Nodes, backend: ResultBackend, unique_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_watch, "_READ_AGAIN_EVERY", 0.1)
    task_id = _id_of_first_primary(unique_name)
    got: list[ResultRecord] = []
    waiting = threading.Thread(target=lambda: got.extend(backend.watch([task_id], timeout=PATIENCE)))
    waiting.start()
    key = f"celery-task-meta-{task_id}"
    wait_until(
        lambda: any(execute(port, "PUBSUB", "CHANNELS", key) for port in redis_cluster.ports), what="the client listens"
    )
    # As when the connection between two nodes is broken: it is stored, and the notification is lost.
    meta = {"status": "SUCCESS", "result": 7, "traceback": None, "children": [], "task_id": task_id}
    execute(redis_cluster.ports[0], "SET", key, json.dumps(meta))
    waiting.join(PATIENCE)
    assert [record.result for record in got] == [7]


def test_results_and_waiting_clients_follow_a_new_primary(tmp_path: Path) -> None:
    with private_cluster(tmp_path) as nodes:
        worker, client = (open_backend(nodes.url, BackendOptions(timeout=PATIENCE)) for _ in range(2))
        before = [f"before-{number}" for number in range(20)]
        after = [f"after-{number}" for number in range(20)]
        worker.store_many([ResultRecord(id_, "SUCCESS", 1) for id_ in before])
        got: list[ResultRecord] = []
        waiting = threading.Thread(target=lambda: got.extend(client.watch(after, timeout=4 * PATIENCE)))
        waiting.start()
        nodes.replace_second()
        with pytest.raises(OperationalError):
            execute(nodes.ports[1], "SHUTDOWN", "NOSAVE")
        wait_until(lambda: not servers.answers("127.0.0.1", nodes.ports[1]), what="the old primary has ended")
        worker.store_many([ResultRecord(id_, "SUCCESS", 2) for id_ in after])
        waiting.join(4 * PATIENCE)
        assert sorted(record.task_id for record in got) == sorted(after)
        assert set(client.load_many([*before, *after])) == {*before, *after}
        worker.close()
        client.close()


def test_a_single_server_is_an_error_that_says_so(redis_url: str) -> None:
    url = redis_url.replace("redis://", "redis+cluster://").rpartition("/")[0]
    with pytest.raises(OperationalError, match=r"is no node of a cluster.*begins with redis://"):
        open_backend(url).load_many(["t"])


def test_the_url_of_a_single_server_is_an_error_on_a_node(redis_cluster: Nodes) -> None:
    backend = open_backend(f"redis://127.0.0.1:{redis_cluster.ports[0]}/0")
    with pytest.raises(OperationalError, match=r"redis\+cluster://"):
        backend.load_many([f"t{number}" for number in range(10)])
