"""How a worker stops, as a table of (stage, signal) → stage.  Acting on it is the coordinator's.

=========  ====================================================================================================
stage      meaning
=========  ====================================================================================================
RUNNING    at work
WARM       fetch no more, finish what has begun, give the rest back
COLD       wait ``worker_soft_shutdown_timeout``, then end what runs and give everything back
TERMINATE  end at once
=========  ====================================================================================================
"""

from __future__ import annotations

import signal
from enum import IntEnum


class Stage(IntEnum):
    """Stages of a shutdown; they only ever rise."""

    RUNNING = 0
    WARM = 1
    COLD = 2
    TERMINATE = 3


_TABLE: dict[tuple[Stage, int], Stage] = {
    (Stage.RUNNING, signal.SIGTERM): Stage.WARM,
    (Stage.RUNNING, signal.SIGINT): Stage.WARM,
    (Stage.RUNNING, signal.SIGHUP): Stage.WARM,
    (Stage.RUNNING, signal.SIGQUIT): Stage.COLD,
    (Stage.WARM, signal.SIGTERM): Stage.COLD,
    (Stage.WARM, signal.SIGINT): Stage.COLD,
    (Stage.WARM, signal.SIGQUIT): Stage.COLD,
    (Stage.COLD, signal.SIGTERM): Stage.COLD,
    (Stage.COLD, signal.SIGINT): Stage.TERMINATE,
    (Stage.COLD, signal.SIGQUIT): Stage.TERMINATE,
}


def next_stage(stage: Stage, number: int) -> Stage:
    """The stage after a signal."""
    return _TABLE.get((stage, number), stage)


def exit_code(stage: Stage, number: int) -> int:
    """Exit status of a shutdown that a signal began: 0 for a plain SIGTERM or SIGHUP, else 1 (as in Celery)."""
    return 0 if number in (signal.SIGTERM, signal.SIGHUP) and stage is Stage.WARM else 1


#: What is printed when a stage is reached.
ANNOUNCEMENTS = {
    Stage.WARM: "worker: Warm shutdown (MainProcess)",
    Stage.COLD: "worker: Cold shutdown (MainProcess)",
    Stage.TERMINATE: "worker: Terminating at once (MainProcess)",
}
