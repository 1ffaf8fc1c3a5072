"""Bootsteps: what users add to the start and stop of a worker, and of its consumer.

``app.steps["worker"].add(MyStep)`` and ``app.steps["consumer"].add(MyStep)`` install them; `celeriac.worker.bootsteps`
runs them.
"""

from __future__ import annotations

from celeriac.bootsteps.blueprint import CLOSE, RUN, TERMINATE, Blueprint
from celeriac.bootsteps.step import ConsumerStep, StartStopStep, Step

__all__ = ["CLOSE", "RUN", "TERMINATE", "Blueprint", "ConsumerStep", "StartStopStep", "Step"]
