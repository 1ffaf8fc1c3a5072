"""Results in a Redis that sentinels watch."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from celeriac.backend import BackendOptions, ResultRecord, open_backend
from celeriac.exceptions import OperationalError
from tests.support import PATIENCE, servers, wait_until
from tests.support.sentinel import NAME, Watched, private_sentinel
from tests.support.worker import Workshop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from celeriac.backend import ResultBackend


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with private_sentinel(tmp_path_factory.mktemp("sentinel")) as servers_:
        yield servers_


def _open(url: str, **options: object) -> ResultBackend:
    return open_backend(url, BackendOptions(transport_options={"master_name": NAME, **options}))


def test_results_and_waiting_clients_follow_the_primary(watched: Watched) -> None:
    worker, client = _open(watched.url), _open(watched.url)
    worker.store_many([ResultRecord("before", "SUCCESS", 1)])
    assert [record.result for record in client.watch(["before"], timeout=PATIENCE)] == [1]
    got: list[ResultRecord] = []
    waiting = threading.Thread(target=lambda: got.extend(client.watch(["after"], timeout=4 * PATIENCE)))
    waiting.start()

    watched.fail_over()

    def stored() -> bool:
        try:
            worker.store_many([ResultRecord("after", "SUCCESS", 2)])
        except OperationalError:
            return False
        return True

    wait_until(stored, what="results are stored in the new primary")
    waiting.join(4 * PATIENCE)
    assert [record.result for record in got] == [2]
    assert set(client.load_many(["before", "after"])) == {"before", "after"}
    worker.close()
    client.close()


def test_a_sentinel_that_does_not_answer_is_passed_over(watched: Watched) -> None:
    backend = _open(f"sentinel://127.0.0.1:{servers.free_port()};{watched.url}")
    backend.store_many([ResultRecord("t", "SUCCESS")])
    assert set(backend.load_many(["t"])) == {"t"}
    backend.close()


def test_a_primary_nobody_watches_is_an_error_that_names_the_option(watched: Watched) -> None:
    backend = open_backend(watched.url, BackendOptions(transport_options={"master_name": "other"}))
    with pytest.raises(OperationalError, match="no primary called 'other': see master_name"):
        backend.load_many(["t"])


def test_too_few_sentinels_are_an_error(watched: Watched) -> None:
    with pytest.raises(OperationalError, match="knows 0 others, fewer than the 2 of min_other_sentinels"):
        _open(watched.url, min_other_sentinels=2).load_many(["t"])


def test_workers_and_clients_follow_the_primary(watched: Watched, tmp_path: Path) -> None:
    settings = {
        "broker_url": f"sentinel://127.0.0.1:{servers.free_port()};{watched.url}",
        "broker_transport_options": {"master_name": NAME},
        "result_backend": watched.url,
        "result_backend_transport_options": {"master_name": NAME},
        "broker_lease": 3.0,
        "broker_sweep_interval": 0.5,
    }
    workshop = Workshop(settings, tmp_path, {})
    try:
        workshop.start()
        work = workshop.task("work")
        before = [work.delay() for _ in range(20)]
        assert [result.get(timeout=PATIENCE) for result in before] == [result.id for result in before]
        delayed = work.apply_async(countdown=3)

        watched.fail_over()

        def published() -> str | None:
            try:
                return str(work.delay().id)
            except OperationalError:
                return None

        task_id = wait_until(published, what="a task is published to the new primary")
        assert workshop.app.AsyncResult(str(task_id)).get(timeout=PATIENCE) == task_id
        assert delayed.get(timeout=PATIENCE) == delayed.id
        assert set(workshop.ledger.by_id("end")) >= {result.id for result in before}
    finally:
        workshop.close()
