"""The result backend over a key-value driver, under Celery's keys and in Celery's stored form."""

from __future__ import annotations

import os
import struct
import time
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from celeriac import states
from celeriac.backend.base import BackendCapabilities, BackendOptions, ResultRecord
from celeriac.backend.chordless import WithoutChords
from celeriac.backend.joining import JoinsChords
from celeriac.backend.keys import (
    CHORD_PREFIX,
    CLAIM_PREFIX,
    DUE_PREFIX,
    GRAPH_PREFIX,
    GROUP_PREFIX,
    TASK_PREFIX,
    key_prefix,
)
from celeriac.backend.kv.chords import KeyValueChords
from celeriac.backend.kv.driver import ABSENT, Entry
from celeriac.backend.kv.schemes import STORES
from celeriac.backend.kv.watcher import Waiter, Watcher
from celeriac.backend.retention import chord_lifetime, graph_lifetime
from celeriac.backend.watching import WatchedResults
from celeriac.exceptions import BackendStoreError, CeleryWarning

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from celeriac.backend.kv.driver import Codec, Driver, Stored

_FOREVER: Final = float("inf")
#: Unix time until which something is to be read.
_UNTIL: Final = struct.Struct(">d")
#: How often to look again when others keep changing what is there.
_ATTEMPTS: Final = 20


def open_driver(scheme: str, url: str, options: BackendOptions) -> Driver:
    """The driver of a scheme of `STORES`. Connects to nothing yet.

    Raises:
        ImproperlyConfigured: The URL or a setting cannot be used, or the driver's package is missing.
    """
    driver: Driver = import_module(f"celeriac.backend.kv.{STORES[scheme]}").open_driver(url, options)
    return driver


def open_key_value_backend(scheme: str, url: str, options: BackendOptions) -> KeyValueBackend:
    """The backend of a scheme of `STORES`; chords need a store that fits. Connects to nothing yet.

    Raises:
        ImproperlyConfigured: See `open_driver`.
    """
    driver = open_driver(scheme, url, options)
    return (JoiningKeyValueBackend if driver.joins_chords() else KeyValueBackend)(driver, options)


class KeyValueBackend(WithoutChords, WatchedResults):
    """A result store that does not join chords.

    Args:
        driver: The store.
        options: Settings common to all backends.
    """

    def __init__(self, driver: Driver, options: BackendOptions) -> None:
        self.options = options
        self.url = driver.url
        self.capabilities = BackendCapabilities(driver.name, expires=driver.expires, chords=False)
        self._driver = driver
        self._codec = driver.codec(options)
        prefix = self._prefix = key_prefix(options.transport_options.get("global_keyprefix"))
        self._task_prefix, self._group_prefix = prefix + TASK_PREFIX, prefix + GROUP_PREFIX
        self._watcher_pid = 0
        self._watcher: Watcher | None = None
        if options.failure_expires is not None and not driver.expires:
            warnings.warn(
                f"result_failure_expires has no effect on {driver.url}, which keeps results for result_expires",
                CeleryWarning,
                stacklevel=2,
            )

    def expect(self, task_ids: Sequence[str]) -> str | None:
        return None

    # --- storing

    def store_many(self, records: Sequence[ResultRecord]) -> None:
        last: dict[str, ResultRecord] = {}
        for record in records:
            previous = last.get(record.task_id)
            if previous is None or previous.status != states.SUCCESS or record.status == states.SUCCESS:
                last[record.task_id] = record
        entries = [(self._entry(record), record) for record in last.values()]
        with self._driver.errors():
            if final := [entry for entry, record in entries if record.status == states.SUCCESS]:
                self._driver.write_many(final)
            for entry, record in entries:
                if record.status != states.SUCCESS:
                    self._write_unless_success(entry, record)
            self._driver.announce()

    def _entry(self, record: ResultRecord) -> Entry:
        seconds = self.options.expires
        if record.status == states.FAILURE and self.options.failure_expires is not None:
            seconds = self.options.failure_expires
        return Entry(self._task_prefix + record.task_id, self._codec.encode(record), seconds or None)

    def _write_unless_success(self, entry: Entry, record: ResultRecord) -> None:
        expecting: Any = ABSENT
        for _ in range(_ATTEMPTS):
            if self._driver.write(entry, expecting):
                return
            there = self._driver.read([entry.key]).get(entry.key)
            if there is None:
                expecting = ABSENT
            elif self._is_success(there, record.task_id):
                return
            else:
                expecting = there.version
        raise BackendStoreError(
            f"the state {record.status} of task {record.task_id} was not stored in {self.url}: others kept changing "
            f"what is stored, {_ATTEMPTS} times in a row",
            state=record.status,
            task_id=record.task_id,
        )

    def _is_success(self, stored: Stored, task_id: str) -> bool:
        return self._codec.decode(stored.data, task_id).status == states.SUCCESS

    # --- reading

    def load_many(self, task_ids: Sequence[str]) -> dict[str, ResultRecord]:
        keys = {self._task_prefix + task_id: task_id for task_id in task_ids}
        if not keys:
            return {}
        found = self._read(list(keys))
        return {keys[key]: self._codec.decode(stored.data, keys[key]) for key, stored in found.items()}

    def _read(self, keys: Sequence[str]) -> dict[str, Stored]:
        with self._driver.errors():
            return self._driver.read(keys)

    def open_watch(self) -> KeyValueWatch:
        return KeyValueWatch(self._own_watcher(), self._task_prefix, self._codec)

    def _own_watcher(self) -> Watcher:
        watcher = self._watcher
        if watcher is None or self._watcher_pid != os.getpid():
            # After a fork the parent's lock may be held for ever.
            watcher = self._watcher = Watcher(self._read, self._driver)
            self._watcher_pid = os.getpid()
        return watcher

    # --- the rest

    def forget_many(self, task_ids: Sequence[str]) -> None:
        if task_ids:
            with self._driver.errors():
                self._driver.delete([self._task_prefix + task_id for task_id in dict.fromkeys(task_ids)])

    def save_group(self, group_id: str, result: Any) -> None:
        data = self._codec.encode_group(result, group_id)
        entry = Entry(self._group_prefix + group_id, data, self.options.expires or None)
        with self._driver.errors():
            self._driver.write(entry)

    def load_group(self, group_id: str) -> Any | None:
        key = self._group_prefix + group_id
        stored = self._read([key]).get(key)
        return None if stored is None else self._codec.decode_group(stored.data, group_id)

    def delete_group(self, group_id: str) -> None:
        with self._driver.errors():
            self._driver.delete([self._group_prefix + group_id])

    def sweep(self) -> int:
        lifetimes = {self._prefix + prefix: seconds for prefix, seconds in self._lifetimes().items() if seconds}
        if self._driver.expires or not lifetimes:
            return 0
        with self._driver.errors():
            return self._driver.sweep(lifetimes)

    def _lifetimes(self) -> dict[str, float | None]:
        """Seconds that things are kept, by the prefix of their keys."""
        return {TASK_PREFIX: self.options.expires, GROUP_PREFIX: self.options.expires}

    def close(self) -> None:
        self._driver.close()


class JoiningKeyValueBackend(JoinsChords, KeyValueBackend):
    """The same with chords and the rest of workflows, in a store that is fit to join chords.

    Args:
        driver: The store.
        options: Settings common to all backends.
    """

    def __init__(self, driver: Driver, options: BackendOptions) -> None:
        super().__init__(driver, options)
        self.capabilities = BackendCapabilities(driver.name, expires=driver.expires, graphs=True)
        self._chords = KeyValueChords(options, driver, self._prefix)

    def _lifetimes(self) -> dict[str, float | None]:
        of_chords = chord_lifetime(self.options)
        return {
            **super()._lifetimes(),
            CHORD_PREFIX: of_chords,
            CLAIM_PREFIX: of_chords,
            DUE_PREFIX: of_chords,
            GRAPH_PREFIX: graph_lifetime(self.options),
        }

    def keep_graphs(self, graphs: Mapping[str, bytes]) -> None:
        lifetime = graph_lifetime(self.options)
        # Not every store drops what has expired by itself.
        until = _UNTIL.pack(time.time() + lifetime if lifetime else _FOREVER)
        entries = [Entry(self._graph_key(id_), until + data, lifetime) for id_, data in graphs.items()]
        with self._driver.errors():
            self._driver.write_many(entries)

    def load_graph(self, graph_id: str) -> bytes | None:
        key = self._graph_key(graph_id)
        stored = self._read([key]).get(key)
        if stored is None or _UNTIL.unpack_from(stored.data)[0] <= time.time():
            return None
        return bytes(stored.data[_UNTIL.size :])

    def _graph_key(self, graph_id: str) -> str:
        return self._prefix + GRAPH_PREFIX + graph_id


class KeyValueWatch:
    """A `ResultWatch` that shares its reads with the others of the process.

    Args:
        watcher: Who reads for all.
        prefix: Of the keys of results.
        codec: Reads them.
    """

    def __init__(self, watcher: Watcher, prefix: str, codec: Codec) -> None:
        self._watcher = watcher
        self._waiter = Waiter()
        self._prefix = prefix
        self._codec = codec

    def add(self, task_ids: Collection[str]) -> None:
        self._waiter.add(self._prefix + task_id for task_id in task_ids)

    def discard(self, task_ids: Collection[str]) -> None:
        for task_id in task_ids:
            self._waiter.done(self._prefix + task_id)

    def wait(self, timeout: float | None) -> list[ResultRecord]:
        deadline = _FOREVER if timeout is None else time.monotonic() + timeout
        while self._waiter.keys:
            came = self._watcher.wait(self._waiter, deadline)
            ready = []
            for key, data in came.items():
                record = self._codec.decode(data, key.removeprefix(self._prefix))
                if record.status in states.READY_STATES:
                    self._waiter.done(key)
                    ready.append(record)
            if ready or not came:
                return ready
        return []

    def wake(self) -> None:
        self._watcher.wake(self._waiter)

    def close(self) -> None:
        """Only a watch that waits is known to the others."""
