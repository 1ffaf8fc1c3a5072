"""Beat processes under test, and the messages they send.

``celeriac -A tests.support.beat beat`` reads its settings from the environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from celeriac import Celery
from celeriac.beat.book import ScheduleBook
from celeriac.beat.persistent import store_of
from celeriac.beat.standing import Standing
from tests.support.waiting import PATIENCE, wait_until
from tests.support.worker import ROOT

if TYPE_CHECKING:
    from pathlib import Path

VARIABLE = "CELERIAC_TEST_BEAT"
#: Has a beat kill itself when it has sent something, before it can note that.
CRASH = "CELERIAC_TEST_BEAT_CRASH"


def make_app(conf: dict[str, Any]) -> Celery:
    """The application."""
    return Celery("beats", set_as_current=False, changes={"result_backend": "disabled://", **conf})


@dataclass
class BeatSite:
    """An app, and the beats started for it.

    Attributes:
        conf: Settings of all of them.
        directory: For logs.
    """

    conf: dict[str, Any]
    directory: Path
    beats: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    received: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.app = make_app(self.conf)

    def start(self, *arguments: str, crash: bool = False) -> subprocess.Popen[bytes]:
        """Start a beat; ``crash`` has it die at the moment between sending and noting that it was sent."""
        with (self.directory / f"beat{len(self.beats)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "celeriac", "-A", "tests.support.beat", "beat", "-l", "INFO", *arguments],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", VARIABLE: json.dumps(self.conf), CRASH: "1" * crash},
            )  # fmt: skip
        self.beats[process.pid] = process
        return process

    @property
    def log(self) -> str:
        """What all beats have printed."""
        return "".join(path.read_text() for path in sorted(self.directory.glob("beat*.log")))

    @contextlib.contextmanager
    def book(self) -> Any:
        """The schedule."""
        with closing(store_of(self.app)) as store:
            yield ScheduleBook(self.app, store)

    def leader(self) -> int | None:
        """Process id of the beat that leads."""
        with self.book() as book:
            found = book.leader()
        return None if found is None else int(found.split(":")[1])

    def receive(self, count: int, timeout: float = PATIENCE) -> list[dict[str, Any]]:
        """Wait until so many messages were sent in all; returns their headers."""
        with closing(self.app.broker_for_read.connect()) as session:
            session.consume([self.app.queues.get_or_create("celery")])

            def enough() -> bool:
                found = session.fetch(limit=100, wait=0.1)
                session.ack_many(found)
                self.received += [each.message.headers for each in found]
                return len(self.received) >= count

            wait_until(enough, timeout, what=f"{count} messages; the beats say:\n{self.log[-3000:]}")
        return self.received

    def close(self) -> None:
        """Kill what still runs."""
        for process in self.beats.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            process.wait()
        self.app.close()


def _die_before_confirming(self: Standing, sent: dict[str, Any], token: int | None) -> None:
    if sent:
        os.kill(os.getpid(), signal.SIGKILL)


_told = os.environ.get(VARIABLE)
if _told is not None:
    app = make_app(json.loads(_told))
    if os.environ.get(CRASH):
        Standing.confirm = _die_before_confirming  # type: ignore[method-assign]
