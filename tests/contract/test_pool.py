"""The pool contract, applied to every pool, and to one that is not ours."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.pool.local import LocalPool
from celeriac.pool.process import ProcessPool
from celeriac.pool.spawner import fork_spawner
from celeriac.testing.contracts import PoolContract
from celeriac.testing.contracts.pool import pool_app
from tests.support.inline_pool import InlinePool

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac.pool.base import Pool, PoolListener


class RunningLocalPool(LocalPool):
    """Runs its jobs in a thread, as the main one has the coordinator's loop."""

    async def start(self, listener: PoolListener) -> None:
        await super().start(listener)
        threading.Thread(target=self.run, daemon=True).start()


class TestPool(PoolContract):
    """Running, recalling, resizing, stopping."""

    @pytest.fixture(params=["serial", "threads", "coroutines", "solo", "inline"])
    def make_pool(self, request: pytest.FixtureRequest) -> Callable[[], Pool]:
        kind: Any = request.param
        app = pool_app()
        if kind == "solo":
            return lambda: RunningLocalPool(app, "pool@test")
        if kind == "inline":
            return lambda: InlinePool(app, "pool@test", 2)

        def make() -> Pool:
            shared = kind != "serial"
            pid, control = fork_spawner(app, "pool@test", {"runner": kind})
            return ProcessPool(
                kind, 1 if shared else 2, runner=kind, capacity=2 if shared else 1, spawner_pid=pid, control=control
            )

        return make
