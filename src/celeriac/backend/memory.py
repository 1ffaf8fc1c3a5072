"""Results in this process, shared by URL; the reference implementation of the port.

It shows nothing to other processes.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from celeriac import states
from celeriac.backend.base import BackendCapabilities, BackendOptions, ChordPart, ChordProgress, ResultRecord
from celeriac.backend.codec import ResultCodec
from celeriac.backend.retention import chord_lifetime, expiry, graph_lifetime
from celeriac.backend.watching import ReadingWatch, WatchedResults
from celeriac.utils.dataclass import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

#: Stores between two searches for expired results.
_SWEEP_EVERY = 1000


class _Stored(NamedTuple):
    status: str
    data: bytes
    expires_at: float | None

    def is_expired(self, now: float) -> bool:
        return self.expires_at is not None and self.expires_at <= now


@dataclass
class _Chord:
    """A chord; without a size it is closed."""

    size: int | None
    expires_at: float | None
    parts: dict[str, tuple[float, bytes]] = field(default_factory=dict)
    body: bytes | None = None
    leased_until: float = 0.0

    def is_expired(self, now: float) -> bool:
        return self.expires_at is not None and self.expires_at <= now


class ResultStore:
    """The results of one URL. Every attribute is guarded by `lock`."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.results: dict[str, _Stored] = {}
        self.groups: dict[str, _Stored] = {}
        self.chords: dict[str, _Chord] = {}
        self.claims: dict[str, _Stored] = {}
        self.graphs: dict[str, _Stored] = {}
        self.waiting: dict[str, list[StoreNews]] = {}
        self.stores = 0


class StoreNews:
    """Tells a watch which results were stored.

    Args:
        store: The store.
    """

    def __init__(self, store: ResultStore) -> None:
        self._store = store
        self._told: deque[str] = deque()
        self._event = threading.Event()
        self._ids: set[str] = set()

    def tell(self, task_id: str) -> None:
        """Something was stored about a task. Called with the store's lock held."""
        self._told.append(task_id)
        self._event.set()

    def add(self, task_ids: Sequence[str]) -> None:
        with self._store.lock:
            for task_id in task_ids:
                self._store.waiting.setdefault(task_id, []).append(self)
        self._ids.update(task_ids)

    def discard(self, task_ids: Sequence[str]) -> None:
        waiting = self._store.waiting
        with self._store.lock:
            for task_id in task_ids:
                waiting[task_id].remove(self)
                if not waiting[task_id]:
                    del waiting[task_id]
        self._ids.difference_update(task_ids)

    def wait(self, seconds: float | None) -> list[str]:
        self._event.wait(seconds)
        self._event.clear()
        return [self._told.popleft() for _ in range(len(self._told))]

    def wake(self) -> None:
        self._event.set()

    def close(self) -> None:
        self.discard(list(self._ids))


_stores: dict[str, ResultStore] = {}
_stores_lock = threading.Lock()


def forget(url: str) -> None:
    """Let go of the results of a URL; whoever opened it before goes on with them alone."""
    with _stores_lock:
        _stores.pop(url.removeprefix("cache+").rstrip("/"), None)


class MemoryBackend(WatchedResults):
    """Results in this process: ``memory://`` or ``memory://any-name``; equal URLs share their results.

    They are kept in their stored form, so that what comes out is what another backend would give.

    Args:
        url: The URL; ``cache+memory://`` is another name for ``memory://``.
        options: Settings common to all drivers.
        clock: Unix time in seconds, for tests of expiry.
    """

    def __init__(
        self, url: str, options: BackendOptions | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.url = url.removeprefix("cache+")
        self.options = options or BackendOptions()
        self.capabilities = BackendCapabilities("memory", graphs=True, in_process=True)
        self._codec = ResultCodec(self.options)
        self._clock = clock
        with _stores_lock:
            self._store = _stores.setdefault(self.url.rstrip("/"), ResultStore())

    def expect(self, task_ids: Sequence[str]) -> str | None:
        return None

    def store_many(self, records: Sequence[ResultRecord]) -> None:
        encoded = [(record, self._codec.encode(record)) for record in records]
        store, now = self._store, self._clock()
        with store.lock:
            for record, data in encoded:
                previous = store.results.get(record.task_id)
                if previous is not None and _is_final(previous, record.status, now):
                    continue
                expires_at = expiry(self.options, record.status, now)
                store.results[record.task_id] = _Stored(record.status, data, expires_at)
                for news in store.waiting.get(record.task_id, ()):
                    news.tell(record.task_id)
            store.stores += len(records)
            if store.stores >= _SWEEP_EVERY:
                self.sweep()

    def load_many(self, task_ids: Sequence[str]) -> dict[str, ResultRecord]:
        now = self._clock()
        with self._store.lock:
            found = {id_: self._store.results[id_] for id_ in task_ids if id_ in self._store.results}
        return {
            id_: self._codec.decode(stored.data, id_) for id_, stored in found.items() if not stored.is_expired(now)
        }

    def open_watch(self) -> ReadingWatch:
        return ReadingWatch(self.load_many, StoreNews(self._store))

    def forget_many(self, task_ids: Sequence[str]) -> None:
        with self._store.lock:
            for task_id in task_ids:
                self._store.results.pop(task_id, None)

    def save_group(self, group_id: str, result: Any) -> None:
        data, now = self._codec.encode_value(result), self._clock()
        with self._store.lock:
            self._store.groups[group_id] = _Stored("", data, expiry(self.options, None, now))

    def load_group(self, group_id: str) -> Any | None:
        with self._store.lock:
            stored = self._store.groups.get(group_id)
        if stored is None or stored.is_expired(self._clock()):
            return None
        return self._codec.decode_value(stored.data)

    def delete_group(self, group_id: str) -> None:
        with self._store.lock:
            self._store.groups.pop(group_id, None)

    def open_chord(self, chord_id: str, size: int) -> None:
        with self._store.lock:
            self._store.chords[chord_id] = _Chord(size, self._chord_expiry())

    def _chord_expiry(self) -> float | None:
        lifetime = chord_lifetime(self.options)
        return self._clock() + lifetime if lifetime else None

    def grow_chord(self, chord_id: str, count: int) -> None:
        with self._store.lock:
            chord = self._store.chords.get(chord_id)
            if chord is not None and chord.size is not None:
                chord.size += count

    def add_chord_parts(
        self, chord_id: str, parts: Sequence[ChordPart], body: bytes | None, *, lease: float
    ) -> ChordProgress:
        encoded = [
            (part.task_id, (inf if part.index is None else part.index, self._codec.encode_part(part))) for part in parts
        ]
        with self._store.lock:
            chord = self._store.chords.get(chord_id)
            if chord is None or chord.size is None:
                return ChordProgress.RECORDED
            if body is None and chord.body is None and len(chord.parts) + len(encoded) >= chord.size:
                return ChordProgress.BODY_WANTED
            for task_id, value in encoded:
                chord.parts.setdefault(task_id, value)
            chord.expires_at = self._chord_expiry()
            if len(chord.parts) < chord.size or chord.body is not None:
                return ChordProgress.RECORDED
            chord.body, chord.leased_until = body, self._clock() + lease
            return ChordProgress.COMPLETE

    def load_chord(self, chord_id: str) -> list[ChordPart] | None:
        with self._store.lock:
            chord = self._store.chords.get(chord_id)
            if chord is None or chord.size is None:
                return None
            stored = sorted(chord.parts.values(), key=lambda each: each[0])
        return [self._codec.decode_part(data, None if index == inf else int(index)) for index, data in stored]

    def close_chord(self, chord_id: str) -> None:
        with self._store.lock:
            self._store.chords[chord_id] = _Chord(None, self._chord_expiry())

    def take_chords(self, *, lease: float) -> list[tuple[str, bytes]]:
        now, taken = self._clock(), []
        with self._store.lock:
            for chord_id, chord in self._store.chords.items():
                if chord.body is not None and chord.leased_until <= now:
                    chord.leased_until = now + lease
                    taken.append((chord_id, chord.body))
        return taken

    def claim(self, name: str, token: str) -> str:
        with self._store.lock:
            return self._store.claims.setdefault(name, _Stored(token, b"", self._chord_expiry())).status

    def keep_graphs(self, graphs: Mapping[str, bytes]) -> None:
        lifetime = graph_lifetime(self.options)
        expires_at = self._clock() + lifetime if lifetime else None
        with self._store.lock:
            self._store.graphs.update((id_, _Stored("", data, expires_at)) for id_, data in graphs.items())

    def load_graph(self, graph_id: str) -> bytes | None:
        with self._store.lock:
            stored = self._store.graphs.get(graph_id)
        return None if stored is None or stored.is_expired(self._clock()) else stored.data

    def sweep(self) -> int:
        now, removed = self._clock(), 0
        with self._store.lock:
            self._store.stores = 0
            kept: dict[str, Any]
            store = self._store
            for kept in (store.results, store.groups, store.chords, store.claims, store.graphs):
                expired = [id_ for id_, stored in kept.items() if stored.is_expired(now)]
                removed += len(expired)
                for id_ in expired:
                    del kept[id_]
        return removed

    def close(self) -> None:
        """There is no connection; the results stay for others of the same URL."""


def _is_final(stored: _Stored, status: str, now: float) -> bool:
    """A stored SUCCESS stays, unless it has expired."""
    return stored.status == states.SUCCESS != status and not stored.is_expired(now)
