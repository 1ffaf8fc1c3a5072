"""`start_worker`: a worker in threads of the process that tests it."""

from __future__ import annotations

import logging
import os
import threading
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from celeriac import signals
from celeriac.contrib.testing.tasks import PING, declare_ping
from celeriac.exceptions import ImproperlyConfigured
from celeriac.log import task_logger
from celeriac.result import allow_join_result
from celeriac.utils.nodenames import anon_nodename
from celeriac.worker.assembly import POOLS, Worker, WorkerOptions
from celeriac.worker.launcher import make_worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celeriac.app.base import Celery

__all__ = ["TestWorkController", "start_worker", "test_worker_started", "test_worker_starting", "test_worker_stopped"]

#: Sent before a worker starts; the sender is the app.
test_worker_starting = signals.Signal("test_worker_starting")
#: Sent when it consumes.
test_worker_started = signals.Signal("test_worker_started", {"worker"})
#: Sent when it has ended.
test_worker_stopped = signals.Signal("test_worker_stopped", {"worker"})

#: What Celery calls a pool of threads is one of threads here too.
_IN_PROCESS: Final = {"threads": "celeriac.contrib.testing.pool:InlinePool"}
WORKER_LOGLEVEL: Final = os.environ.get("WORKER_LOGLEVEL", "error")


class TestWorkController(Worker):
    """A worker in threads of a process that does other things too: it leaves logging and signals as they are.

    Args:
        app: The application.
        options: Options.
    """

    __test__ = False
    waits_for_broker = False

    def __init__(self, app: Celery, options: WorkerOptions | None = None) -> None:
        super().__init__(app, options)
        self._settled = threading.Event()
        self._error: BaseException | None = None
        self._ready = False
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

    def set_up_logging(self) -> None:
        """Configure logging if the app or the call asked for it."""
        if self.options.logfile or getattr(self.app, "enable_logging", False):
            root = logging.getLogger()
            # Those of the test runner stay, but do not keep others out.
            others, root.handlers[:] = list(root.handlers), []
            super().set_up_logging()
            root.handlers.extend(others)

    def announce_ready(self) -> None:
        """Let go on who waits for it."""
        super().announce_ready()
        self._ready = True
        self._settled.set()

    def start_thread(self, timeout: float) -> None:
        """Start; returns when it consumes.

        Args:
            timeout: Seconds until that is given up.

        Raises:
            RuntimeError: It could not start; the cause says why.
        """
        self._thread.start()
        in_time = self._settled.wait(timeout)
        if self._ready:
            return
        if in_time:
            self._thread.join()
        self.stop()
        raise RuntimeError(f"The worker did not start: {self._reason(timeout)}") from self._error

    def join(self, timeout: float) -> None:
        """Wait until it has ended.

        Args:
            timeout: Seconds until that is given up.

        Raises:
            RuntimeError: It still runs, or ended by an error.
        """
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise RuntimeError(
                f"The worker still runs a task {timeout} seconds after it was told to stop: let the task end, or give "
                "start_worker() a larger shutdown_timeout"
            )
        # What kept it from starting was raised then.
        if self._error is not None and self._ready:
            raise RuntimeError(f"The worker ended by an error: {self._error}") from self._error

    def _run(self) -> None:
        try:
            status = self.start()
            if status:
                failure = self.coordinator.failure if self.coordinator is not None else None
                raise RuntimeError(failure or f"it ended with status {status}; see the log")
        except BaseException as exc:
            self._error = exc
        finally:
            self._settled.set()

    def _reason(self, timeout: float) -> str:
        return f"it was not ready within {timeout} seconds" if self._error is None else str(self._error)


@contextmanager
def start_worker(
    app: Any,
    concurrency: int = 1,
    pool: str = "solo",
    loglevel: int | str = WORKER_LOGLEVEL,
    logfile: str | None = None,
    perform_ping_check: bool = True,
    ping_task_timeout: float = 10.0,
    shutdown_timeout: float = 10.0,
    **kwargs: Any,
) -> Iterator[TestWorkController]:
    """Run a worker in threads of this process for as long as the block.

    It consumes when the block begins; when the block ends it finishes what runs, and no thread of it is left. Logging
    is configured only with a ``logfile`` or for a `TestApp` with ``enable_logging``, and as before afterwards.

    Args:
        app: The app; it becomes the current and the default one.
        concurrency: Tasks at once; solo runs one.
        pool: ``solo`` or ``threads``, which run tasks in this process; others need a broker and a result store that
            other processes reach.
        loglevel: Level, where logging is configured.
        logfile: Path of a log.
        perform_ping_check: Call a task and await its result first.
        ping_task_timeout: Seconds until starting, and that task, are given up.
        shutdown_timeout: Seconds until waiting for its end is given up.
        **kwargs: More options, as for ``app.Worker``.

    Raises:
        RuntimeError: It did not start, died, or did not end in time.
        ImproperlyConfigured: Its options cannot be used.
    """
    app.finalize()
    app.set_current()
    app.set_default()
    if perform_ping_check:
        declare_ping(app)
    _check_reach(app, pool)
    test_worker_starting.send(sender=app)
    options = {
        "concurrency": concurrency, "loglevel": loglevel, "logfile": logfile, "hostname": anon_nodename(),
        "without_heartbeat": True, "quiet": True, **kwargs, "pool": _IN_PROCESS.get(pool, pool),
    }  # fmt: skip
    worker = make_worker(app, options, TestWorkController)
    with _logging_kept() if logfile or getattr(app, "enable_logging", False) else nullcontext():
        try:
            worker.start_thread(ping_task_timeout)
            test_worker_started.send(sender=app, worker=worker)
            if perform_ping_check:
                _check_that_it_works(app, worker, ping_task_timeout)
            yield worker
        finally:
            worker.stop()
            test_worker_stopped.send(sender=app, worker=worker)
            worker.join(shutdown_timeout)


def _check_reach(app: Any, pool: str) -> None:
    """Refuse child processes whose results nobody would see."""
    if pool in POOLS and pool not in ("solo", *_IN_PROCESS) and app.backend.url.startswith("memory"):
        raise ImproperlyConfigured(
            f"start_worker(pool={pool!r}) runs tasks in other processes, which do not reach the results in memory "
            f"({app.backend.url}): use pool='solo' or 'threads', or set result_backend to a server or a file"
        )


def _check_that_it_works(app: Any, worker: TestWorkController, timeout: float) -> None:
    from celeriac.exceptions import TimeoutError as ResultTimeout

    queues = list(app.queues.consume_from)
    with allow_join_result():
        result = app.send_task(PING, queue=queues[0], ignore_result=False)
        try:
            result.get(timeout=timeout)
        except (ResultTimeout, NotImplementedError) as exc:
            raise RuntimeError(
                f"The worker {worker.hostname} did not run {PING} from {queues[0]!r} within {timeout} seconds, or the "
                "app keeps no results: set result_backend, or give start_worker(perform_ping_check=False)"
            ) from exc


@contextmanager
def _logging_kept() -> Iterator[None]:
    """Have the handlers and levels of before afterwards."""
    loggers = (logging.getLogger(), task_logger)
    before = [(one, list(one.handlers), one.level, one.propagate) for one in loggers]
    try:
        yield
    finally:
        logging.captureWarnings(False)
        for one, handlers, level, propagate in before:
            for handler in set(one.handlers) - set(handlers):
                handler.close()
            one.handlers[:] = handlers
            one.setLevel(level)
            one.propagate = propagate
