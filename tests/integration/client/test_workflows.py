"""Chains, groups, maps and replacements, run by a real worker."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import chain, group
from celeriac.exceptions import NotRegistered, TaskRevokedError, WorkerLostError
from celeriac.result import GroupResult
from tests.support import PATIENCE, wait_until
from tests.support.client_app import site_at_work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.client_app import Site


@pytest.fixture(scope="module", params=["redis", "sqlite", "amqp"])
def site(
    request: pytest.FixtureRequest,
    settings_of: Callable[[str], dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """A client and one worker of two children, for tests that leave it as it was."""
    with site_at_work(settings_of(request.param), tmp_path_factory.mktemp("flows")) as site:
        yield site


def get(result: Any) -> Any:
    return result.get(timeout=PATIENCE)


def states(result: Any) -> list[str]:
    """States of a result and its parents, the last first."""
    found = []
    while result is not None:
        found.append(result.state)
        result = result.parent
    return found


# ---------------------------------------------------------------------------------------------- chains


def test_each_task_of_a_chain_gets_the_result_of_the_one_before(s: Any) -> None:
    result = (s("add", 1, 1) | s("add", 2) | s("double")).apply_async()
    assert get(result) == 8
    assert (get(result.parent), get(result.parent.parent)) == (4, 2)


def test_arguments_and_immutable_steps(site: Site, s: Any) -> None:
    assert get((s("add", 1) | s("double")).delay(5)) == 12
    assert get((s("add", 1, 1) | site.task("add").si(5, 5) | s("double")).delay()) == 20


def test_long_chain_runs_to_its_end(s: Any) -> None:
    assert get(chain([s("add", 0, 0), *(s("add", 1) for _ in range(60))]).delay()) == 60


def test_steps_know_their_root_and_their_parent(site: Site, s: Any, key: str) -> None:
    result = (s("note", 1, key=key) | s("note", key=key) | s("note", key=key)).delay()
    get(result)
    third, second, first = result.id, result.parent.id, result.parent.parent.id
    places = {each["id"]: (each["root"], each["parent"]) for each in site.ledger.records("note", key=key)}
    assert places == {first: (first, None), second: (first, first), third: (first, second)}


def test_steps_may_retry(s: Any) -> None:
    assert get((s("add", 1, 1) | s("trying", 2) | s("double")).delay()) == 4


def test_failure_of_a_step_is_that_of_all_after_it(site: Site, s: Any, key: str) -> None:
    whole = s("add", 1, 1) | s("failing") | s("note", key=key) | group(s("note", key=key), s("double") | s("double"))
    result = whole.apply_async(link_error=s("failed", key=key))
    for each in result:
        with pytest.raises(ValueError, match="on purpose"):
            get(each)
    with pytest.raises(ValueError, match="on purpose"):
        get(result)
    assert get(result.parent.parent.parent) == 2
    assert states(result.parent) == ["FAILURE", "FAILURE", "SUCCESS"]
    assert "on purpose" in result.parent.traceback
    wait_until(lambda: site.ledger.count("failed", key=key) == 1, what="the errback of the failed step ran, once")
    assert site.ledger.records("failed", key=key)[0]["id"] == result.parent.parent.id
    assert not site.ledger.count("note", key=key)


@pytest.mark.parametrize(
    ("name", "error"), [("rejecting", Exception), ("dying", WorkerLostError), ("nobody.knows", NotRegistered)]
)
def test_steps_that_cannot_run_fail_the_rest_too(site: Site, s: Any, name: str, error: type[Exception]) -> None:
    step = site.app.signature(name)
    with pytest.raises(error):
        get((s("add", 1, 1) | step | s("double") | s("double")).delay())


def test_expired_step_fails_the_rest(site: Site, s: Any) -> None:
    late = datetime.now(UTC) - timedelta(seconds=5)
    with pytest.warns(RuntimeWarning, match="in the past"):
        result = chain(s("add", 1, 1).set(expires=late.isoformat()), s("double"), s("double")).apply_async()
    with pytest.raises(TaskRevokedError):
        get(result)


def test_links_of_a_chain_run_after_its_last_task(site: Site, s: Any, key: str) -> None:
    result = (s("add", 1, 1) | s("double")).apply_async(link=s("note", key=key))
    get(result)
    wait_until(lambda: site.ledger.count("note", key=key), what="the link ran")
    (record,) = site.ledger.records("note", key=key)
    assert (record["value"], record["parent"]) == (4, result.id)


def test_chain_as_a_link(site: Site, s: Any, key: str) -> None:
    site.task("add").apply_async((1, 1), link=s("double") | s("note", key=key))
    wait_until(lambda: site.ledger.count("note", key=key, value=4), what="the chain ran")


def test_group_as_a_link_and_as_an_errback(site: Site, s: Any, key: str) -> None:
    site.task("add").apply_async((1, 1), link=group(s("note", key=key), s("double") | s("note", key=key)))
    wait_until(
        lambda: sorted(each["value"] for each in site.ledger.records("note", key=key)) == [2, 4], what="both ran"
    )
    result = site.task("failing").apply_async(link_error=group(s("failed", key=key), s("failed", key=f"{key}2")))
    wait_until(
        lambda: (
            site.ledger.count("failed", id=result.id, key=key) == 1
            and site.ledger.count("failed", id=result.id, key=f"{key}2") == 1
        ),
        what="both errbacks ran",
    )


def test_protocol_1_chains_run(site: Site, s: Any) -> None:
    site.app.conf.task_protocol = 1
    try:
        assert get((s("add", 1, 1) | s("double") | s("double")).delay()) == 8
    finally:
        site.app.conf.task_protocol = 2


# ---------------------------------------------------------------------------------------------- groups


def test_results_of_a_group_come_in_order(s: Any) -> None:
    result = group(s("add", number, number) for number in range(50)).apply_async()
    assert get(result) == [2 * number for number in range(50)]
    assert (result.ready(), result.successful(), result.completed_count()) == (True, True, 50)


def test_members_know_their_group(site: Site, s: Any, key: str) -> None:
    result = group(s("note", number, key=key) for number in range(3)).delay()
    get(result)
    found = {(each["group"], each["index"], each["value"]) for each in site.ledger.records("note", key=key)}
    assert found == {(result.id, 0, 0), (result.id, 1, 1), (result.id, 2, 2)}


def test_group_at_the_end_of_a_chain_gets_the_result_before_it(s: Any) -> None:
    result = (s("add", 1, 1) | s("double") | group(s("add", 1), s("double"), s("double") | s("double"))).delay()
    assert isinstance(result, GroupResult)
    assert get(result) == [5, 8, 16]
    assert get(result.parent) == 4


def test_groups_in_groups_in_chains(s: Any) -> None:
    inner = group(s("double"), s("add", 1))
    result = group(s("add", 1, 1) | inner, group(s("add", 2, 2), s("add", 3, 3)), s("add", 4, 4)).delay()
    assert get(result) == [[4, 3], 4, 6, 8]


def test_failure_in_a_group_is_raised_and_the_others_run(s: Any) -> None:
    result = group(s("add", 1, 1), s("failing"), s("add", 2, 2)).delay()
    with pytest.raises(ValueError, match="on purpose"):
        get(result)
    values = result.get(timeout=PATIENCE, propagate=False)
    assert (values[0], values[2], type(values[1])) == (2, 4, ValueError)


def test_callback_and_iteration_of_a_group(s: Any) -> None:
    result = group(s("add", number, 0) for number in range(5)).delay()
    seen: dict[str, Any] = {}
    assert result.get(timeout=PATIENCE, callback=seen.__setitem__) == []
    assert sorted(seen.values()) == [0, 1, 2, 3, 4]
    assert {key: meta["result"] for key, meta in result.iter_native(timeout=PATIENCE)} == seen
    assert result.join(timeout=PATIENCE) == [0, 1, 2, 3, 4]


def test_saved_group_is_restored(site: Site, s: Any) -> None:
    result = group(s("add", 1, 1), s("add", 2, 2)).delay()
    result.save()
    restored = site.app.GroupResult.restore(result.id, app=site.app)
    assert get(restored) == [2, 4]
    assert restored == result


def test_workflows_started_by_a_task_are_its_children(site: Site, s: Any) -> None:
    result = site.task("starting").delay(s("add", 1, 1) | s("double"), group(s("add", 1, 1), s("add", 2, 2)))
    chain_id, group_id = get(result)
    first, members = result.children
    assert isinstance(members, GroupResult)
    assert members.id == group_id
    assert get(members) == [2, 4]
    assert get(first) == 2
    assert get(site.app.AsyncResult(chain_id)) == 4


# ---------------------------------------------------------------------------------------------- maps


def test_maps_and_chunks_run(site: Site) -> None:
    add, double = site.task("add"), site.task("double")
    assert get(double.map(range(4)).delay()) == [0, 2, 4, 6]
    assert get(add.starmap([(1, 1), (2, 2)]).delay()) == [2, 4]
    assert get(add.chunks(((number, number) for number in range(5)), 2)()) == [[0, 2], [4, 6], [8]]
    assert get((add.starmap([(1, 1), (2, 2)]) | site.task("double").s()).delay()) == [2, 4, 2, 4]
    assert get((add.chunks([(1, 1), (2, 2), (3, 3)], 2) | double.s()).delay()) == [[2, 4], [6], [2, 4], [6]]
    assert get(group(add.starmap([(1, 1)]), double.s(2)).delay()) == [[2], 4]


# ---------------------------------------------------------------------------------------------- replace


def test_replacement_gives_the_result_of_the_replaced_task(s: Any) -> None:
    assert get(s("replacing", s("add", 1, 2)).delay()) == 3
    assert get(s("replacing", s("add", 1, 2) | s("double")).delay()) == 6
    assert get(s("replacing", s("replacing", s("add", 4, 4))).delay()) == 8


def test_replacement_takes_its_place_in_a_chain(s: Any) -> None:
    result = (s("add", 1, 1) | s("replacing", s("double") | s("add", 1)) | s("double")).delay()
    assert get(result) == 10
    assert get(result.parent) == 5


def test_replacement_takes_its_place_in_a_group(site: Site, s: Any, key: str) -> None:
    result = group(s("replacing", s("double", 1) | s("note", key=key)), s("add", 1, 1)).delay()
    assert get(result) == [2, 2]
    (record,) = site.ledger.records("note", key=key)
    assert (record["id"], record["group"], record["index"]) == (result[0].id, result.id, 0)


def test_links_of_a_replaced_task_are_those_of_the_replacement(site: Site, s: Any, key: str) -> None:
    site.task("replacing").apply_async((s("add", 1, 1) | s("double"),), link=s("note", key=key))
    wait_until(lambda: site.ledger.count("note", key=key, value=4), what="the link ran")
    result = site.task("replacing").apply_async((s("failing") | s("double"),), link_error=s("failed", key=key))
    with pytest.raises(ValueError, match="on purpose"):
        get(result)
    wait_until(lambda: site.ledger.count("failed", key=key) == 1, what="the errback ran")


def test_replacement_that_fails_fails_the_rest_of_the_chain(s: Any) -> None:
    with pytest.raises(ValueError, match="on purpose"):
        get((s("replacing", s("failing")) | s("double") | s("double")).delay())


# ---------------------------------------------------------------------------------------------- stamps


def test_stamps_reach_every_task_of_a_workflow(site: Site, s: Any, key: str) -> None:
    first = s("stamps", key=key)
    first.link(s("stamps", key=key))
    whole = (first | s("stamps", key=key) | group(s("stamps", key=key), s("stamps", key=key))).stamp(tenant="t", n={3})
    result = whole.delay()
    assert get(result) == [{"tenant": "t", "n": [3]}] * 2
    wait_until(lambda: site.ledger.count("stamps", key=key) == 5, what="all ran")
    assert all(each["stamps"] == {"tenant": "t", "n": [3]} for each in site.ledger.records("stamps", key=key))


def test_stamps_survive_a_retry_and_a_replacement(s: Any) -> None:
    assert get(s("stamps", times=2).stamp(tenant="t").delay()) == {"tenant": "t"}
    replacing = s("replacing", s("stamps").stamp(other="o")).stamp(tenant="t")
    assert get(replacing.delay()) == {"tenant": "t", "other": "o"}
