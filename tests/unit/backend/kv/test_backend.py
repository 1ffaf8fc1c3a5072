"""The backend and its watcher, over a store in a dict."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from celeriac.backend import BackendOptions, ResultRecord
from celeriac.backend.kv.backend import KeyValueBackend
from celeriac.backend.kv.driver import Entry, Stored
from celeriac.backend.kv.watcher import Waiter, Watcher
from celeriac.exceptions import BackendGetMetaError, BackendStoreError, OperationalError, TimeoutError
from celeriac.utils.per_process import PerProcess
from tests.support import PATIENCE, wait_until
from tests.unit.backend.kv.dict_driver import DictDriver

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.fixture
def driver() -> DictDriver:
    return DictDriver()


@pytest.fixture
def backend(driver: DictDriver) -> KeyValueBackend:
    return KeyValueBackend(driver, BackendOptions())


def test_a_success_that_comes_between_look_and_write_is_kept(driver: DictDriver, backend: KeyValueBackend) -> None:
    backend.store_many([ResultRecord("t", "STARTED")])

    def intrude(entry: Entry) -> None:
        driver.before_write = lambda entry: None
        backend.store_many([ResultRecord("t", "SUCCESS", 1)])

    # The first write finds STARTED; the second, which expects it, comes too late.
    driver.before_write = lambda entry: setattr(driver, "before_write", intrude)
    backend.store_many([ResultRecord("t", "RETRY")])
    assert backend.load_many(["t"])["t"].status == "SUCCESS"


def test_a_state_that_is_outrun_for_ever_is_an_error(driver: DictDriver, backend: KeyValueBackend) -> None:
    def intrude(entry: Entry) -> None:
        version = driver.kept[entry.key].version if entry.key in driver.kept else 0
        driver.kept[entry.key] = Stored(b'{"status": "STARTED", "result": null}', version + 1)

    driver.before_write = intrude
    with pytest.raises(BackendStoreError, match="20 times in a row"):
        backend.store_many([ResultRecord("t", "RETRY")])


def test_of_several_states_of_a_task_in_a_batch_one_is_written(driver: DictDriver, backend: KeyValueBackend) -> None:
    writes: list[Entry] = []
    driver.before_write = writes.append
    backend.store_many([ResultRecord("t", status) for status in ("STARTED", "SUCCESS", "RETRY")])
    assert len(writes) == 1
    assert backend.load_many(["t"])["t"].status == "SUCCESS"


def test_the_prefix_of_all_keys_is_celerys(driver: DictDriver) -> None:
    backend = KeyValueBackend(driver, BackendOptions(transport_options={"global_keyprefix": "one"}))
    backend.store_many([ResultRecord("t", "SUCCESS")])
    backend.save_group("g", [["g", None], []])
    assert set(driver.kept) == {"one_celery-task-meta-t", "one_celery-taskset-meta-g"}


def test_threads_that_wait_share_reads(driver: DictDriver, backend: KeyValueBackend) -> None:
    ids = [f"t{number}" for number in range(20)]
    got: list[str] = []

    def wait(task_id: str) -> None:
        got.extend(record.task_id for record in backend.watch([task_id], timeout=PATIENCE))

    threads = [threading.Thread(target=wait, args=(task_id,)) for task_id in ids]
    for thread in threads:
        thread.start()
    wait_until(lambda: any(len(keys) == len(ids) for keys in driver.reads), what="one read for all")
    backend.store_many([ResultRecord(task_id, "SUCCESS") for task_id in ids])
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(got) == sorted(ids)


def test_an_error_of_the_store_reaches_everybody_who_waits(driver: DictDriver, backend: KeyValueBackend) -> None:
    errors: list[Exception] = []
    lost = threading.Event()
    original = driver.read

    def read(keys: Sequence[str]) -> dict[str, Stored]:
        if lost.is_set():
            raise OperationalError("gone")
        return original(keys)

    driver.read = read  # type: ignore[method-assign]

    def wait(task_id: str) -> None:
        try:
            list(backend.watch([task_id], timeout=PATIENCE))
        except OperationalError as error:
            errors.append(error)

    threads = [threading.Thread(target=wait, args=(f"t{number}",)) for number in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: any(len(keys) == 3 for keys in driver.reads), what="all of them wait")
    lost.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(errors) == 3


def test_a_malformed_result_is_no_matter_to_those_who_wait_for_others(
    driver: DictDriver, backend: KeyValueBackend
) -> None:
    driver.kept["celery-task-meta-bad"] = Stored(b"{truncated", 1)
    backend.store_many([ResultRecord("good", "SUCCESS")])
    errors: list[BackendGetMetaError] = []

    def wait() -> None:
        with pytest.raises(BackendGetMetaError) as caught:
            list(backend.watch(["bad"], timeout=PATIENCE))
        errors.append(caught.value)

    thread = threading.Thread(target=wait)
    thread.start()
    assert [record.task_id for record in backend.watch(["good"], timeout=PATIENCE)] == ["good"]
    thread.join(PATIENCE)
    assert [error.task_id for error in errors] == ["bad"]


def test_a_wait_without_time_reads_once(driver: DictDriver, backend: KeyValueBackend) -> None:
    backend.store_many([ResultRecord("t", "SUCCESS")])
    assert [record.task_id for record in backend.watch(["t"], timeout=0)] == ["t"]
    with pytest.raises(TimeoutError, match="task u was not ready after 0 s"):
        list(backend.watch(["u"], timeout=0))


def test_pauses_grow_with_the_time_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    waiter = Waiter(["k"])
    began = waiter._moved_at
    pauses = []
    for waited in (0.01, 1.0, 4.0, 100.0):
        waiter.take_in({}, began + waited, cost=0.0)
        pauses.append(round(waiter.due_at(0.5) - (began + waited), 6))
    assert pauses == [0.005, 0.1, 0.4, 0.5]


def test_a_costly_read_is_followed_by_rest() -> None:
    waiter = Waiter(["k"])
    waiter.take_in({}, waiter._moved_at + 1.0, cost=2.0)
    assert waiter.due_at(0.5) == waiter._moved_at + 1.0 + 4.0
    assert waiter.rested_at() == waiter.due_at(0.5)


def test_nothing_is_left_when_nobody_waits(driver: DictDriver) -> None:
    watcher = Watcher(driver.read, driver)
    assert watcher.wait(Waiter(["k"]), deadline=0.0) == {}
    assert (watcher._waiting, watcher._reader, watcher._news) == ([], None, None)


def test_threads_that_come_at_the_same_time_share_a_client() -> None:
    made: list[object] = []
    started = threading.Barrier(4)

    def make() -> object:
        made.append(object())
        return made[-1]

    shared = PerProcess(make, lambda client: None)

    def get() -> object:
        started.wait(PATIENCE)
        return shared.get()

    with ThreadPoolExecutor(4) as pool:
        got = [future.result() for future in [pool.submit(get) for _ in range(4)]]
    assert len(made) == 1
    assert set(map(id, got)) == {id(made[0])}
