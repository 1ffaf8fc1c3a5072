"""A child process: takes jobs from its inbox, executes them, sends outcomes.  Runs in the child only.

It talks to the coordinator alone; result stores and publishing of follow-ups are reached through the app, with
connections of the child's own.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from celeriac import signals
from celeriac.exceptions import OperationalError, SoftTimeLimitExceeded
from celeriac.execution.chords import record_parts
from celeriac.execution.execute import Executor
from celeriac.execution.results import ResultBuffer
from celeriac.log import redirect_stdouts
from celeriac.pool.frames import FrameSocket
from celeriac.pool.inbox import Closed, Inbox, Retired
from celeriac.utils.process import rss_kib, set_process_name

if TYPE_CHECKING:
    import socket
    from types import FrameType

    from celeriac.current import AppLike
    from celeriac.execution.job import Job, Outcome
    from celeriac.execution.results import ReportedEvent

logger = logging.getLogger(__name__)

#: Kinds of message a child sends; the first item of the frame.
READY = 0
BEGUN = 1
OUTCOMES = 2
EVENTS = 3

#: Exit statuses.
EXIT_OK = 0
EXIT_INIT_FAILED = 70


class Child:
    """The program of one child.

    Args:
        app: The finalized application.
        index: Number of the child, from 1, as in ``ForkPoolWorker-1``.
        hostname: Node name of the worker.
        sock: Socket to the coordinator.
        permits: Reading end of the pipe of permits.
        threads: How many jobs it runs at once.
        report_memory: Send the resident size along with outcomes.
        redirect_level: Log what tasks print, at this level; None leaves stdout and stderr alone.
    """

    def __init__(
        self,
        app: AppLike,
        index: int,
        hostname: str,
        sock: socket.socket,
        permits: int,
        *,
        threads: int = 1,
        report_memory: bool = False,
        redirect_level: str | int | None = None,
    ) -> None:
        self._app = app
        self._index = index
        self._hostname = hostname
        self._frames = FrameSocket(sock)
        os.set_blocking(permits, False)
        self._inbox = Inbox(self._frames, permits)
        self._threads = threads
        self._report_memory = report_memory
        self._redirect_level = redirect_level
        self._send_lock = threading.Lock()
        self._take_lock = threading.Lock()
        # What the inbox raised when it was closed, for the threads that did not see it.
        self._closed: Closed | None = None
        # Nobody waits for results any more, so that a store out of reach is not waited for.
        self._abandoned = False
        self._soft: SoftLimit = SoftLimit()

    def run(self) -> int:
        """Work until told to stop; returns the exit status."""
        set_process_name(f"ForkPoolWorker-{self._index}", self._hostname)
        self._soft.install()
        if self._redirect_level is not None:
            redirect_stdouts(self._redirect_level)
        try:
            signals.worker_process_init.send(sender=self._hostname)
        except Exception:
            logger.critical("worker_process_init failed; the child cannot start", exc_info=True)
            return EXIT_INIT_FAILED
        self._send(READY, os.getpid())
        status = EXIT_OK
        try:
            if self._threads == 1:
                self._work()
            else:
                self._work_in_threads()
        except (SystemExit, KeyboardInterrupt) as exc:
            status = exc.code if isinstance(exc, SystemExit) and isinstance(exc.code, int) else 1
            return status
        finally:
            signals.worker_process_shutdown.send(sender=self._hostname, pid=os.getpid(), exitcode=status)
        return status

    def _work(self) -> None:
        """Take, execute, report; flush whenever nothing is next."""
        results = ResultBuffer(self._report, lambda: self._abandoned, join=record_parts, report=self._report_events)
        try:
            self._work_until_closed(results)
        except Closed as exc:
            self._abandoned = not isinstance(exc, Retired)
            self._flush_last(results)
        except BaseException:
            # The task ends the process; those that ended before it shall not have to run again.
            self._abandoned = True
            self._flush_last(results)
            raise

    def _work_until_closed(self, results: ResultBuffer) -> None:
        """Raises `Closed` when there is nothing more to do, and what tasks raise to end the process."""
        execute = Executor(self._app, self._hostname, results).execute
        soft = self._soft if self._threads == 1 else None
        take = self._inbox.take if self._threads == 1 else self._take
        job: Job | None = None
        while True:
            if job is None:
                job = take(block=True)
                if job is None:
                    continue
            if job.announce:
                results.flush()
                self._send(BEGUN, (job.seq, time.time()))
            if soft is not None and job.soft_limit:
                with soft.watch(job.soft_limit):
                    outcome = execute(job)
            else:
                outcome = execute(job)
            try:
                job = take(block=False)
            except Closed:
                results.finish(outcome, more=True)
                raise
            results.finish(outcome, more=job is not None)

    def _flush_last(self, results: ResultBuffer) -> None:
        try:
            results.flush()
        except (OSError, OperationalError):
            logger.warning("Leaving with unreported outcomes: their messages will be delivered again")

    def _take(self, *, block: bool) -> Job | None:
        """`Inbox.take` for several threads: one of them waits, and the others do not wait for it with a job done."""
        if not self._take_lock.acquire(blocking=block):
            return None
        try:
            if self._closed is not None:
                raise self._closed
            return self._inbox.take(block=block)
        except Closed as exc:
            self._closed = exc
            raise
        finally:
            self._take_lock.release()

    def _work_in_threads(self) -> None:
        workers = [
            threading.Thread(target=self._guard_thread, name=f"ThreadPoolExecutor-{n}", daemon=True)
            for n in range(1, self._threads + 1)
        ]
        for thread in workers:
            thread.start()
        for thread in workers:
            thread.join()

    def _guard_thread(self) -> None:
        """A thread that ends for any reason but `Closed` takes the process with it: its slot would be deaf."""
        try:
            self._work()
        except BaseException:
            logger.critical("A task ended its thread; the child exits", exc_info=True)
            logging.shutdown()
            os._exit(1)

    def _report(self, outcomes: list[Outcome]) -> None:
        rss = rss_kib() if self._report_memory else 0
        self._send(OUTCOMES, ([(o.seq, o.kind, o.runtime, o.detail) for o in outcomes], rss))

    def _report_events(self, events: list[ReportedEvent]) -> None:
        self._send(EVENTS, events)

    def _send(self, kind: int, value: Any) -> None:
        with self._send_lock:
            self._frames.send((kind, value))


class SoftLimit:
    """Raises `SoftTimeLimitExceeded` inside the running task when the coordinator signals SIGUSR1.

    The signal may arrive a moment late; it is ignored unless the task it was meant for is still running.
    """

    def __init__(self) -> None:
        self._ends_at: float | None = None
        self._limit = 0.0

    def install(self) -> None:
        """Take over SIGUSR1; only in the main thread of a child."""
        signal.signal(signal.SIGUSR1, self._on_signal)

    def watch(self, limit: float) -> SoftLimit:
        """Context: the limit of the task about to run, in seconds."""
        self._limit = limit
        self._ends_at = time.monotonic() + limit
        return self

    def __enter__(self) -> None: ...

    def __exit__(self, *exc_info: object) -> None:
        self._ends_at = None

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        ends_at = self._ends_at
        # The coordinator's clock and ours differ by the time a frame takes.
        if ends_at is not None and time.monotonic() >= ends_at - 0.05:
            self._ends_at = None
            raise SoftTimeLimitExceeded(self._limit)


def child_main(
    app: AppLike, index: int, hostname: str, sock: socket.socket, permits: int, options: dict[str, Any]
) -> int:
    """Entry point of a forked child; returns its exit status."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return Child(app, index, hostname, sock, permits, **options).run()
    except (BrokenPipeError, ConnectionResetError, EOFError):
        return EXIT_OK
    except Exception:
        logger.critical("The child died of an internal error", exc_info=True)
        return 1
    finally:
        logging.shutdown()
        sys.stdout.flush()
