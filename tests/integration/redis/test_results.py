"""Results in Redis: their keys, and waiting for them."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import threading
import time
import tracemalloc
import uuid
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.backend import BackendOptions, ChordPart, ChordProgress, ResultRecord
from celeriac.backend.notifier import stop_lingering
from celeriac.backend.redis import RedisBackend
from celeriac.exceptions import ImproperlyConfigured, OperationalError, TimeoutError
from celeriac.result import AsyncResult, ResultSet
from tests.support import PATIENCE, SLACK, servers, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celeriac.drivers.resp import RespConnection

    OpenBackend = Callable[..., RedisBackend]


@pytest.fixture
def open_backend(redis_url: str) -> Iterator[OpenBackend]:
    """Opens backends with given options; closes them at the end."""
    opened: list[RedisBackend] = []

    def open_(url: str = redis_url, **options: Any) -> RedisBackend:
        opened.append(RedisBackend(url, BackendOptions(**options)))
        return opened[-1]

    yield open_
    for backend in opened:
        backend.close()


def success(task_id: str, result: Any = None) -> ResultRecord:
    return ResultRecord(task_id, "SUCCESS", result)


def channels(server: RespConnection, pattern: str = "*") -> list[bytes]:
    found: list[bytes] = server.execute("PUBSUB", "CHANNELS", pattern)
    return found


def subscribers(server: RespConnection) -> int:
    clients: bytes = server.execute("CLIENT", "LIST", "TYPE", "pubsub")
    return len(clients.splitlines())


# --- keys


def test_keys_and_lifetimes_are_those_of_celery(open_backend: OpenBackend, server: RespConnection) -> None:
    backend = open_backend(expires=100.0, failure_expires=200.0)
    backend.store_many([success("t1", 5), ResultRecord("t2", "FAILURE", ValueError("x"))])
    backend.save_group("g", [["g", None], []])
    assert set(server.execute("KEYS", "*")) == {
        b"celery-task-meta-t1", b"celery-task-meta-t2", b"celery-taskset-meta-g",
    }  # fmt: skip
    assert server.execute("GET", "celery-task-meta-t1") == (
        b'{"status": "SUCCESS", "result": 5, "traceback": null, "children": null, "date_done": null, "task_id": "t1"}'
    )
    assert server.execute("GET", "celery-taskset-meta-g") == b'{"result": [["g", null], []]}'
    lifetimes = [server.execute("TTL", f"celery-task-meta-{task_id}") for task_id in ("t1", "t2")]
    lifetimes.append(server.execute("TTL", "celery-taskset-meta-g"))
    assert all(given - SLACK <= left <= given for left, given in zip(lifetimes, (100, 200, 100), strict=True))


@pytest.mark.parametrize("expires", [None, 0])
def test_results_without_expiry_have_no_lifetime(
    open_backend: OpenBackend, server: RespConnection, expires: float | None
) -> None:
    open_backend(expires=expires).store_many([success("t")])
    assert server.execute("TTL", "celery-task-meta-t") == -1


@pytest.mark.parametrize(("prefix", "expected"), [("app", b"app_"), ("app:", b"app:"), ("a.", b"a."), ("", b"")])
def test_keys_and_channels_have_the_global_prefix(
    open_backend: OpenBackend, server: RespConnection, prefix: str, expected: bytes
) -> None:
    backend = open_backend(transport_options={"global_keyprefix": prefix})
    backend.store_many([success("t", 1)])
    assert server.execute("KEYS", "*") == [expected + b"celery-task-meta-t"]
    assert [record.result for record in backend.watch(["t"], timeout=PATIENCE)] == [1]


def test_what_is_stored_is_published_too(open_backend: OpenBackend, server: RespConnection) -> None:
    server.send(b"SUBSCRIBE celery-task-meta-t\r\n", time.monotonic() + PATIENCE)
    assert server.wait_push(time.monotonic() + PATIENCE) == [b"subscribe", b"celery-task-meta-t", 1]
    open_backend().store_many([success("t", 1)])
    push = server.wait_push(time.monotonic() + PATIENCE)
    assert push is not None
    assert push[2].startswith(b'{"status": "SUCCESS", "result": 1,')


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("serializer", ["json", "pickle", "yaml", "msgpack"])
def test_success_is_kept_in_every_form(open_backend: OpenBackend, serializer: str, compression: str | None) -> None:
    types = {"pickle": "x-python-serialize", "yaml": "x-yaml", "msgpack": "x-msgpack"}
    accept = frozenset({f"application/{types.get(serializer, serializer)}"})
    backend = open_backend(serializer=serializer, accept=accept, compression=compression)
    backend.store_many([success("a", "kept"), success("b", "kept")])
    later = [ResultRecord("a", "STARTED"), ResultRecord("b", "FAILURE", ValueError()), ResultRecord("c", "STARTED")]
    backend.store_many([*later, success("c", "new")])
    found = backend.load_many(["a", "b", "c"])
    assert [found[task_id].result for task_id in "abc"] == ["kept", "kept", "new"]


def test_compressed_results_race_without_losing_success(open_backend: OpenBackend) -> None:
    backend = open_backend(compression="gzip")
    ids = [f"t{number}" for number in range(50)]

    def fail() -> None:
        for task_id in ids:
            backend.store_many([ResultRecord(task_id, "FAILURE", ValueError())])

    threads = [threading.Thread(target=fail) for _ in range(3)]
    for thread in threads:
        thread.start()
    for task_id in ids:
        backend.store_many([success(task_id)])
    for thread in threads:
        thread.join()
    assert {record.status for record in backend.load_many(ids).values()} == {"SUCCESS"}


def test_scripts_are_given_to_the_server_again(open_backend: OpenBackend, server: RespConnection) -> None:
    backend = open_backend()
    for number in range(3):
        server.execute("SCRIPT", "FLUSH")
        backend.store_many([success("t", number)])
    assert backend.load_many(["t"])["t"].result == 2


def test_address_comes_from_settings_where_the_url_has_none(redis_url: str, open_backend: OpenBackend) -> None:
    host, _, rest = redis_url.removeprefix("redis://").partition(":")
    port, _, db = rest.partition("/")
    settings = {"redis_host": host, "redis_port": int(port), "redis_db": int(db), "redis_client_name": "me"}
    backend = open_backend("redis", settings=settings)
    backend.store_many([success("t", 1)])
    assert open_backend().load_many(["t"])["t"].result == 1
    assert open_backend("redis://", settings=settings).load_many(["t"])["t"].result == 1


def test_unusable_options_are_refused(open_backend: OpenBackend) -> None:
    with pytest.raises(ImproperlyConfigured, match="no_such_option"):
        open_backend("redis://", transport_options={"no_such_option": 1})


# --- waiting


def test_a_wait_leaves_nothing_subscribed(open_backend: OpenBackend, server: RespConnection) -> None:
    backend = open_backend()
    backend.store_many([success("a")])
    assert len(list(backend.watch(["a"], timeout=PATIENCE))) == 1
    with pytest.raises(TimeoutError):
        list(backend.watch(["b", "c"], timeout=0.05))
    abandoned = backend.watch(["a", "d"], timeout=PATIENCE)
    next(abandoned)
    # Channels know no databases: other tests of this process may still listen to theirs.
    ours = "celery-task-meta-[abcd]"
    wait_until(lambda: len(channels(server, ours)) == 2)
    del abandoned
    gc.collect()
    wait_until(lambda: channels(server, ours) == [])


def test_threads_share_one_connection(open_backend: OpenBackend, server: RespConnection) -> None:
    backend, worker = open_backend(), open_backend()
    found: list[str] = []

    def wait(name: str) -> None:
        ids = [f"{name}-{number}" for number in range(5)] + ["common"]
        found.extend(record.task_id for record in backend.watch(ids, timeout=PATIENCE))

    threads = [threading.Thread(target=wait, args=(f"w{number}",)) for number in range(12)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(channels(server)) == 61)
    assert subscribers(server) == 1
    ids = [f"w{number}-{k}" for k in range(5) for number in range(12)]
    for task_id in [*ids[:30], "common", *ids[30:]]:
        worker.store_many([success(task_id)])
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(found) == sorted([*ids, *["common"] * 12])
    wait_until(lambda: channels(server) == [])


def test_a_wait_that_ends_hands_the_reading_over(open_backend: OpenBackend, server: RespConnection) -> None:
    backend, worker = open_backend(), open_backend()
    found: list[str] = []

    def wait(timeout: float, task_id: str) -> None:
        try:
            found.extend(record.task_id for record in backend.watch([task_id], timeout=timeout))
        except TimeoutError:
            return

    reader = threading.Thread(target=wait, args=(0.3, "never"))
    reader.start()
    wait_until(lambda: channels(server))
    others = [threading.Thread(target=wait, args=(PATIENCE, "later")) for _ in range(3)]
    for thread in others:
        thread.start()
    reader.join()
    worker.store_many([success("later")])
    for thread in others:
        thread.join(PATIENCE)
    assert found == ["later"] * 3


@pytest.mark.parametrize("count", [1, 3])
def test_waits_survive_a_lost_connection(
    open_backend: OpenBackend, server: RespConnection, redis_url: str, count: int
) -> None:
    backend, worker = open_backend(), open_backend()
    found: list[str] = []

    def wait() -> None:
        found.extend(record.task_id for record in backend.watch(["a", "b"], timeout=PATIENCE))

    threads = [threading.Thread(target=wait) for _ in range(count)]
    for thread in threads:
        thread.start()
    wait_until(lambda: channels(server))
    # Stored without being published: only reading again after the loss can find it.
    server.execute("SET", "celery-task-meta-a", '{"status": "SUCCESS", "result": 1, "task_id": "a"}')
    for _ in range(3):
        servers.redis_command(redis_url, "CLIENT", "KILL", "TYPE", "pubsub")
        wait_until(lambda: subscribers(server) == 1)
    worker.store_many([success("b")])
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(found) == ["a"] * count + ["b"] * count


def test_an_idle_connection_that_was_closed_is_replaced(open_backend: OpenBackend, redis_url: str) -> None:
    backend = open_backend()
    backend.store_many([success("t")])
    for _ in range(3):
        assert len(list(backend.watch(["t"], timeout=PATIENCE))) == 1
        servers.redis_command(redis_url, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        servers.redis_command(redis_url, "CLIENT", "KILL", "TYPE", "pubsub")


def test_a_forked_child_waits_for_itself(open_backend: OpenBackend, server: RespConnection) -> None:
    backend = open_backend()
    backend.store_many([success("before")])
    list(backend.watch(["before"], timeout=PATIENCE))
    held = backend.watch(["never", "before"], timeout=PATIENCE)
    next(held)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        status = 1
        try:
            backend.store_many([success("child")])
            if [record.task_id for record in backend.watch(["child"], timeout=PATIENCE)] == ["child"]:
                status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert len(channels(server)) == 2
    backend.store_many([success("never", 7)])
    assert [record.result for record in held] == [7]


def test_very_many_results_at_once(open_backend: OpenBackend, server: RespConnection) -> None:
    backend, worker = open_backend(), open_backend()
    ids = [str(uuid.uuid4()) for _ in range(5000)]
    worker.store_many([success(task_id) for task_id in ids[:2500]])

    def store() -> None:
        worker.store_many([success(task_id) for task_id in ids[2500:]])

    timer = threading.Timer(0.1, store)
    timer.start()
    assert {record.task_id for record in backend.watch(ids, timeout=PATIENCE)} == set(ids)
    timer.join()
    wait_until(lambda: channels(server) == [])


def test_waiting_for_an_unreachable_server_is_an_error(open_backend: OpenBackend) -> None:
    backend = open_backend(f"redis://127.0.0.1:{servers.free_port()}/0", connect_timeout=0.5)
    started = time.monotonic()
    with pytest.raises(OperationalError):
        list(backend.watch(["t"], timeout=PATIENCE))
    assert time.monotonic() - started < 0.5 + SLACK


def test_waiting_without_resp3_says_so(open_backend: OpenBackend, redis_url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="Redis 6"):
        list(open_backend(f"{redis_url}?protocol=2").watch(["t"], timeout=PATIENCE))


def test_a_closed_backend_leaves_no_connection(open_backend: OpenBackend, server: RespConnection) -> None:
    backend = open_backend()
    backend.store_many([success("t")])
    list(backend.watch(["t"], timeout=PATIENCE))
    assert subscribers(server) == 0
    clients = len(server.execute("CLIENT", "LIST").splitlines())
    backend.close()
    wait_until(lambda: len(server.execute("CLIENT", "LIST").splitlines()) == clients - 2)


# --- coroutines, large groups, large results


def test_awaiting_leaves_nothing_subscribed(open_backend: OpenBackend, server: RespConnection) -> None:
    backend, worker = open_backend(), open_backend()
    ids = [str(uuid.uuid4()) for _ in range(300)]

    async def main() -> None:
        # Nobody waits yet: nothing is subscribed to.
        results: list[AsyncResult[int]] = [AsyncResult(task_id, backend=backend) for task_id in ids]
        assert channels(server) == []
        assert subscribers(server) == 0
        waiting = [asyncio.ensure_future(result.aget(timeout=PATIENCE)) for result in results]
        await asyncio.to_thread(wait_until, lambda: len(channels(server)) == 300)
        assert subscribers(server) == 1
        waiting.pop().cancel()
        await asyncio.to_thread(wait_until, lambda: len(channels(server)) == 299)
        await asyncio.to_thread(worker.store_many, [success(task_id, 1) for task_id in ids])
        assert await asyncio.gather(*waiting) == [1] * 299
        await asyncio.to_thread(wait_until, lambda: channels(server) == [])

    asyncio.run(main())
    stop_lingering(backend)


def test_coroutines_and_threads_share_one_connection(open_backend: OpenBackend, server: RespConnection) -> None:
    backend, worker = open_backend(), open_backend()
    found: list[str] = []

    def wait(task_id: str) -> None:
        found.extend(record.task_id for record in backend.watch([task_id], timeout=PATIENCE))

    threads = [threading.Thread(target=wait, args=(f"thread{number}",)) for number in range(3)]
    for thread in threads:
        thread.start()

    async def main() -> list[str]:
        names = [f"coroutine{number}" for number in range(3)]
        results: list[AsyncResult[str]] = [AsyncResult(name, backend=backend) for name in names]
        waiting = asyncio.gather(*(result.aget(timeout=PATIENCE) for result in results))
        await asyncio.to_thread(wait_until, lambda: len(channels(server)) == 6)
        assert subscribers(server) == 1
        for number in range(3):
            await asyncio.to_thread(worker.store_many, [success(f"coroutine{number}", "c"), success(f"thread{number}")])
        return await waiting

    assert asyncio.run(main()) == ["c"] * 3
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(found) == ["thread0", "thread1", "thread2"]
    wait_until(lambda: channels(server) == [])
    stop_lingering(backend)


def test_coroutines_survive_a_lost_connection(
    open_backend: OpenBackend, server: RespConnection, redis_url: str
) -> None:
    backend, worker = open_backend(), open_backend()

    async def main() -> Any:
        result: AsyncResult[int] = AsyncResult("a", backend=backend)
        waiting = asyncio.ensure_future(result.aget(timeout=PATIENCE))
        await asyncio.to_thread(wait_until, lambda: len(channels(server)) == 1)
        servers.redis_command(redis_url, "CLIENT", "KILL", "TYPE", "pubsub")
        worker.store_many([success("a", 1)])
        return await waiting

    assert asyncio.run(main()) == 1
    stop_lingering(backend)


def test_a_large_group_is_streamed_in_bounded_memory(open_backend: OpenBackend, server: RespConnection) -> None:
    backend, worker = open_backend(), open_backend()
    ids = [str(uuid.uuid4()) for _ in range(20_000)]
    payload = "x" * 500
    group = ResultSet([AsyncResult(task_id, backend=backend) for task_id in ids])
    for start in range(0, len(ids), 1000):
        worker.store_many([success(task_id, payload) for task_id in ids[start : start + 1000]])
    seen = 0
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _, meta in group.iter_native(timeout=PATIENCE):
            assert meta["result"] == payload
            seen += 1
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert seen == 20_000
    # The results alone would take ten.
    assert grown < 5_000_000
    wait_until(lambda: channels(server) == [])


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_results_beyond_what_the_server_sends_to_subscribers(
    open_backend: OpenBackend, server: RespConnection, when: str
) -> None:
    server.execute("CONFIG", "SET", "client-output-buffer-limit", "pubsub 2mb 1mb 60")
    try:
        backend, worker = open_backend(), open_backend()
        ids = [str(uuid.uuid4()) for _ in range(40)]
        records = [success(task_id, "x" * 200_000) for task_id in ids]
        timer = threading.Timer(0.1 if when == "meanwhile" else 0.0, worker.store_many, [records])
        timer.start()
        if when == "before":
            timer.join(PATIENCE)
        assert {record.task_id for record in backend.watch(ids, timeout=PATIENCE)} == set(ids)
        timer.join(PATIENCE)
    finally:
        server.execute("CONFIG", "SET", "client-output-buffer-limit", "pubsub 32mb 8mb 60")


def test_parts_of_an_unordered_chord_come_as_they_ended(open_backend: OpenBackend, server: RespConnection) -> None:
    backend = open_backend(transport_options={"result_chord_ordered": False})
    backend.open_chord("c", 3)
    parts = [ChordPart(f"t{index}", index, "SUCCESS", index) for index in range(3)]
    for index in (2, 0):
        told = backend.add_chord_parts("c", [parts[index]], None, lease=3600.0)
        assert told is ChordProgress.RECORDED
    assert server.execute("TYPE", "celery-taskset-meta-c.j") == b"list"
    assert backend.add_chord_parts("c", [parts[1]], None, lease=3600.0) is ChordProgress.BODY_WANTED
    assert backend.add_chord_parts("c", [parts[1]], b"body", lease=3600.0) is ChordProgress.COMPLETE
    loaded = backend.load_chord("c")
    assert loaded is not None
    assert [part.result for part in loaded] == [2, 0, 1]
    backend.close_chord("c")


@pytest.mark.parametrize("ids", [("a", "abc"), ("SUCCESS", "1")])
def test_parts_are_stored_as_celery_stores_them_whatever_their_ids(
    open_backend: OpenBackend, server: RespConnection, ids: tuple[str, str]
) -> None:
    backend = open_backend()
    backend.open_chord("c", 3)
    backend.add_chord_parts(
        "c", [ChordPart(each, n, "SUCCESS", each) for n, each in enumerate(ids)], None, lease=3600.0
    )
    stored = server.execute("ZRANGE", "celery-taskset-meta-c.j", 0, -1)
    assert [json.loads(each) for each in stored] == [[1, each, "SUCCESS", each] for each in ids]
    members = server.execute("SMEMBERS", "celery-taskset-meta-c.d")
    assert sorted(members) == sorted(f"{each}:{n}".encode() for n, each in enumerate(ids))
