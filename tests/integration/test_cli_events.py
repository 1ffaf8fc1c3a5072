"""``celeriac events`` as a process: lines, snapshots, and the monitor in a pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery
from tests.support import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CAMERA = """
from celeriac.events.snapshot import Polaroid

class Camera(Polaroid):
    def on_shutter(self, state):
        if state.event_count:
            print("picture of", sorted(state.workers), flush=True)
"""


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    with Celery("watched", broker=redis_url, set_as_current=False) as app:
        yield app


@pytest.fixture
def start(redis_url: str, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts ``celeriac events`` with options."""
    started: list[subprocess.Popen[bytes]] = []
    (tmp_path / "snaps.py").write_text(CAMERA)

    def start(*options: str, **streams: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "celeriac", "-b", redis_url, "events", *options]
        environment = {
            **os.environ,
            "XDG_STATE_HOME": str(tmp_path),
            "TERM": "xterm-256color",
            "PYTHONPATH": str(tmp_path),
        }
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True, **streams)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def tell(app: Celery, type_: str = "worker-heartbeat", **fields: Any) -> None:
    with app.events.default_dispatcher("w9@test") as dispatcher:
        dispatcher.send(type_, freq=3000.0, **fields)


@pytest.mark.parametrize(
    ("options", "expected"),
    [(["--dump"], "heartbeat: clock="), (["-c", "snaps:Camera", "-F", "0.1"], "picture of ['w9@test']")],
)
def test_lines_and_pictures(
    app: Celery, start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path, options: list[str], expected: str
) -> None:
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = start(*options, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)

    def seen() -> bool:
        assert process.poll() is None, log.read_text()
        tell(app)
        return expected in log.read_text()

    wait_until(seen, interval=0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0, log.read_text()


def test_the_monitor_wants_a_terminal(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    process = start(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert b"the monitor needs a terminal; --dump prints events anywhere" in err


def test_the_monitor_shows_a_worker_and_quits(app: Celery, start: Callable[..., subprocess.Popen[bytes]]) -> None:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = start(stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    drawn = bytearray()

    def read() -> None:
        while select.select([master], [], [], 0.05)[0]:
            try:
                data = os.read(master, 65536)
            except OSError:
                # The other end is closed.
                return
            drawn.extend(data)

    def sees(text: str) -> bool:
        assert process.poll() is None, drawn.decode(errors="replace")[-4000:]
        tell(app)
        tell(app, "task-received", uuid="some-id", name="proj.resize", args="()", kwargs="{}")
        read()
        return text in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn.decode(errors="replace"))

    wait_until(lambda: sees("proj.resize"), what="the task is on the screen", interval=0.1)
    os.write(master, b"2")
    wait_until(lambda: sees("w9@test"), what="the worker is on the screen", interval=0.1)
    os.write(master, b"q")
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        read()
    assert process.wait(PATIENCE) == 0
    os.close(master)
