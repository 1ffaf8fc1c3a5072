"""The client of asyncio libraries.  Apart from the others, so that their workers do not carry asyncio and OpenSSL."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any

from bench.apps.common import KEPT_TOKENS, SETTINGS, Client


class AsyncClient(Client):
    """A client of an asyncio library; `asend` and its kin are coroutines on one long-lived loop."""

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None

    def run(self, coroutine: Any) -> Any:
        """Run a coroutine on the client's loop (uvloop when the environment has it)."""
        if self._runner is None:
            self._runner = asyncio.Runner(loop_factory=_loop_factory())
            self._runner.run(self.connect())
        return self._runner.run(coroutine)

    async def connect(self) -> None:
        """Open connections once."""

    async def asend(self, index: int) -> Any:
        """Enqueue the task that marks `index`."""
        raise NotImplementedError

    async def asend_hold(self, index: int, seconds: float) -> None:
        """Enqueue the task that sleeps and then marks `index`."""
        raise NotImplementedError

    async def asend_delayed(self, index: int, seconds: float) -> None:
        """Enqueue the task that marks `index` in `seconds` from now."""
        raise NotImplementedError

    async def await_result(self, handle: Any) -> Any:
        """Wait for the result of a call."""
        raise NotImplementedError

    def send(self, index: int) -> Any:
        return self.run(self.asend(index))

    def send_hold(self, index: int, seconds: float) -> None:
        self.run(self.asend_hold(index, seconds))

    def send_range(self, start: int, count: int) -> list[str]:
        async def loop() -> list[Any]:
            handles: deque[Any] = deque(maxlen=KEPT_TOKENS)
            for index in range(start, start + count):
                handles.append(await self.asend(index))
            return list(handles)

        handles = self.run(loop())
        return [self.token(handle) for handle in handles] if SETTINGS.results else []

    def send_delayed_range(self, index: int, count: int, seconds: float) -> None:
        async def loop() -> None:
            for _ in range(count):
                await self.asend_delayed(index, seconds)

        self.run(loop())

    def round_trips(self, start: int, count: int) -> list[int]:
        async def loop() -> list[int]:
            durations = []
            for index in range(start, start + count):
                before = time.perf_counter_ns()
                value = await self.await_result(await self.asend(index))
                durations.append(time.perf_counter_ns() - before)
                if value != index:
                    raise AssertionError(f"task {index} returned {value!r}")
            return durations

        durations: list[int] = self.run(loop())
        return durations


def _loop_factory() -> Any:
    try:
        import uvloop  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return None
    return uvloop.new_event_loop
