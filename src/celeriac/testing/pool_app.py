"""The application of the pool contract, without what the contract itself needs: children may import it."""

from __future__ import annotations

import time
from pathlib import Path

from celeriac import Celery


def pool_app() -> Celery:
    """The application whose tasks the contract runs."""
    app = Celery("pool-contract", broker="memory://", backend="disabled://", set_as_current=False)

    @app.task(name="succeed")
    def succeed() -> None:
        return None

    @app.task(name="fail")
    def fail() -> None:
        raise ValueError("on purpose")

    @app.task(name="wait")
    def wait(began: str, gate: str) -> None:
        Path(began).touch()
        while not Path(gate).exists():
            time.sleep(0.005)

    app.finalize()
    return app
