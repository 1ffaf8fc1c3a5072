"""A child process: takes jobs from its inbox, executes them, sends outcomes.  Runs in the child only.

It talks to the coordinator alone; result stores and publishing of follow-ups are reached through the app, with
connections of the child's own.  How jobs run is the runner's business.
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from celeriac import signals
from celeriac.execution import relaying
from celeriac.execution.job import SUCCEEDED
from celeriac.execution.limits import soft_limits
from celeriac.log import redirect_stdouts
from celeriac.pool.frames import FrameSocket
from celeriac.pool.inbox import Inbox
from celeriac.pool.runners.base import EVENTS, GREENLETS, OUTCOMES, READY, RELAYED, Desk

# Most pools' own, and loaded before the fork: importing it in each child would cost each 0.7 MB of its own.
from celeriac.pool.runners.serial import SerialRunner
from celeriac.utils.process import rss_kib, set_process_name

if TYPE_CHECKING:
    import socket

    from celeriac.current import AppLike
    from celeriac.execution.job import Outcome
    from celeriac.execution.results import ReportedEvent
    from celeriac.pool.runners.base import Runner

logger = logging.getLogger(__name__)

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
        runner: How jobs run: ``serial``, ``threads``, ``coroutines``, ``gevent``, ``eventlet``.
        capacity: How many jobs it runs at once.
        report_memory: Send the resident size along with outcomes.
        redirect_level: Log what tasks print, at this level; None leaves stdout and stderr alone.
        spawned: It was not forked.
    """

    def __init__(
        self,
        app: AppLike,
        index: int,
        hostname: str,
        sock: socket.socket,
        permits: int,
        *,
        runner: str = "serial",
        capacity: int = 1,
        report_memory: bool = False,
        redirect_level: str | int | None = None,
        spawned: bool = False,
    ) -> None:
        self._app = app
        self._index = index
        self._hostname = hostname
        self._frames = FrameSocket(sock)
        os.set_blocking(permits, False)
        self._inbox = Inbox(self._frames, permits)
        self._runner = runner
        self._capacity = capacity
        self._report_memory = report_memory
        self._redirect_level = redirect_level
        self._spawned = spawned
        self._send_lock = threading.Lock()
        self._relay: relaying.Relay | None = None

    def run(self) -> int:
        """Work until told to stop; returns the exit status."""
        title = process_title(self._runner, self._index, spawned=self._spawned)
        # Tasks in threads or coroutines have the worker's one process, as far as users and Celery are concerned.
        set_process_name(title, self._hostname, in_logs=title if self._runner == "serial" else "MainProcess")
        soft_limits.install()
        if self._redirect_level is not None:
            redirect_stdouts(self._redirect_level)
        try:
            signals.worker_process_init.send(sender=self._hostname)
        except Exception:
            logger.critical("worker_process_init failed; the child cannot start", exc_info=True)
            return EXIT_INIT_FAILED
        runner = self._make_runner()
        self.send(READY, os.getpid())
        status = EXIT_OK
        try:
            runner.run()
        except (SystemExit, KeyboardInterrupt) as exc:
            status = exc.code if isinstance(exc, SystemExit) and isinstance(exc.code, int) else 1
            return status
        finally:
            signals.worker_process_shutdown.send(sender=self._hostname, pid=os.getpid(), exitcode=status)
        return status

    def _make_runner(self) -> Runner:
        """The runner; a child loads the modules of its own only."""
        desk = Desk(self._app, self._hostname, self._inbox, self)
        if self._runner == "coroutines":
            from celeriac.pool.runners.coroutines import CoroutineRunner

            return CoroutineRunner(desk, self._capacity)
        if self._runner == "threads":
            from celeriac.pool.runners.threads import ThreadRunner

            return ThreadRunner(desk, self._capacity)
        if self._runner in GREENLETS:
            from celeriac.pool.runners.greenlets import GreenletRunner, open_library

            return GreenletRunner(desk, self._capacity, open_library(self._runner))
        tell = functools.partial(self.send, RELAYED)
        self._relay = relaying.Relay(lambda: self._inbox.address, self._inbox.is_empty, tell)
        relaying.use(self._app, self._relay)
        return SerialRunner(desk, self._capacity)

    def report(self, outcomes: list[Outcome]) -> None:
        """Send outcomes to the coordinator."""
        rss = rss_kib() if self._report_memory else 0
        self.send(OUTCOMES, ([(o.seq, o.kind, o.runtime, o.detail) for o in outcomes], rss))
        if self._relay is not None and (tags := self._inbox.tags):
            for outcome in outcomes:
                if (tag := tags.pop(outcome.seq, None)) is not None and outcome.kind == SUCCEEDED:
                    self._relay.end(tag)

    def report_events(self, events: list[ReportedEvent]) -> None:
        """Send events about tasks to the coordinator."""
        self.send(EVENTS, events)

    def send(self, kind: int, value: Any) -> None:
        """Send a frame to the coordinator, from any thread."""
        with self._send_lock:
            self._frames.send((kind, value))


def process_title(runner: str, index: int, *, spawned: bool = False) -> str:
    """What a child is called, in ``ps`` and where its end is logged.

    >>> process_title("serial", 1), process_title("threads", 1)
    ('ForkPoolWorker-1', 'Threads-1')
    """
    if runner != "serial":
        return f"{runner.capitalize()}-{index}"
    return f"SpawnPoolWorker-{index}" if spawned else f"ForkPoolWorker-{index}"


def child_main(
    app: AppLike, index: int, hostname: str, sock: socket.socket, permits: int, options: dict[str, Any]
) -> int:
    """Entry point of a child; returns its exit status."""
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
