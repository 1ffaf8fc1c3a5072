"""The pool contract, applied to every pool, and to one that is not ours."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from celeriac.contrib.testing.pool import InlinePool
from celeriac.pool.fresh import start_spawner
from celeriac.pool.local import LocalPool
from celeriac.pool.process import ProcessPool
from celeriac.pool.recipe import describe
from celeriac.pool.runners.base import GREENLETS
from celeriac.pool.spawner import fork_spawner
from celeriac.testing.contracts import PoolContract
from celeriac.testing.pool_app import pool_app
from celeriac.worker.assembly import RUNNERS
from tests.support.pool_app import app

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac.pool.base import Pool, PoolListener

NODE = "pool@test"


class RunningLocalPool(LocalPool):
    """Runs its jobs in a thread, as the main one has the coordinator's loop."""

    async def start(self, listener: PoolListener) -> None:
        await super().start(listener)
        threading.Thread(target=self.run, daemon=True).start()


class TestPool(PoolContract):
    """Running, recalling, resizing, stopping."""

    @pytest.fixture(
        params=[
            "prefork", "prefork spawned", "threads", "asyncio", "gevent", "eventlet", "solo",
            "custom",
        ]
    )  # fmt: skip
    def make_pool(self, request: pytest.FixtureRequest) -> Callable[[], Pool]:
        name, _, how = request.param.partition(" ")
        if name == "solo":
            return lambda: RunningLocalPool(pool_app(), NODE)
        if name == "custom":
            return lambda: InlinePool(pool_app(), NODE, 2)
        return lambda: make_process_pool(name, spawned=bool(how))


def make_process_pool(name: str, *, spawned: bool) -> ProcessPool:
    """A pool of processes that runs two jobs at once."""
    runner = RUNNERS[name]
    if spawned or runner in GREENLETS:
        library = runner if runner in GREENLETS else ""
        pid, control = start_spawner(describe(app, name, {}), NODE, {"runner": runner}, library)
    else:
        pid, control = fork_spawner(pool_app(), NODE, {"runner": runner})
    shared = runner != "serial"
    return ProcessPool(
        name, 1 if shared else 2, runner=runner, capacity=2 if shared else 1, spawner_pid=pid, control=control
    )
