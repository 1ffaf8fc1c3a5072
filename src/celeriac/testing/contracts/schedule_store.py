"""The contract of schedule stores: one leader, writes of who has seen the latest, edits that are noticed."""

from __future__ import annotations

import threading
import uuid
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from celeriac.beat.store import LeadershipLost, ScheduleStore, Write, open_store
from celeriac.exceptions import OperationalError
from celeriac.testing.contracts.broker_subject import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ScheduleStoreContract"]


class ScheduleStoreContract:
    """What every schedule store does. Subclasses provide the fixture `url`."""

    @pytest.fixture
    def url(self) -> str:
        """The URL of a store."""
        raise NotImplementedError("a subclass of ScheduleStoreContract provides the fixture `url`")

    @pytest.fixture
    def connect(self, url: str) -> Iterator[Callable[[], ScheduleStore]]:
        """Makes a store for another scheduler of an application that nobody else has."""
        scope, made = uuid.uuid4().hex, []

        def connect() -> ScheduleStore:
            made.append(open_store(url, scope))
            return made[-1]

        yield connect
        for store in made:
            store.close()

    @pytest.fixture
    def store(self, connect: Callable[[], ScheduleStore]) -> ScheduleStore:
        """The store to test."""
        return connect()

    def test_new_store_is_empty(self, store: ScheduleStore) -> None:
        assert store.load() == {}
        assert store.leader() is None
        assert store.write_many([]) == set()

    def test_several_may_be_the_first_to_use_it(self, connect: Callable[[], ScheduleStore]) -> None:
        stores, found = [connect() for _ in range(6)], list[int]()
        together = threading.Barrier(len(stores))

        def use(store: ScheduleStore) -> None:
            together.wait()
            found.append(len(store.load()))

        threads = [threading.Thread(target=use, args=(store,)) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [0] * len(stores)

    def test_one_leads_until_it_lets_go(self, store: ScheduleStore, connect: Callable[[], ScheduleStore]) -> None:
        other = connect()
        token = store.acquire("a", 60)
        assert token is not None
        assert (other.acquire("b", 60), other.leader()) == (None, "a")
        assert store.acquire("a", 60) == token
        other.release("b")
        assert store.leader() == "a"
        store.release("a")
        later = other.acquire("b", 60)
        assert later is not None
        assert later > token

    def test_lease_runs_out(self, store: ScheduleStore, connect: Callable[[], ScheduleStore]) -> None:
        first = store.acquire("a", 0.2)
        other = connect()
        second = until(lambda: other.acquire("b", 60), "the lease ran out")
        assert first is not None
        assert second > first
        assert store.acquire("a", 60) is None

    def test_old_token_writes_nothing(self, store: ScheduleStore, connect: Callable[[], ScheduleStore]) -> None:
        token = store.acquire("a", 60)
        assert store.write_many([Write.of("x", 0, "1")], token) == {"x"}
        store.release("a")
        connect().acquire("b", 60)
        with pytest.raises(LeadershipLost):
            store.write_many([Write.of("x", store.load()["x"].revision, "2"), Write.of("y", 0, "3")], token)
        assert {name: data for name, (_, data) in store.load().items()} == {"x": "1"}

    def test_only_who_has_seen_the_latest_writes(self, store: ScheduleStore) -> None:
        assert store.write_many([Write.of("x", 0, "ž:1"), Write.of("y", 0, "2")]) == {"x", "y"}
        found = store.load()
        assert (found["x"].data, found["y"].data) == ("ž:1", "2")
        revision = found["x"].revision
        assert store.write_many([Write.of("x", 0, "new"), Write.of("z", 0, "3")]) == {"z"}
        assert store.write_many([Write.of("x", revision, "3")]) == {"x"}
        assert store.write_many([Write.of("x", revision, "4"), Write.of("x", revision, None)]) == set()
        revision = store.load()["x"].revision
        assert store.write_many([Write.of("x", revision, None)]) == {"x"}
        assert store.write_many([Write.of("x", revision, "5")]) == set()
        assert set(store.load()) == {"y", "z"}

    def test_edits_change_the_version_and_the_leader_does_not(self, store: ScheduleStore) -> None:
        token, version = store.acquire("a", 60), store.version()
        store.write_many([Write.of("x", 0, "1")], token)
        assert store.version() == version
        store.write_many([Write.of("y", 0, "1")])
        assert store.version() != version

    def test_thousands_of_records(self, store: ScheduleStore) -> None:
        names = {f"entry {number}" for number in range(2000)}
        assert store.write_many([Write.of(name, 0, "{}") for name in names]) == names
        assert set(store.load()) == names

    def test_of_many_that_write_at_once_one_succeeds(
        self, store: ScheduleStore, connect: Callable[[], ScheduleStore]
    ) -> None:
        store.write_many([Write.of("x", 0, "0")])
        revision = store.load()["x"].revision
        succeeded: list[str] = []
        start = threading.Barrier(4)

        def write(number: int) -> None:
            with closing(connect()) as mine:
                mine.load()
                start.wait()
                succeeded.extend(mine.write_many([Write.of("x", revision, str(number))]))

        threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert succeeded == ["x"]

    def test_works_again_after_it_was_closed(self, store: ScheduleStore) -> None:
        store.write_many([Write.of("x", 0, "1")])
        store.close()
        assert set(store.load()) == {"x"}

    def test_store_that_is_not_there_says_so(self, url: str) -> None:
        scheme = url.partition("://")[0]
        if scheme == "sqlite":
            nowhere = "sqlite:////proc/nowhere/beat.sqlite3"
        else:
            nowhere = f"{scheme}://127.0.0.1:1/{'1' if scheme == 'redis' else 'nothing'}"
        with closing(open_store(nowhere, "x", 2.0)) as store, pytest.raises(OperationalError):
            store.acquire("a", 1)
