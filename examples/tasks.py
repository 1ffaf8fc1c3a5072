"""The tasks of the demonstration; an app with nothing configured uses the embedded SQLite broker and results."""

from __future__ import annotations

import time
from typing import Any

from celeriac import Celery

app = Celery("demo")


@app.task
def add(x: int, y: int) -> int:
    """Return the sum."""
    return x + y


@app.task
def nap(seconds: float) -> str:
    """Take some time."""
    time.sleep(seconds)
    return f"slept for {seconds} s"


@app.task
def fail() -> None:
    """Raise an error, which the caller of `get` sees."""
    raise ValueError("this task always fails")


@app.task(bind=True, autoretry_for=(ConnectionError,), default_retry_delay=0.2)
def unlucky(self: Any) -> str:
    """Fail twice, and succeed when it is tried again."""
    if self.request.retries < 2:
        raise ConnectionError("not yet")
    return f"done, after {self.request.retries} retries"
