"""The contract of result backends: storing, loading, waiting, expiring."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
import uuid
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.backend import BackendOptions, ResultBackend, ResultRecord, open_backend
from celeriac.backend.notifier import Notifier, stop_lingering
from celeriac.exceptions import BackendError, OperationalError, TimeoutError
from celeriac.result import AsyncResult, ResultSet
from celeriac.testing.contracts.broker_subject import PATIENCE, SLACK, soon_noticed, until
from celeriac.utils.dataclass import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from celeriac.backend.base import ResultWatch


@dataclass
class BackendUnderTest:
    """A result backend to test, and how a test interferes with it from outside.

    Attributes:
        url: URL of a store that nobody else uses.
        open: Makes the backend; `open_backend` unless the driver is not in its table.
        options: `BackendOptions` that this backend needs.
        reaction: Seconds within which a waiting client notices a result, as a median of nine in a row.
        put_malformed: Stores something that is no result under a task id; None if it cannot hold such a thing.
        largest: Bytes of a value that it keeps; a mebibyte unless the store has a lower limit.
        batch: Results stored at once by one test; fewer for emulators that take milliseconds for each.
        chord: Parts of the largest chord of a test; fewer for the same reason.
        disconnect: Ends every connection from the server's side; None without a server.
        url_at_port: The URL of such a store on a port of this host; None without a server.
    """

    url: str
    open: Callable[[str, BackendOptions], ResultBackend] = open_backend
    options: Mapping[str, Any] = field(default_factory=dict)
    reaction: float = 0.25
    put_malformed: Callable[[str], None] | None = None
    largest: int = 1 << 20
    batch: int = 1000
    chord: int = 10_000
    disconnect: Callable[[], None] | None = None
    url_at_port: Callable[[int], str] | None = None

    def backend(self, url: str | None = None, **options: Any) -> ResultBackend:
        """A backend with these `BackendOptions`."""
        return self.open(url or self.url, BackendOptions(**{**self.options, **options}))


def record_of(backend: ResultBackend, task_id: str, status: str = "SUCCESS", **fields: Any) -> ResultRecord:
    """A record of a task whose client expects it."""
    ready = status in ("SUCCESS", "FAILURE", "REVOKED")
    fields.setdefault("date_done", "2026-01-02T03:04:05.000006+00:00" if ready else None)
    fields.setdefault("reply_to", backend.expect([task_id]))
    return ResultRecord(task_id, status, correlation_id=task_id, **fields)


def new_id() -> str:
    """The id of a new task."""
    return str(uuid.uuid4())


def load(backend: ResultBackend, task_id: str) -> ResultRecord:
    """What is stored about one task; fails when nothing is."""
    found: ResultRecord = until(lambda: backend.load_many([task_id]).get(task_id), "the result is there")
    return found


def told(watch: ResultWatch) -> list[str]:
    """The ids that a watch tells next."""
    records: list[ResultRecord] = until(lambda: watch.wait(1.0), "the watch tells something")
    return [record.task_id for record in records]


class BackendContract:
    """What every backend does. Subclasses provide the fixture `subject`."""

    @pytest.fixture
    def subject(self) -> BackendUnderTest:
        """The backend to test."""
        raise NotImplementedError("a subclass of BackendContract provides the fixture `subject`")

    @pytest.fixture
    def backend(self, subject: BackendUnderTest) -> Iterator[ResultBackend]:
        """An open backend."""
        backend = subject.backend()
        yield backend
        backend.close()

    # Storing and loading

    def test_an_unknown_task_is_missing(self, backend: ResultBackend) -> None:
        assert backend.load_many([new_id(), new_id()]) == {}
        assert backend.load_many([]) == {}

    def test_a_record_is_loaded_as_it_was_stored(self, backend: ResultBackend) -> None:
        stored = record_of(
            backend,
            new_id(),
            result={"value": [1, 2.5, None, True, "č 漢 🎈"]},
            children=[[["child", None], None]],
            group_id="a-group",
            parent_id="a-parent",
        )
        backend.store_many([stored])
        got = load(backend, stored.task_id)
        assert got.task_id == stored.task_id
        assert (got.status, got.result, got.traceback) == ("SUCCESS", stored.result, None)
        assert got.children == [[["child", None], None]]
        assert got.date_done is not None
        assert got.date_done.startswith("2026-01-02T03:04:05")

    def test_an_exception_is_rebuilt(self, backend: ResultBackend) -> None:
        task_id = new_id()
        failure = ValueError("bad", 3)
        backend.store_many([record_of(backend, task_id, "FAILURE", result=failure, traceback="Traceback …")])
        got = load(backend, task_id)
        assert type(got.result) is ValueError
        assert got.result.args == ("bad", 3)
        assert (got.status, got.traceback) == ("FAILURE", "Traceback …")

    @pytest.mark.parametrize("result", [None, 0, "", [], {}, "large"], ids=repr)
    def test_any_value_survives(self, subject: BackendUnderTest, backend: ResultBackend, result: Any) -> None:
        task_id = new_id()
        if result == "large":
            result = "x" * subject.largest
        backend.store_many([record_of(backend, task_id, result=result)])
        assert load(backend, task_id).result == result

    def test_custom_states_keep_their_data(self, backend: ResultBackend) -> None:
        task_id = new_id()
        backend.store_many([record_of(backend, task_id, "PROGRESS", result={"done": 3})])
        got = load(backend, task_id)
        assert (got.status, got.result, got.date_done) == ("PROGRESS", {"done": 3}, None)

    def test_extra_fields_are_kept(self, backend: ResultBackend) -> None:
        task_id = new_id()
        extra = {
            "name": "proj.add",
            "args": [1],
            "kwargs": {"y": 2},
            "worker": "w1@host",
            "retries": 2,
            "queue": "celery",
        }
        backend.store_many([record_of(backend, task_id, extra=extra)])
        got = load(backend, task_id).extra or {}
        assert {name: got.get(name) for name in ("name", "worker", "retries", "queue")} == {
            "name": "proj.add",
            "worker": "w1@host",
            "retries": 2,
            "queue": "celery",
        }

    def test_records_are_stored_in_order(self, backend: ResultBackend) -> None:
        task_id = new_id()
        states = ["STARTED", "RETRY", "STARTED", "SUCCESS"]
        backend.store_many([record_of(backend, task_id, status) for status in states[:2]])
        assert load(backend, task_id).status == "RETRY"
        backend.store_many([record_of(backend, task_id, status) for status in states[2:]])
        assert load(backend, task_id).status == "SUCCESS"

    @pytest.mark.parametrize("later", ["STARTED", "RETRY", "FAILURE", "REVOKED", "PROGRESS"])
    def test_success_is_never_overwritten(self, backend: ResultBackend, later: str) -> None:
        first, second = new_id(), new_id()
        backend.store_many([record_of(backend, first, result="kept")])
        backend.store_many([record_of(backend, first, later, result=None)])
        # In one batch as well.
        backend.store_many([record_of(backend, second, result="kept"), record_of(backend, second, later, result=None)])
        for task_id in (first, second):
            got = load(backend, task_id)
            assert (got.status, got.result) == ("SUCCESS", "kept")

    def test_failure_gives_way_to_a_later_attempt(self, backend: ResultBackend) -> None:
        task_id = new_id()
        backend.store_many([record_of(backend, task_id, "FAILURE", result=ValueError("x"))])
        backend.store_many([record_of(backend, task_id, "SUCCESS", result=1)])
        got = load(backend, task_id)
        assert (got.status, got.result) == ("SUCCESS", 1)

    def test_a_batch_is_stored_whole(self, subject: BackendUnderTest, backend: ResultBackend) -> None:
        task_ids = [new_id() for _ in range(subject.batch)]
        reply_to = backend.expect(task_ids)
        backend.store_many(
            [record_of(backend, task_id, result=n, reply_to=reply_to) for n, task_id in enumerate(task_ids)]
        )
        got = until(lambda: len(found := backend.load_many(task_ids)) == len(task_ids) and found, "all are there")
        assert [got[task_id].result for task_id in task_ids] == list(range(subject.batch))

    def test_forgotten_results_are_gone(self, backend: ResultBackend) -> None:
        kept, forgotten = new_id(), new_id()
        backend.store_many([record_of(backend, kept), record_of(backend, forgotten)])
        load(backend, forgotten)
        backend.forget_many([forgotten, new_id()])
        assert set(backend.load_many([kept, forgotten])) == {kept}
        backend.forget_many([])

    def test_another_instance_sees_the_results(self, subject: BackendUnderTest, backend: ResultBackend) -> None:
        if not backend.capabilities.persistent:
            return
        task_id = new_id()
        backend.store_many([record_of(backend, task_id, result=1)])
        other = subject.backend()
        assert load(other, task_id).result == 1
        other.close()

    def test_a_closed_backend_may_be_used_again(self, backend: ResultBackend) -> None:
        task_id = new_id()
        backend.close()
        backend.store_many([record_of(backend, task_id)])
        assert load(backend, task_id).status == "SUCCESS"
        backend.close()
        backend.close()

    def test_threads_share_a_backend(self, backend: ResultBackend) -> None:
        seen: list[Any] = []

        def work(number: int) -> None:
            for turn in range(20):
                task_id = new_id()
                backend.store_many([record_of(backend, task_id, result=[number, turn])])
                seen.append(load(backend, task_id).result)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert sorted(seen) == [[number, turn] for number in range(4) for turn in range(20)]

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
    def test_a_forked_child_uses_the_backend(self, backend: ResultBackend) -> None:
        if backend.capabilities.in_process:
            return
        before, after = new_id(), new_id()
        backend.store_many([record_of(backend, before)])
        load(backend, before)
        from_child = record_of(backend, after, result="from the child")
        with warnings.catch_warnings():
            # Python 3.12 warns of forking beside threads; that a worker does it is what is tested.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if not child:
            try:
                backend.store_many([from_child])
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        assert load(backend, after).result == "from the child"
        assert load(backend, before).status == "SUCCESS"

    # Waiting

    def test_watch_yields_what_is_ready(self, backend: ResultBackend) -> None:
        task_ids = [new_id() for _ in range(3)]
        backend.store_many([record_of(backend, task_id, result=task_id) for task_id in task_ids])
        got = list(backend.watch(task_ids, timeout=PATIENCE))
        assert sorted(record.task_id for record in got) == sorted(task_ids)
        assert all(record.result == record.task_id for record in got)

    def test_watch_of_nothing_yields_nothing(self, backend: ResultBackend) -> None:
        assert list(backend.watch([], timeout=PATIENCE)) == []

    def test_watch_waits_for_what_is_not_ready(self, subject: BackendUnderTest, backend: ResultBackend) -> None:
        task_ids = [new_id() for _ in range(min(subject.batch, 50))]
        records = [record_of(backend, task_id) for task_id in task_ids]
        worker = subject.backend()

        def work() -> None:
            for start in range(0, len(records), 7):
                batch = records[start : start + 7]
                worker.store_many([ResultRecord(record.task_id, "STARTED") for record in batch])
                worker.store_many(batch)

        thread = threading.Thread(target=work)
        watching = backend.watch(task_ids, timeout=PATIENCE)
        thread.start()
        got = list(watching)
        thread.join(PATIENCE)
        worker.close()
        assert sorted(record.task_id for record in got) == sorted(task_ids)
        assert {record.status for record in got} == {"SUCCESS"}

    def test_watch_notices_a_result_at_once(self, subject: BackendUnderTest, backend: ResultBackend) -> None:
        worker = subject.backend()

        def delay() -> float:
            record = record_of(backend, new_id())
            stored_at: list[float] = []

            def work() -> None:
                # Long enough for the client to be waiting: the case that is measured.
                time.sleep(0.05)
                stored_at.append(time.monotonic())
                worker.store_many([record])

            thread = threading.Thread(target=work)
            thread.start()
            (got,) = backend.watch([record.task_id], timeout=PATIENCE)
            noticed_at = time.monotonic()
            thread.join(PATIENCE)
            assert got.task_id == record.task_id
            return noticed_at - stored_at[0]

        soon_noticed(delay, subject.reaction)
        worker.close()

    def test_watch_times_out(self, backend: ResultBackend) -> None:
        ready, pending = new_id(), new_id()
        backend.expect([pending])
        backend.store_many([record_of(backend, ready)])
        seen: list[str] = []
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            seen.extend(record.task_id for record in backend.watch([ready, pending], timeout=0.3))
        assert 0.25 < time.monotonic() - started < 0.3 + SLACK
        assert seen == [ready]

    def test_states_on_the_way_do_not_end_a_wait(self, backend: ResultBackend) -> None:
        task_id = new_id()
        backend.store_many([record_of(backend, task_id, "STARTED")])
        with pytest.raises(TimeoutError):
            list(backend.watch([task_id], timeout=0.2))

    def test_two_threads_watch_at_once(self, subject: BackendUnderTest, backend: ResultBackend) -> None:
        records = [record_of(backend, new_id()) for _ in range(min(subject.batch, 20))]
        seen: list[str] = []

        def wait(mine: list[ResultRecord]) -> None:
            ids = [record.task_id for record in mine]
            seen.extend(record.task_id for record in backend.watch(ids, timeout=PATIENCE))

        threads = [threading.Thread(target=wait, args=(records[n::2],)) for n in range(2)]
        for thread in threads:
            thread.start()
        worker = subject.backend()
        for record in records:
            worker.store_many([record])
        for thread in threads:
            thread.join(PATIENCE)
        worker.close()
        assert sorted(seen) == sorted(record.task_id for record in records)

    def test_what_a_watch_that_is_left_did_not_yield_is_there_for_the_next(self, backend: ResultBackend) -> None:
        task_ids = [new_id() for _ in range(3)]
        backend.store_many([record_of(backend, task_id) for task_id in task_ids])
        for task_id in task_ids:
            load(backend, task_id)
        watching: Any = backend.watch(task_ids, timeout=PATIENCE)
        first = next(watching).task_id
        watching.close()
        others = sorted(set(task_ids) - {first})
        assert sorted(record.task_id for record in backend.watch(others, timeout=PATIENCE)) == others

    def test_watches_that_are_left_leave_nothing_behind(self, backend: ResultBackend) -> None:
        first, second = new_id(), new_id()
        backend.store_many([record_of(backend, first), record_of(backend, second)])
        for _ in range(20):
            watching = backend.watch([first, second, new_id()], timeout=PATIENCE)
            next(watching)
            close = getattr(watching, "close", None)
            if close is not None:
                close()
            if not backend.capabilities.persistent:
                break
        third = new_id()
        backend.store_many([record_of(backend, third)])
        assert [record.task_id for record in backend.watch([third], timeout=PATIENCE)] == [third]

    # Watches, and those who wait without a thread of their own

    def test_a_watch_tells_what_was_and_what_becomes_ready(self, backend: ResultBackend) -> None:
        before, after = new_id(), new_id()
        after_record = record_of(backend, after)
        backend.store_many([record_of(backend, before)])
        watch = backend.open_watch()
        try:
            watch.add([before, after])
            assert told(watch) == [before]
            backend.store_many([after_record])
            assert told(watch) == [after]
        finally:
            watch.close()

    def test_a_watch_tells_of_tasks_added_later(self, backend: ResultBackend) -> None:
        records = [record_of(backend, new_id()) for _ in range(3)]
        watch = backend.open_watch()
        try:
            for record in records:
                watch.add([record.task_id, new_id()])
                backend.store_many([record])
                assert told(watch) == [record.task_id]
        finally:
            watch.close()

    def test_a_watch_tells_again_of_what_is_added_again(self, backend: ResultBackend) -> None:
        record = record_of(backend, new_id())
        backend.store_many([record])
        watch = backend.open_watch()
        try:
            for _ in range(3):
                watch.add([record.task_id, record.task_id])
                assert told(watch) == [record.task_id]
        finally:
            watch.close()

    def test_a_watch_does_not_tell_of_what_was_discarded(self, backend: ResultBackend) -> None:
        kept, discarded = record_of(backend, new_id()), record_of(backend, new_id())
        watch = backend.open_watch()
        try:
            watch.add([kept.task_id, discarded.task_id, discarded.task_id])
            watch.discard([discarded.task_id, new_id()])
            backend.store_many([discarded, kept])
            assert told(watch) == [kept.task_id]
        finally:
            watch.close()

    def test_a_waiting_watch_is_woken(self, backend: ResultBackend) -> None:
        watch = backend.open_watch()
        try:
            watch.add([new_id()])
            watch.wake()
            # What came before the wait counts.
            assert watch.wait(None) == []
            timer = threading.Timer(0.1, watch.wake)
            timer.start()
            assert watch.wait(None) == []
            timer.join(PATIENCE)
        finally:
            watch.close()

    def test_subscriptions_are_told_in_one_thread(self, backend: ResultBackend) -> None:
        notifier = Notifier(backend)
        records = [record_of(backend, new_id()) for _ in range(20)]
        seen: list[tuple[str, str]] = []
        failed: list[Exception] = []

        def take(records: Sequence[ResultRecord]) -> None:
            seen.extend((record.task_id, threading.current_thread().name) for record in records)

        backend.store_many(records[:5])
        for record in records:
            notifier.subscribe([record.task_id], take, failed.append)
        for start in range(5, 20, 5):
            backend.store_many(records[start : start + 5])
        until(lambda: len(seen) == 20, "all are told")
        assert sorted(task_id for task_id, _ in seen) == sorted(record.task_id for record in records)
        assert {name for _, name in seen} == {"celeriac-results"}
        assert not failed
        notifier.stop_lingering()

    def test_a_cancelled_subscription_is_told_nothing(self, backend: ResultBackend) -> None:
        notifier = Notifier(backend)
        record = record_of(backend, new_id())
        seen: list[Any] = []
        cancelled = notifier.subscribe([record.task_id], lambda records: seen.append("cancelled"), seen.append)
        notifier.subscribe([record.task_id], lambda records: seen.append("told"), seen.append)
        cancelled.cancel()
        cancelled.cancel()
        backend.store_many([record])
        until(lambda: seen, "the other one is told")
        assert seen == ["told"]
        notifier.stop_lingering()

    def test_coroutines_await_results(self, backend: ResultBackend) -> None:
        records = [record_of(backend, new_id(), result=number) for number in range(100)]
        results: list[AsyncResult[int]] = [AsyncResult(record.task_id, backend=backend) for record in records]
        backend.store_many(records[:10])

        async def gather() -> list[int]:
            waits = [asyncio.ensure_future(result.aget(timeout=PATIENCE)) for result in results]
            # Every one waits.
            await asyncio.sleep(0)
            for start in range(10, 100, 10):
                await asyncio.to_thread(backend.store_many, records[start : start + 10])
            return await asyncio.gather(*waits)

        assert asyncio.run(gather()) == list(range(100))
        stop_lingering(backend)

    def test_coroutines_take_what_becomes_ready(self, backend: ResultBackend) -> None:
        records = [record_of(backend, new_id(), result=number) for number in range(3)]
        group = ResultSet([AsyncResult(record.task_id, backend=backend) for record in records])

        async def take() -> list[int]:
            order = []
            backend.store_many(records[2:])
            async for result in group:
                order.append(result.result)
                if len(order) < 3:
                    await asyncio.to_thread(backend.store_many, [records[2 - len(order)]])
            return order

        assert asyncio.run(take()) == [2, 1, 0]
        assert group.get(timeout=PATIENCE) == [0, 1, 2]
        stop_lingering(backend)

    def test_a_coroutine_that_waits_in_vain_times_out(self, backend: ResultBackend) -> None:
        task_id = new_id()
        backend.expect([task_id])
        result: AsyncResult[int] = AsyncResult(task_id, backend=backend)

        async def wait() -> None:
            with pytest.raises(TimeoutError):
                await result.aget(timeout=0.1)
            waiting = asyncio.ensure_future(result.aget())
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

        asyncio.run(wait())
        stop_lingering(backend)

    # Groups

    def test_a_group_is_restored(self, backend: ResultBackend) -> None:
        value: list[Any] = [["gid", None], [[["a", None], None], [["b", None], None]]]
        if not backend.capabilities.groups:
            with pytest.raises(NotImplementedError):
                backend.save_group("gid", value)
            return
        group_id = new_id()
        assert backend.load_group(group_id) is None
        backend.save_group(group_id, value)
        assert backend.load_group(group_id) == value
        smaller = [value[0], value[1][:1]]
        backend.save_group(group_id, smaller)
        assert backend.load_group(group_id) == smaller
        backend.delete_group(group_id)
        assert backend.load_group(group_id) is None
        backend.delete_group(group_id)

    # Expiry

    def test_expired_results_go(self, subject: BackendUnderTest) -> None:
        backend = subject.backend(expires=1.0)
        if not backend.capabilities.persistent:
            return
        task_id = new_id()
        backend.store_many([record_of(backend, task_id)])
        load(backend, task_id)

        def gone() -> bool:
            backend.sweep()
            return not backend.load_many([task_id])

        until(gone, "the result expires")
        backend.close()

    def test_results_without_expiry_stay(self, subject: BackendUnderTest) -> None:
        backend = subject.backend(expires=None)
        task_id = new_id()
        backend.store_many([record_of(backend, task_id)])
        load(backend, task_id)
        backend.sweep()
        if backend.capabilities.persistent:
            assert load(backend, task_id).status == "SUCCESS"
        backend.close()

    def test_sweeping_an_empty_store_is_harmless(self, backend: ResultBackend) -> None:
        assert backend.sweep() >= 0


class MalformedResultContract:
    """What backends do about stored things that are no results. Subclasses provide `subject`."""

    @pytest.fixture
    def subject(self) -> BackendUnderTest:
        """The backend to test."""
        raise NotImplementedError("a subclass of MalformedResultContract provides the fixture `subject`")

    def test_a_malformed_result_is_a_backend_error(self, subject: BackendUnderTest) -> None:
        assert subject.put_malformed is not None
        backend = subject.backend()
        good, bad = new_id(), new_id()
        backend.store_many([record_of(backend, good)])
        subject.put_malformed(bad)
        with pytest.raises(BackendError):
            backend.load_many([bad])
        assert load(backend, good).status == "SUCCESS"
        backend.close()


class ServerBackendContract:
    """What every backend with a server does. Subclasses provide the fixture `subject`."""

    @pytest.fixture
    def subject(self) -> BackendUnderTest:
        """The backend to test."""
        raise NotImplementedError("a subclass of ServerBackendContract provides the fixture `subject`")

    def test_a_closed_port_is_an_error_in_time(self, subject: BackendUnderTest) -> None:
        assert subject.url_at_port is not None
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = subject.url_at_port(unused.getsockname()[1])
            backend = subject.backend(url, connect_timeout=1.0, timeout=1.0)
            started = time.monotonic()
            with pytest.raises(OperationalError):
                backend.load_many([new_id()])
            assert time.monotonic() - started < 1 + SLACK

    def test_a_server_that_does_not_answer_is_an_error_in_time(self, subject: BackendUnderTest) -> None:
        assert subject.url_at_port is not None
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = subject.url_at_port(silent.getsockname()[1])
            backend = subject.backend(url, connect_timeout=1.0, timeout=1.0)
            started = time.monotonic()
            with pytest.raises(OperationalError):
                backend.load_many([new_id()])
            assert time.monotonic() - started < 2 + SLACK

    def test_a_lost_connection_is_replaced(self, subject: BackendUnderTest) -> None:
        assert subject.disconnect is not None
        backend = subject.backend()
        record = record_of(backend, new_id())
        backend.store_many([record])
        subject.disconnect()

        def works() -> bool:
            try:
                backend.store_many([record])
            except OperationalError:
                return False
            return True

        until(works, "the backend works again")
        assert load(backend, record.task_id).status == "SUCCESS"
        backend.close()
