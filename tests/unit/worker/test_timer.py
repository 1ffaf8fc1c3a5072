"""Calls are made when they are due, by priority, and again if they repeat."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import TYPE_CHECKING

from celeriac.worker.timer import Hub, Timer
from tests.support import PATIENCE

if TYPE_CHECKING:
    import pytest


def test_calls_are_made_when_they_are_due_in_order() -> None:
    woken: list[int] = []
    calls: list[str] = []
    timer = Timer(lambda: woken.append(1))
    timer.call_after(3600, calls.append, ("later",))
    timer.call_at(time.time() - 1, calls.append, ("overdue",))
    timer.call_after(0, calls.append, kwargs={}, args=("now",))
    left = timer.run_due()
    assert calls == ["overdue", "now"]
    assert left is not None
    assert 0 < left <= 3600
    assert (len(woken), len(timer)) == (3, 1)
    timer.clear()
    assert timer.run_due() is None


def test_repeated_calls_survive_what_they_raise(caplog: pytest.LogCaptureFixture) -> None:
    timer = Timer(lambda: None)

    def fail() -> None:
        raise RuntimeError("again")

    entry = timer.call_repeatedly(3600, fail)
    timer.call_after(0, entry)
    timer.run_due()
    assert "RuntimeError('again')" in caplog.text
    assert len(timer) == 1
    timer.cancel(entry)
    assert entry.canceled
    assert timer.run_due() is None


def test_the_hub_calls_when_a_file_can_be_read_once_for_each_time_it_is_read() -> None:
    asked = threading.Event()
    timer = Timer(asked.set)
    got: list[bytes] = []
    read_end, write_end = os.pipe()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    hub = Hub(timer, loop)
    try:
        hub.add_reader(read_end, lambda: got.append(os.read(read_end, 1)))
        os.write(write_end, b"ab")
        while len(got) < 2:
            assert asked.wait(PATIENCE)
            asked.clear()
            timer.run_due()
        hub.remove(read_end)
        assert got == [b"a", b"b"]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()
        os.close(read_end)
        os.close(write_end)
