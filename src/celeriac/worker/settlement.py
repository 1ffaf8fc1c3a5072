"""What becomes of a message when its task has ended: a pure function, and the table it implements.

==============  =============================  ====================================================
outcome         early acknowledgement          late acknowledgement
==============  =============================  ====================================================
succeeded       nothing left to do             ack
retried         nothing                        ack (the retry is a message of its own)
ignored         nothing                        ack
failed          nothing                        ack if ``acks_on_failure``, else reject
timed out       nothing                        ack if ``acks_on_timeout``, else requeue
rejected        nothing                        reject
requeued        nothing                        requeue
refused         nothing                        dead letter
lost            nothing                        as failed if ``retry_on_worker_lost``: the retry is its own message;
                                               requeue if ``reject_on_worker_lost`` and deliveries are left;
                                               dead letter if none are left; else as failed
==============  =============================  ====================================================
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from celeriac.execution.job import FAILED, LOST, REFUSED, REJECTED, REQUEUED, TIMED_OUT


class Action(Enum):
    """What to do with a message."""

    NONE = "none"
    ACK = "ack"
    REJECT = "reject"
    REQUEUE = "requeue"
    DEAD_LETTER = "dead letter"


def decide(plan: Any, kind: int, *, late: bool, deliveries: int) -> Action:
    """Choose the action of the table above.

    Args:
        plan: The task's settings.
        kind: How the task ended.
        late: The message has not been acknowledged.
        deliveries: How often it has been handed out, this time included.
    """
    if not late:
        return Action.NONE
    if kind == FAILED:
        return Action.ACK if plan.acks_on_failure else Action.REJECT
    if kind == TIMED_OUT:
        return Action.ACK if plan.acks_on_timeout else Action.REQUEUE
    if kind == LOST:
        if plan.retry_on_worker_lost or not plan.reject_on_worker_lost:
            return Action.ACK if plan.acks_on_failure else Action.REJECT
        return Action.DEAD_LETTER if exhausted(plan, deliveries) else Action.REQUEUE
    return {REJECTED: Action.REJECT, REQUEUED: Action.REQUEUE, REFUSED: Action.DEAD_LETTER}.get(kind, Action.ACK)


def exhausted(plan: Any, deliveries: int) -> bool:
    """No further delivery is allowed."""
    return plan.max_deliveries is not None and deliveries >= plan.max_deliveries


def is_final(plan: Any, kind: int, action: Action) -> bool:
    """A lost or killed task will not run again, so its failure must be recorded."""
    return kind in (LOST, TIMED_OUT) and action is not Action.REQUEUE
