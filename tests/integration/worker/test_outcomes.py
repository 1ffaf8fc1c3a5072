"""How tasks end, on every transport, in a worker that lives through all of it."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from celeriac.exceptions import ImproperlyConfigured, NotRegistered, TaskRevokedError
from tests.support import PATIENCE, SLACK, wait_until

if TYPE_CHECKING:
    from tests.support.worker import Workshop

#: Seconds by which clocks of one machine may differ: a worker waits by another one than tasks look at.
CLOCKS = 0.05


def test_result_of_a_task_comes_back(shared: Workshop) -> None:
    assert shared.task("add").delay(2, 3).get(timeout=PATIENCE) == 5


def test_exception_comes_back_with_type_message_and_traceback(shared: Workshop) -> None:
    result = shared.task("fail").delay("some text")
    with pytest.raises(ValueError, match="some text"):
        result.get(timeout=PATIENCE)
    assert result.state == "FAILURE"
    assert "ValueError: some text" in result.traceback


def test_retries_run_until_the_task_succeeds(shared: Workshop) -> None:
    result = shared.task("retry").delay(3)
    assert result.get(timeout=PATIENCE) == 3
    assert [each["retries"] for each in shared.ledger.records("start", id=result.id)] == [0, 1, 2, 3]


def test_autoretry_gives_up_after_max_retries_with_the_exception(shared: Workshop) -> None:
    result = shared.task("autoretry").delay(99)
    with pytest.raises(ValueError, match="not yet"):
        result.get(timeout=PATIENCE)
    assert [each["retries"] for each in shared.ledger.records("start", id=result.id)] == [0, 1, 2]


def test_autoretry_ends_in_success(shared: Workshop) -> None:
    assert shared.task("autoretry").delay(2).get(timeout=PATIENCE) == 2


def test_ignored_task_leaves_no_result(shared: Workshop) -> None:
    result = shared.task("ignore").delay()
    wait_until(lambda: shared.ledger.count("start", id=result.id), what="the task ran")
    assert shared.task("add").delay(1, 1).get(timeout=PATIENCE) == 2
    assert result.state == "PENDING"


def test_rejected_task_with_requeue_runs_again(shared: Workshop) -> None:
    result = shared.task("reject").delay(True)
    assert result.get(timeout=PATIENCE) == "third time"
    assert shared.ledger.count("start", id=result.id) == 3


def test_rejected_task_without_requeue_runs_once_and_fails(shared: Workshop) -> None:
    result = shared.task("reject").delay(False)
    wait_until(lambda: result.state == "FAILURE", what="the failure is stored")
    assert shared.ledger.count("start", id=result.id) == 1


def test_unserializable_result_is_a_failure_that_says_so(shared: Workshop) -> None:
    result = shared.task("unserializable").delay()
    with pytest.raises(Exception, match="object"):
        result.get(timeout=PATIENCE)
    assert result.state == "FAILURE"


def test_unknown_task_fails_and_is_set_aside(shared: Workshop) -> None:
    result = shared.app.send_task("nobody.knows.this", (1,))
    with pytest.raises(NotRegistered):
        result.get(timeout=PATIENCE)
    (letter,) = wait_until(
        lambda: [each for each in shared.dead_letters() if each.message.headers.get("id") == result.id],
        what="the message is among the dead letters",
    )
    assert "unregistered" in letter.reason


def test_expired_task_is_revoked_and_never_runs(shared: Workshop) -> None:
    with pytest.warns(RuntimeWarning, match="in the past"):
        result = shared.task("work").apply_async(expires=datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(TaskRevokedError):
        result.get(timeout=PATIENCE)
    assert result.state == "REVOKED"
    assert not shared.ledger.count("start", id=result.id)


def test_task_with_a_countdown_runs_when_it_is_due(shared: Workshop) -> None:
    published = time.time()
    result = shared.task("work").apply_async(countdown=1.5)
    assert shared.task("add").delay(1, 1).get(timeout=PATIENCE) == 2
    result.get(timeout=PATIENCE)
    (start,) = shared.ledger.records("start", id=result.id)
    assert 1.45 <= start["at"] - published <= 1.5 + SLACK


def test_link_gets_the_result(shared: Workshop) -> None:
    key = uuid.uuid4().hex
    shared.task("add").apply_async((key, "!"), link=shared.task("note").s())
    wait_until(lambda: shared.ledger.count("note", value=f"{key}!"), what="the link ran")


def test_errback_of_one_argument_is_published(shared: Workshop) -> None:
    result = shared.task("fail").apply_async(link_error=shared.task("errback_published").s())
    wait_until(lambda: shared.ledger.count("errback published", id=result.id), what="the errback ran")


def test_errback_of_three_arguments_is_called_in_place(shared: Workshop) -> None:
    result = shared.task("fail").apply_async(("broken",), link_error=shared.task("errback_in_place").s())
    wait_until(lambda: shared.ledger.count("errback in place", id=result.id), what="the errback ran")
    (record,) = shared.ledger.records("errback in place", id=result.id)
    assert record["error"] == "ValueError('broken')"


def test_update_state_is_visible_while_the_task_runs(shared: Workshop) -> None:
    gate = shared.gate(uuid.uuid4().hex)
    result = shared.task("progress").delay(str(gate))
    wait_until(lambda: result.state == "PROGRESS", what="the state is stored")
    assert result.info == {"done": 7}
    gate.touch()
    assert result.get(timeout=PATIENCE) == "done"


@pytest.mark.parametrize(
    ("how", "hooks"),
    [
        ("succeed", ["before_start", "on_success", "after_return"]),
        ("fail", ["before_start", "on_failure", "after_return"]),
    ],
)
def test_hooks_of_an_attempt_run_in_order(shared: Workshop, how: str, hooks: list[str]) -> None:
    result = shared.task("hooked").delay(how)
    result.get(timeout=PATIENCE, propagate=False)
    wanted = [f"hook {name}" for name in hooks]
    wait_until(lambda: [each["what"] for each in shared.ledger.records(id=result.id)] == wanted, what=f"{wanted}")


def test_hooks_run_for_a_retry(shared: Workshop) -> None:
    """The other child may begin the second attempt before the first one's hook has run."""
    result = shared.task("hooked").delay("retry")
    result.get(timeout=PATIENCE)
    names = ("before_start", "before_start", "on_retry", "on_success", "after_return")
    wanted = sorted(f"hook {name}" for name in names)
    wait_until(lambda: sorted(each["what"] for each in shared.ledger.records(id=result.id)) == wanted, what=f"{wanted}")


def test_fast_task_has_its_result_stored_while_a_long_one_follows_in_the_same_child(shared: Workshop) -> None:
    """The long ones do not end before its result is there."""
    task, gate = shared.task("work"), shared.gate(uuid.uuid4().hex)
    for _ in range(5):
        result = shared.task("add").delay(1, 2)
        long = [task.delay(0, str(gate)) for _ in range(2)]
        assert result.get(timeout=PATIENCE) == 3
        gate.touch()
        for each in long:
            each.get(timeout=PATIENCE)
        gate.unlink()


def test_task_that_prints_ten_megabytes_succeeds(shared: Workshop) -> None:
    assert shared.task("shout").delay(10 * 1024 * 1024).get(timeout=PATIENCE) == 10 * 1024 * 1024


def test_body_of_64_megabytes_runs_and_the_next_task_too(shared: Workshop) -> None:
    """MySQL takes packets of at most 16 megabytes unless its administrator says otherwise."""
    if shared.app.conf.broker_url.startswith("mysql:"):
        with pytest.raises(ImproperlyConfigured, match="max_allowed_packet"):
            shared.task("size").delay("x" * (64 * 1024 * 1024))
        return
    result = shared.task("size").apply_async(("x" * (64 * 1024 * 1024),), argsrepr="(...)", timeout=PATIENCE)
    assert result.get(timeout=PATIENCE) == 64 * 1024 * 1024
    assert shared.task("add").delay(1, 1).get(timeout=PATIENCE) == 2


def test_rate_limited_tasks_keep_their_pace(shared: Workshop) -> None:
    """Of a bucket that holds one token, the eighth task takes one that comes 1.4 s after the first at the earliest.

    Measured from before the first call: whatever is late makes the time longer.
    """
    called = time.time()
    results = [shared.task("limited").delay() for _ in range(8)]
    for each in results:
        each.get(timeout=PATIENCE)
    starts = [record["at"] for each in results for record in shared.ledger.records("start", id=each.id)]
    assert len(starts) == 8
    assert max(starts) - called >= 7 / 5 - CLOCKS


def test_long_task_does_not_hold_up_short_ones(shared: Workshop) -> None:
    """The worker has two children; the short tasks have the other one for themselves."""
    noop, work = shared.task("noop"), shared.task("work")
    half = [noop.s() for _ in range(1000)]
    key, gate = uuid.uuid4().hex, shared.gate(uuid.uuid4().hex)
    shared.app.publish_many([*half, work.s(0, str(gate), key), *half, shared.task("note").s(key)])
    wait_until(lambda: shared.ledger.count("note", value=key), what="the last short task, while the long one waits")
    gate.touch()
    wait_until(lambda: shared.ledger.count("end", key=key), what="the long task ran")
