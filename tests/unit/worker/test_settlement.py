"""The settlement table, row by row."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from celeriac.execution.job import FAILED, IGNORED, LOST, REFUSED, REJECTED, REQUEUED, RETRIED, SUCCEEDED, TIMED_OUT
from celeriac.worker.settlement import Action, decide, is_final

DEFAULTS = {"acks_on_failure": True, "acks_on_timeout": True, "reject_on_worker_lost": True,
            "retry_on_worker_lost": False, "max_deliveries": 5}  # fmt: skip

TABLE = [
    (SUCCEEDED, {}, 1, Action.ACK),
    (RETRIED, {}, 1, Action.ACK),
    (IGNORED, {}, 1, Action.ACK),
    (FAILED, {}, 1, Action.ACK),
    (FAILED, {"acks_on_failure": False}, 1, Action.REJECT),
    (TIMED_OUT, {}, 1, Action.ACK),
    (TIMED_OUT, {"acks_on_timeout": False}, 1, Action.REQUEUE),
    (REJECTED, {}, 1, Action.REJECT),
    (REQUEUED, {}, 1, Action.REQUEUE),
    (REFUSED, {}, 1, Action.DEAD_LETTER),
    (LOST, {}, 1, Action.REQUEUE),
    (LOST, {}, 4, Action.REQUEUE),
    (LOST, {}, 5, Action.DEAD_LETTER),
    (LOST, {"max_deliveries": None}, 500, Action.REQUEUE),
    (LOST, {"reject_on_worker_lost": False}, 1, Action.ACK),
    (LOST, {"reject_on_worker_lost": None}, 1, Action.ACK),
    (LOST, {"retry_on_worker_lost": True}, 1, Action.ACK),
    (LOST, {"retry_on_worker_lost": True, "acks_on_failure": False}, 1, Action.REJECT),
    (LOST, {"reject_on_worker_lost": False, "acks_on_failure": False}, 1, Action.REJECT),
]


@pytest.mark.parametrize(("kind", "changes", "deliveries", "action"), TABLE)
def test_late_acknowledgement_follows_the_table(
    kind: int, changes: dict[str, object], deliveries: int, action: Action
) -> None:
    plan = SimpleNamespace(**{**DEFAULTS, **changes})
    assert decide(plan, kind, late=True, deliveries=deliveries) is action


@pytest.mark.parametrize("kind", range(9))
def test_early_acknowledgement_leaves_nothing_to_do(kind: int) -> None:
    assert decide(SimpleNamespace(**DEFAULTS), kind, late=False, deliveries=1) is Action.NONE


def test_a_lost_task_fails_for_good_unless_it_is_requeued() -> None:
    plan = SimpleNamespace(**DEFAULTS)
    assert is_final(plan, LOST, Action.DEAD_LETTER)
    assert is_final(plan, LOST, Action.NONE)
    assert not is_final(plan, LOST, Action.REQUEUE)
    assert not is_final(plan, SUCCEEDED, Action.ACK)
