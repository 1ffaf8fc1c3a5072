"""How tasks end elsewhere than at a plain return: retries, limits, links, extended results."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from tests.interop.talk import Sig
from tests.support import SLACK, wait_until

if TYPE_CHECKING:
    from tests.interop.conftest import Pair


def runs(pair: Pair, what: str, task_id: str) -> list[dict[str, Any]]:
    """What the task wrote down, attempt by attempt."""
    return pair.ledger.records(what, id=task_id)


def test_retries_keep_id_and_arguments(pair: Pair) -> None:
    task_id = pair.client.send("retry", 2, queue=pair.queue)
    assert pair.client("outcome", task_id).value == [task_id, task_id, 2]
    assert [each["retries"] for each in runs(pair, "retry", task_id)] == [0, 1, 2]


def test_state_retry_is_seen_with_its_exception(pair: Pair) -> None:
    task_id = pair.client.send("retry", 1, kwargs={"countdown": 4}, queue=pair.queue)
    wait_until(lambda: pair.client("state", task_id)[0] == "RETRY", what="the state RETRY")
    info = pair.client("state", task_id)[1]
    assert (info.name, info.args) == ("ValueError", ("not yet",))
    assert pair.client("outcome", task_id).value == [task_id, task_id, 1]
    first, second = runs(pair, "retry", task_id)
    assert second["at"] - first["at"] >= 3.95


def test_retries_run_out(pair: Pair) -> None:
    found = pair.client.run("exhaust", queue=pair.queue)
    assert found.state == "FAILURE"
    assert found.error.name == found.raised == "MaxRetriesExceededError"
    assert "Can't retry tests.interop.tasks.exhaust" in found.error.text


def test_autoretry_waits_for_its_backoff(pair: Pair) -> None:
    task_id = pair.client.send("flaky", 2, queue=pair.queue)
    assert pair.client("outcome", task_id).value == 2
    times = [each["at"] for each in runs(pair, "flaky", task_id)]
    assert len(times) == 3
    assert all(0.9 <= after - before <= 2 + SLACK for before, after in itertools.pairwise(times))


def test_soft_time_limit_is_rebuilt(pair: Pair) -> None:
    found = pair.client.run("soft", queue=pair.queue)
    assert found.state == "FAILURE"
    assert found.error.name == found.raised == "SoftTimeLimitExceeded"


def test_extended_results_are_complete(pair: Pair) -> None:
    found = pair.client.run("echo", [1], kwargs={"more": 2}, queue=pair.queue)
    assert found.value == {"value": [1], "more": 2}
    fields = found.fields
    assert fields["name"] == "tests.interop.tasks.echo"
    assert (list(fields["args"]), fields["kwargs"]) == ([[1]], {"more": 2})
    assert fields["worker"].startswith(f"the-{pair.runner}@")
    assert (fields["retries"], fields["queue"]) == (0, pair.queue)
    assert fields["date_done"].utcoffset() is not None


def test_link_gets_the_result(pair: Pair) -> None:
    link = Sig("double", options={"queue": pair.queue})
    back = Sig("double", options={"queue": pair.fleet.queue(pair.sender)})
    pair.fleet.worker(pair.sender)
    task_id = pair.client.send("add", 20, 1, queue=pair.queue, link=[link, back])
    found = pair.client("outcome", task_id)
    assert found.value == 21
    assert len(found.fields["children"]) == 2
    for child in found.fields["children"]:
        assert pair.client("outcome", child).value == 42
    ran = {record["library"] for record in pair.ledger.records("double") if record["id"] in found.fields["children"]}
    assert ran == {"celery", "celeriac"}


def test_link_error_gets_the_id(pair: Pair) -> None:
    link = Sig("errback", options={"queue": pair.fleet.queue(pair.sender)})
    pair.fleet.worker(pair.sender)
    task_id = pair.client.send("fail", "ValueError", queue=pair.queue, link_error=link)
    assert pair.client("outcome", task_id).state == "FAILURE"
    wait_until(lambda: pair.ledger.records("errback", failed=task_id), what="the errback")


def test_link_error_with_three_arguments_is_called_in_place(pair: Pair) -> None:
    task_id = pair.client.send("fail", "CustomError", queue=pair.queue, link_error=Sig("errback_in_place"))
    assert pair.client("outcome", task_id).state == "FAILURE"
    found = wait_until(lambda: pair.ledger.records("errback in place", id=task_id), what="the errback")
    assert found[0]["error"] == "CustomError"


def test_links_survive_a_retry(pair: Pair) -> None:
    link = Sig("total", options={"queue": pair.queue}, immutable=True, args=([1, 2],))
    task_id = pair.client.send("retry", 1, queue=pair.queue, link=link)
    found = pair.client("outcome", task_id)
    assert found.state == "SUCCESS"
    (child,) = found.fields["children"]
    assert pair.client("outcome", child).value == 3
