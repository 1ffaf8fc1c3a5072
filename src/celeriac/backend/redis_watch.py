"""Waiting for results on Redis: one connection per process, shared by all its threads.

A thread that waits reads the connection itself; when several wait, one of them reads for all, and hands the reading
over to another when it has what it came for.  What a payload means is not known here.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from celeriac.drivers.resp import Push, ReplyError, RespConnection, pack_command, refine
from celeriac.exceptions import ImproperlyConfigured, OperationalError, SessionLost, SessionRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from celeriac.drivers.resp_params import RespParams

#: Keys in one command.
_PAGE = 1000
_CAREFUL_PAGE = 100
#: Seconds between two readings of everything where notifications pass between nodes, which drop them while their
#: connection is broken.
_READ_AGAIN_EVERY = 15.0
#: Seconds to try to reach the server again after the connection broke.
RECONNECT_FOR = 30.0
_FOREVER = float("inf")


class Waiter:
    """One wait for some keys, which are channels too.

    Attributes:
        keys: Keys that are watched, or soon will be.
        unasked: Those of them that are still to be subscribed to and read.
        is_asking: A question is on its way; the next goes out when it is answered.
        unread: Pages of keys that are subscribed to, and have to be read on another connection.
        news: Pairs of key and payload that have come.
        woken: `Watcher.wake` was called, and no wait has returned since.
    """

    __slots__ = ("_signal", "is_asking", "keys", "news", "unasked", "unread", "woken")

    def __init__(self) -> None:
        self.keys: dict[bytes, None] = {}
        self.unasked: deque[bytes] = deque()
        self.is_asking = False
        self.unread: deque[Sequence[bytes]] = deque()
        self.news: deque[tuple[bytes, bytes]] = deque()
        self.woken = False
        self._signal: threading.Event | None = None

    def signal(self) -> None:
        """End a `sleep`."""
        if self._signal is not None:
            self._signal.set()

    def prepare(self) -> threading.Event:
        """An event that the next `signal` sets. Called with the watcher's lock held."""
        if self._signal is None:
            self._signal = threading.Event()
        self._signal.clear()
        return self._signal


class Watcher:
    """Tells threads what is stored under keys, now and whenever it changes.

    Args:
        params: Where the server is.
        read: Reads values on another connection.
        is_cluster: The server is one of the nodes of a cluster: it hears of all changes, but has a share of the keys.
    """

    def __init__(
        self,
        params: RespParams,
        read: Callable[[Sequence[bytes]], Sequence[bytes | None]],
        *,
        is_cluster: bool = False,
    ) -> None:
        self._params = params
        self._read_apart = read
        self._is_cluster = is_cluster
        # Guards everything below, and every use of the connection but waiting for it to become readable.
        self._lock = threading.Lock()
        self._connection: RespConnection | None = None
        self._waiters: dict[Waiter, None] = {}
        #: Who is told about each key that is subscribed to.
        self._watching: dict[bytes, list[Waiter]] = {}
        #: Whose question each reply on its way answers, and the keys it asked for.
        self._asked: deque[tuple[Waiter, Sequence[bytes]]] = deque()
        #: The server gave up a connection of those who wait. It does so when more than 32 MB (its setting
        #: client-output-buffer-limit) are on their way to a subscriber, so that values are read apart from now on.
        self._is_careful = False
        self._read_again_at = _FOREVER
        self._reader: Waiter | None = None
        self._idle: list[Waiter] = []
        #: Waiters given up. The garbage collector may do so while this very thread holds the lock.
        self._given_up: deque[Waiter] = deque()

    def add(self, waiter: Waiter, keys: Iterable[str]) -> None:
        """Watch more keys. What is stored under them already arrives like a change.

        Raises:
            OperationalError: The server refused.
        """
        new = [encoded for key in dict.fromkeys(keys) if (encoded := key.encode()) not in waiter.keys]
        with self:
            self._waiters[waiter] = None
            waiter.keys.update(dict.fromkeys(new))
            waiter.unasked.extend(new)
            connection = self._connection
            if connection is not None and connection.lost is None and not waiter.is_asking:
                try:
                    self._ask(connection, waiter)
                except SessionLost:
                    # An idle connection that the server closed: the next one asks for everybody.
                    pass

    def discard(self, waiter: Waiter, keys: Iterable[str]) -> None:
        """Watch these no more."""
        with self:
            known = [encoded for key in dict.fromkeys(keys) if (encoded := key.encode()) in waiter.keys]
            for key in known:
                del waiter.keys[key]
            self._unsubscribe(self._forget(waiter, known))

    def wait(self, waiter: Waiter, deadline: float) -> list[tuple[bytes, bytes]]:
        """Wait for news about a waiter's keys.

        Returns:
            Pairs of key and payload; none when time is up, or after `wake`.

        Raises:
            OperationalError: The server cannot be reached any more.
        """
        while True:
            with self:
                if waiter.news:
                    news = list(waiter.news)
                    waiter.news.clear()
                    return news
                page = waiter.unread.popleft() if waiter.unread else None
                reads = page is None and self._reader is None
                if reads:
                    self._reader = waiter
                elif page is None:
                    event = waiter.prepare()
                    self._idle.append(waiter)
            if page is not None:
                found = zip(page, self._read_apart(page), strict=True)
                if news := [(key, value) for key, value in found if value is not None]:
                    return news
                continue
            # From here on `wake` ends the wait; what came before is seen now.
            if waiter.woken or time.monotonic() >= deadline:
                waiter.woken = False
                self._leave(waiter)
                return []
            try:
                if reads:
                    self._read(deadline)
                else:
                    event.wait(_remaining(deadline))
            finally:
                self._leave(waiter)

    def wake(self, waiter: Waiter) -> None:
        """Make a waiter's `wait` return. Takes no lock: the thread that calls this must not block."""
        waiter.woken = True
        waiter.signal()
        # Whoever reads may be another one, which then only looks again.
        connection = self._connection
        if connection is not None:
            connection.wake()

    def close(self, waiter: Waiter) -> None:
        """Stop watching; leaves nothing subscribed. May be called by the garbage collector."""
        self._given_up.append(waiter)
        if self._lock.acquire(blocking=False):
            self._release()

    def _release(self) -> None:
        """Give the lock back, having forgotten the waiters given up meanwhile."""
        while True:
            try:
                while self._given_up:
                    waiter = self._given_up.popleft()
                    self._waiters.pop(waiter, None)
                    self._is_careful = self._is_careful and bool(self._waiters)
                    self._unsubscribe(self._forget(waiter, waiter.keys))
            finally:
                self._lock.release()
            # One that came after the look and found the lock taken is left to whoever comes next: us.
            if not self._given_up or not self._lock.acquire(blocking=False):
                return

    # With the watcher: with its lock held.

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *exc: object) -> None:
        self._release()

    def _unsubscribe(self, keys: Sequence[bytes]) -> None:
        connection = self._connection
        if connection is None or connection.lost is not None or not keys:
            return
        data = b"".join(pack_command(("UNSUBSCRIBE", *page)) for page in _pages(keys))
        try:
            connection.send(data, time.monotonic() + self._params.timeout)
        except SessionLost:
            # Its subscriptions went with it.
            pass

    def disconnect(self) -> None:
        """Close the connection. It is opened again when needed."""
        with self:
            if self._connection is not None:
                self._connection.wake()
                if self._reader is None:
                    self._connection.close()
                    self._connection = None

    # --- with the lock held

    def _forget(self, waiter: Waiter, keys: Iterable[bytes]) -> list[bytes]:
        """Drop a waiter from some keys; returns those that nobody watches any more."""
        gone = []
        for key in keys:
            others = self._watching.get(key)
            if others is not None and waiter in others:
                others.remove(waiter)
                if not others:
                    del self._watching[key]
                    gone.append(key)
        return gone

    def _connect(self, deadline: float) -> None:
        """Open the connection and ask for everything that is watched."""
        if self._connection is not None:
            self._connection.close()
        limit = time.monotonic() + self._params.connect_timeout
        self._connection = None
        connection = RespConnection(self._params, deadline=min(limit, max(deadline, time.monotonic() + 0.05)))
        if connection.protocol < 3:
            connection.close()
            raise ImproperlyConfigured(
                f"Redis at {self._params.address} does not speak RESP3, which waiting for results needs; "
                "use Redis 6 or later"
            )
        connection.enable_wake()
        self._asked.clear()
        self._watching.clear()
        for waiter in self._waiters:
            waiter.unasked = deque(waiter.keys)
            waiter.unread.clear()
            self._ask(connection, waiter)
        self._connection = connection
        if self._is_cluster:
            self._read_again_at = time.monotonic() + _READ_AGAIN_EVERY

    def _read_again(self) -> None:
        """Have everything read once more."""
        self._read_again_at = time.monotonic() + _READ_AGAIN_EVERY
        for waiter in self._waiters:
            if waiter.keys and not waiter.unread:
                waiter.unread.extend(_pages(list(waiter.keys)))
                waiter.signal()

    def _ask(self, connection: RespConnection, waiter: Waiter) -> None:
        """Subscribe to a page of keys, then read them: what changes in between is told twice rather than never.

        The next page goes out with the answer to this one, so that neither a command nor its reply grows with the
        number of keys, and other clients of the server get their turn.
        """
        page: list[bytes] = []
        size = _CAREFUL_PAGE if self._is_careful else _PAGE
        while waiter.unasked and len(page) < size:
            key = waiter.unasked.popleft()
            if key in waiter.keys:
                page.append(key)
        waiter.is_asking = bool(page)
        if not page:
            return
        new = [key for key in page if key not in self._watching]
        for key in page:
            self._watching.setdefault(key, []).append(waiter)
        self._asked.append((waiter, page))
        subscribe = pack_command(("SUBSCRIBE", *new)) if new else b""
        ask = ("PING",) if self._is_careful or self._is_cluster else ("MGET", *page)
        connection.send(subscribe + pack_command(ask), time.monotonic() + self._params.timeout)

    def _take_in(self, connection: RespConnection, items: Sequence[object]) -> None:
        for item in items:
            if isinstance(item, Push):
                if item[0] == b"message":
                    for waiter in self._watching.get(item[1], ()):
                        waiter.news.append((item[1], item[2]))
                        waiter.signal()
            elif isinstance(item, ReplyError):
                raise refine(item, f"Redis at {self._params.address} refused to be watched")
            elif self._asked:
                waiter, keys = self._asked.popleft()
                if isinstance(item, list):
                    found = [(key, value) for key, value in zip(keys, item, strict=True) if value is not None]
                    waiter.news.extend(found)
                else:
                    waiter.unread.append(keys)
                if waiter.news or waiter.unread:
                    waiter.signal()
                if waiter in self._waiters:
                    self._ask(connection, waiter)

    # --- reading

    def _read(self, deadline: float) -> None:
        """Read for everybody until something came. The lock is not held meanwhile."""
        connection = self._connection
        if connection is None:
            with self:
                self._connect(deadline)
            return
        if connection.lost is not None:
            self._reconnect(deadline)
            return
        try:
            if connection.wait_readable(min(deadline, self._read_again_at)):
                with self:
                    self._take_in(connection, connection.receive_ready())
            elif time.monotonic() >= self._read_again_at:
                with self:
                    self._read_again()
        except SessionLost:
            self._reconnect(deadline)
        except BaseException:
            # KeyboardInterrupt, for one: what had been read is lost with this connection, and asked for again.
            connection.close()
            raise

    def _reconnect(self, deadline: float) -> None:
        give_up = min(deadline, time.monotonic() + RECONNECT_FOR)
        delay = 0.02
        while True:
            try:
                with self:
                    self._is_careful = bool(self._waiters)
                    self._connect(deadline)
                return
            except SessionRefused:
                raise
            except OperationalError:
                if time.monotonic() + delay >= give_up:
                    if give_up < deadline:
                        raise
                    time.sleep(_remaining(deadline) or 0.0)
                    return
                from random import uniform

                time.sleep(delay * uniform(0.5, 1.0))
                delay = min(delay * 2, 1.0)

    def _leave(self, waiter: Waiter) -> None:
        """Stop reading, and let another thread that waits do it."""
        with self:
            if waiter in self._idle:
                self._idle.remove(waiter)
            if self._reader is waiter:
                self._reader = None
            if self._reader is None and self._idle:
                self._idle[0].signal()


def _remaining(deadline: float) -> float | None:
    return None if deadline == _FOREVER else max(deadline - time.monotonic(), 0.0)


def _pages(keys: Sequence[bytes]) -> list[Sequence[bytes]]:
    return [keys[start : start + _PAGE] for start in range(0, len(keys), _PAGE)]
