"""Workflows whose rest is in the result store, run by a real worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from celeriac import chain, chord, group
from celeriac.canvas.graphs import kept_apart
from tests.support import servers, wait_until
from tests.support.client_app import site_at_work
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.client_app import Site


@pytest.fixture(scope="module", params=["redis", "sqlite", "amqp+postgresql"])
def site(
    request: pytest.FixtureRequest,
    settings_of: Callable[[str], dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """A client and one worker of two children, where hardly a step is inline."""
    with site_at_work(
        {**settings_of(request.param), "task_graph_inline_max": 700}, tmp_path_factory.mktemp("graphs")
    ) as site:
        yield site


def get(result: Any) -> Any:
    return result.get(timeout=PATIENCE)


def parents_of(result: Any) -> list[Any]:
    """The results of a workflow, the last one first."""
    found = []
    while result is not None:
        found.append(result)
        result = result.parent
    return found


def test_chain_of_300(s: Any) -> None:
    result = chain([s("add", 0, 0), *(s("add", 1) for _ in range(299))]).delay()
    assert get(result) == 299
    assert [each.get(timeout=PATIENCE) for each in parents_of(result)] == list(range(299, -1, -1))


def test_steps_know_their_root_and_their_parent(site: Site, s: Any) -> None:
    key = servers.unique()
    result = chain([s("note", 1, key=key), *(s("note", key=key) for _ in range(20))]).delay()
    get(result)
    ids = [each.id for each in parents_of(result)][::-1]
    places = {each["id"]: (each["root"], each["parent"]) for each in site.ledger.records("note", key=key)}
    assert places == {ids[n]: (ids[0], ids[n - 1] if n else None) for n in range(21)}


def flow(site: Site, s: Any, *, count: int, failing: int | None = None) -> Any:
    """Chords of 12 in a chain."""
    add = site.task("add")
    return chain(
        [
            chord([*(add.si(n, 1) for n in range(11)), s("failing") if number == failing else add.si(0, 0)], s("total"))
            for number in range(count)
        ]
    )


def test_chain_of_chords_with_a_link(site: Site, s: Any) -> None:
    key = servers.unique()
    whole = flow(site, s, count=12)
    result = whole.apply_async(link=s("note", key=key))
    assert get(result) == 66
    wait_until(lambda: site.ledger.count("note", key=key, value=66) == 1, what="the link ran")


def test_failure_in_the_middle_is_that_of_all_after_it_and_told_once(site: Site, s: Any) -> None:
    key = servers.unique()
    result = flow(site, s, count=12, failing=6).apply_async(link_error=s("failed", key=key))
    with pytest.raises(Exception, match="on purpose"):
        get(result)
    bodies = [each for each in parents_of(result) if not hasattr(each, "results")]
    assert len(bodies) == 12
    wait_until(lambda: all(each.ready() for each in bodies), what="all bodies have ended")
    assert [each.state for each in bodies] == ["FAILURE"] * 6 + ["SUCCESS"] * 6
    wait_until(lambda: site.ledger.count("failed", key=key) >= 1, what="the errback ran")
    assert get(s("add", 1, 1).delay()) == 2
    assert [each["id"] for each in site.ledger.records("failed", key=key)] == [bodies[5].id]


def test_replacement_in_the_middle(s: Any) -> None:
    around = [s("add", 1) for _ in range(20)]
    inside = chain([s("double"), *(s("add", 1) for _ in range(20))])
    result = chain([s("add", 0, 0), *around, s("replacing", inside), *(each.clone() for each in around)]).delay()
    assert get(result) == 80


def test_long_chain_in_the_header_of_a_chord(s: Any) -> None:
    part = chain([s("add", 0, 0), *(s("add", 1) for _ in range(15))])
    assert get(chord([part.clone() for _ in range(5)], s("total")).delay()) == 75


def test_what_a_worker_of_celery_would_send_goes_on(site: Site, s: Any) -> None:
    whole = chain([s("add", 1), *(s("add", 1) for _ in range(20))])
    result = whole.freeze()
    (reference,) = kept_apart(site.app, [dict(step) for step in reversed(whole.tasks)])
    site.app.send_task(
        reference["task"], (5,), reference["kwargs"], root_id="root", parent_id="before", **reference["options"]
    )
    assert get(site.app.AsyncResult(result.id)) == 26


def test_rest_that_is_gone_fails_the_workflow(site: Site, s: Any) -> None:
    site.app.send_task("celeriac.resume", (5,), {"graph": "gone"}, task_id=(task_id := servers.unique()))
    with pytest.raises(Exception, match=r"graph gone.*task_graph_expires"):
        get(site.app.AsyncResult(task_id))


def nested(site: Site, s: Any, inner: Any, *, levels: int, failing: int | None = None) -> Any:
    """A chord whose body is a chord, and so on, with a last body."""
    add = site.task("add")
    for number in range(levels):
        inner = chord(
            [s("failing") if number == failing else add.si(number, 1), *(add.si(1, n) for n in range(9))], inner
        )
    return inner


def test_chords_in_bodies_of_chords(site: Site, s: Any) -> None:
    assert get(nested(site, s, s("total"), levels=8).delay()) == 1 + sum(range(1, 10))


def test_failure_above_chords_in_bodies_calls_the_errback_of_each_member_once(site: Site, s: Any) -> None:
    key = servers.unique()
    members = [s("add", "x" * 400, "y").on_error(s("failed", key=key)) for _ in range(3)]
    result = nested(site, s, group(members), levels=4, failing=2).delay()
    with pytest.raises(Exception, match="on purpose"):
        get(result)
    wait_until(lambda: site.ledger.count("failed", key=key) == 3, what="the errbacks ran")
    assert {each["id"] for each in site.ledger.records("failed", key=key)} == {each.id for each in result.results}
