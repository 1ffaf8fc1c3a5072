"""Telling callbacks about results: one thread for each backend of a process, however many wait.

It is for those who cannot block, such as coroutines; a thread that may block reads for itself, which is faster.  The
thread starts when somebody begins to wait and ends some seconds after nobody does.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from celeriac.backend.base import ResultBackend, ResultRecord, ResultWatch

#: Seconds that the thread and its connection outlive the last who waited.
LINGER = 5.0


class Subscription:
    """Somebody's wait for some results; made by `Notifier.subscribe`.

    Args:
        notifier: Whom to tell when it is cancelled.
        task_ids: The tasks.
        on_ready: Called in the notifier's thread with final records, as they come. It must not block or raise.
        on_error: Called there when no more will come, because the store failed.
    """

    def __init__(
        self,
        notifier: Notifier,
        task_ids: Iterable[str],
        on_ready: Callable[[Sequence[ResultRecord]], object],
        on_error: Callable[[Exception], object],
    ) -> None:
        self._notifier = notifier
        self.pending = dict.fromkeys(task_ids)
        self.on_ready = on_ready
        self.on_error = on_error

    def cancel(self) -> None:
        """Wait no longer; leaves nothing subscribed. Safe from any thread; may be called twice."""
        self._notifier.cancel(self)


class Notifier:
    """Tells subscriptions about the results of one backend.

    Args:
        backend: Where the results are.
        linger: Seconds the thread waits for something new to do before it ends.
    """

    def __init__(self, backend: ResultBackend, linger: float = LINGER) -> None:
        # Weak: whoever waits holds the backend, and nobody else should.
        self._backend = weakref.ref(backend)
        self._linger = linger
        self.pid = os.getpid()
        # Guards everything below. Never held while a store is spoken to, so that `subscribe` does not block.
        self._changed = threading.Condition()
        self._waiting: dict[str, list[Subscription]] = {}
        self._added: list[str] = []
        self._dropped: list[str] = []
        self._thread: threading.Thread | None = None
        self._watch: ResultWatch | None = None
        self._may_linger = True

    def subscribe(
        self,
        task_ids: Iterable[str],
        on_ready: Callable[[Sequence[ResultRecord]], object],
        on_error: Callable[[Exception], object],
    ) -> Subscription:
        """Begin to wait. Neither blocks nor speaks to the store.

        A result that others wait for at the same time may have been told, and on ``rpc://`` been taken, just before:
        look again after this call where such a one would have put it.

        Args:
            task_ids: The tasks, whose results may be there already.
            on_ready: Called with final records, as they come, until all have; in another thread. It must not block.
            on_error: Called in that thread when no more will come, because the store failed.
        """
        subscription = Subscription(self, task_ids, on_ready, on_error)
        with self._changed:
            for task_id in subscription.pending:
                self._waiting.setdefault(task_id, []).append(subscription)
            self._added.extend(subscription.pending)
            self._may_linger = True
            if self._thread is None:
                name = "celeriac-results"
                self._thread = threading.Thread(target=self._run, args=(self._backend(),), name=name, daemon=True)
                self._thread.start()
            self._rouse()
        return subscription

    def cancel(self, subscription: Subscription) -> None:
        """End a subscription."""
        with self._changed:
            if not subscription.pending:
                return
            self._forget(subscription)
            self._rouse()

    def stop_lingering(self) -> None:
        """If nobody waits, end the thread now and return when it has closed its connection."""
        with self._changed:
            self._may_linger = False
            self._changed.notify()
            thread = None if self._waiting else self._thread
        if thread is not None:
            thread.join(LINGER)

    def _forget(self, subscription: Subscription) -> None:
        for task_id in subscription.pending:
            others = self._waiting[task_id]
            others.remove(subscription)
            if not others:
                del self._waiting[task_id]
                self._dropped.append(task_id)
        subscription.pending.clear()

    def _rouse(self) -> None:
        self._changed.notify()
        if self._watch is not None:
            self._watch.wake()

    # --- in the thread

    def _run(self, backend: ResultBackend) -> None:
        while self._has_work():
            try:
                self._serve(backend)
            except Exception as error:
                self._fail(error)
            finally:
                watch, self._watch = self._watch, None
                if watch is not None:
                    _close(watch)

    def _has_work(self) -> bool:
        """Whether there is somebody to serve; if not, the thread is done."""
        with self._changed:
            if not self._waiting:
                self._thread = None
            return bool(self._waiting)

    def _serve(self, backend: ResultBackend) -> None:
        """Tell everybody what comes, until nobody has waited for a while."""
        watch = self._watch = backend.open_watch()
        while True:
            with self._changed:
                # `_rouse` woke the watch, or this is the first round.
                added, dropped = self._added, [id_ for id_ in self._dropped if id_ not in self._waiting]
                self._added, self._dropped = [], []
            if dropped:
                watch.discard(dropped)
            if added:
                watch.add([task_id for task_id in added if task_id in self._waiting])
            if self._waiting:
                self._tell(watch.wait(None), watch)
            elif not self._comes_back():
                return

    def _comes_back(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._dropped or not self._may_linger, self._linger)
            return bool(self._waiting or self._dropped)

    def _tell(self, records: Sequence[ResultRecord], watch: ResultWatch) -> None:
        if not records:
            return
        told: dict[Subscription, list[ResultRecord]] = {}
        with self._changed:
            for record in records:
                for subscription in self._waiting.pop(record.task_id, ()):
                    del subscription.pending[record.task_id]
                    told.setdefault(subscription, []).append(record)
        for subscription, its_records in told.items():
            _call(subscription.on_ready, its_records)
        # Last, and not for those whom somebody began to wait for meanwhile: they are told the same.
        watch.discard([record.task_id for record in records if record.task_id not in self._waiting])

    def _fail(self, error: Exception) -> None:
        """Tell everybody that the store failed; whoever waits next begins anew."""
        with self._changed:
            failed = {subscription for waiting in self._waiting.values() for subscription in waiting}
            for subscription in failed:
                self._forget(subscription)
            self._added, self._dropped = [], []
        for subscription in failed:
            _call(subscription.on_error, error)


def notifier_of(backend: ResultBackend) -> Notifier:
    """The notifier of a backend in this process; made at the first use.

    Raises:
        NotImplementedError: There is no backend, which is better said here than in a thread.
    """
    if not backend.capabilities.enabled:
        backend.open_watch()
    notifier = _notifiers.get(backend)
    if notifier is None or notifier.pid != os.getpid():
        # A child made by fork inherits what its parent's thread did, but not the thread.
        notifier = _notifiers[backend] = Notifier(backend)
    return notifier


def stop_lingering(backend: ResultBackend) -> None:
    """Let the thread of a backend that is about to be closed end, unless somebody waits."""
    notifier = _notifiers.get(backend)
    if notifier is not None and notifier.pid == os.getpid():
        notifier.stop_lingering()


_notifiers: weakref.WeakKeyDictionary[ResultBackend, Notifier] = weakref.WeakKeyDictionary()


def _call(function: Callable[..., object], argument: object) -> None:
    try:
        function(argument)
    except Exception:
        _log("A callback about results failed")


def _close(watch: ResultWatch) -> None:
    try:
        watch.close()
    except Exception:
        _log("Leaving off waiting for results failed")


def _log(what: str) -> None:
    # Not at the top: clients that have nothing to log do without the package.
    import logging

    logging.getLogger(__name__).exception(what)
