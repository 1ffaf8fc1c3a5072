"""How far a worker is in stopping, and how long it waits for what runs.  Runs on the coordinator's loop.

What a signal means is `shutdown`'s table; ending what still runs is the coordinator's.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING

from celeriac import signals
from celeriac.worker.shutdown import ANNOUNCEMENTS, Stage, exit_code, next_stage

if TYPE_CHECKING:
    from celeriac.worker.ledger import Ledger

__all__ = ["Leaving"]

log = logging.getLogger("celeriac.worker")

#: A SIGTERM this many seconds after another one says nothing new.
REPEATED_TERM = 0.5


class Leaving:
    """The stage of the shutdown.

    Args:
        hostname: Node name.
        ledger: What is not settled.

    Attributes:
        stage: How far it is; read by other threads too.
        exit_code: Exit status of the process.
        failure: Why the worker cannot go on.
        is_hung_up: The shutdown began with a SIGHUP, and nothing worse came.
        is_ending: What runs is being ended: what the pool loses now is given back, not accounted as lost.
    """

    def __init__(self, hostname: str, ledger: Ledger) -> None:
        self.stage = Stage.RUNNING
        self.exit_code = 0
        self.failure: str | None = None
        self.is_hung_up = self.is_ending = False
        self._hostname = hostname
        self._ledger = ledger
        self._last_term = float("-inf")
        self._begun = asyncio.Event()
        self._changed = asyncio.Event()

    def request(self, number: int) -> None:
        """Act on an OS signal."""
        stage = next_stage(self.stage, number)
        now = asyncio.get_running_loop().time()
        # timeout(1) and some supervisors signal the process and its group: one request, received twice.
        repeated = number == signal.SIGTERM and now - self._last_term < REPEATED_TERM
        self._last_term = now if number == signal.SIGTERM else self._last_term
        if stage is self.stage or repeated:
            return
        if self.stage is Stage.RUNNING or stage > Stage.WARM:
            self.exit_code = exit_code(stage, number)
            self.is_hung_up = number == signal.SIGHUP
        self.stage = stage
        print(ANNOUNCEMENTS[stage], flush=True)  # noqa: T201 - operators expect it on stdout
        if number == signal.SIGINT and stage is Stage.WARM:
            print(  # noqa: T201
                "worker: Hitting Ctrl+C again will initiate cold shutdown, terminating all running tasks!", flush=True
            )
        signals.worker_shutting_down.send(
            sender=self._hostname,
            sig=signal.Signals(number).name,
            how="Warm" if stage is Stage.WARM else "Cold",
            exitcode=self.exit_code,
        )
        self._announce()

    def finish(self, code: int | None = None, now: bool = False) -> None:
        """Stop when what runs has ended; nobody outside has to be told.

        Args:
            code: Exit status; None leaves it as it is.
            now: End what runs.
        """
        self.stage = max(self.stage, Stage.COLD if now else Stage.WARM)
        self.exit_code = self.exit_code if code is None else code
        self._announce()

    def fail(self, reason: str) -> None:
        """Stop because the worker cannot go on."""
        if self.failure is None:
            self.failure = reason
            log.critical("Unrecoverable error: %s", reason)
            self.exit_code = 1
            self.stage = max(self.stage, Stage.COLD)
            self._announce()

    def _announce(self) -> None:
        self._begun.set()
        self._changed.set()

    def note_drained(self) -> None:
        """Look whether anything is left; call it when less may be."""
        if not len(self._ledger):
            self._changed.set()

    async def begin(self) -> None:
        """Wait until the worker is to stop."""
        await self._begun.wait()

    async def drain(self, *, grace: float | None, soft_timeout: float, soft_on_idle: bool) -> None:
        """Wait for what runs, for as long as the stage allows.

        Args:
            grace: Seconds of a warm shutdown; None is as long as it takes.
            soft_timeout: Seconds of a cold one.
            soft_on_idle: They pass even when nothing runs.
        """
        if self.stage is Stage.WARM:
            await self._wait(grace, Stage.WARM)
        soft = soft_timeout if self.failure is None else 0.0
        if self.stage is Stage.COLD and soft and (len(self._ledger) or soft_on_idle):
            log.warning("Initiating Soft Shutdown, terminating in %s seconds", soft)
            await self._wait(soft, Stage.COLD)

    async def _wait(self, timeout: float | None, stage: Stage) -> None:
        """Wait for what runs; returns early when a later stage is reached."""
        deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        while len(self._ledger) and self.stage is stage:
            self._changed.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._changed.wait()
            except TimeoutError:
                log.warning("%d task(s) still run after %s seconds; they are given back", len(self._ledger), timeout)
                return
