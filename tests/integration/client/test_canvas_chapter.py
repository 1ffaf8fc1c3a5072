"""What Celery documents of workflows, on each pair of broker and result store.

A pair whose store cannot join chords refuses them with a clear error; all else is the same everywhere.
"""

from __future__ import annotations

import io
import json
from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import StampingVisitor, chain, chord, group, signature
from celeriac.exceptions import ChordError
from celeriac.result import AsyncResult, GroupResult
from tests.support import PATIENCE, wait_until
from tests.support.client_app import site_at_work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celeriac import Signature
    from tests.support.client_app import Site

    Make = Callable[[Callable[..., Any], Site], Any]


def pairs(*names: str) -> list[Any]:
    """Parameters of `site`; the tests of each pair run in one process of pytest-xdist."""
    return [pytest.param(name, marks=pytest.mark.xdist_group(f"chapter-{name}")) for name in names]


#: Pairs whose store keeps results, and joins chords.
STORES = pairs("redis", "amqp", "amqp+postgresql", "sqlite")

with_store = pytest.mark.parametrize("site", STORES, indirect=True)


@pytest.fixture(scope="module")
def sites(
    settings_of: Callable[[str], dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Site]]:
    """A client and one worker of two children for each pair, once it is asked for; tests leave them as they were."""
    with ExitStack() as stack:

        @cache
        def of(pair: str) -> Site:
            return stack.enter_context(site_at_work(settings_of(pair), tmp_path_factory.mktemp("chapter")))

        yield of


@pytest.fixture(params=[*STORES, *pairs("amqp+rpc")])
def site(request: pytest.FixtureRequest, sites: Callable[[str], Site]) -> Site:
    """Those of one pair."""
    return sites(request.param)


def get(result: Any) -> Any:
    return result.get(timeout=PATIENCE)


def error_of(result: Any) -> BaseException:
    """The exception of a task, whatever became of those before it."""
    error: BaseException = result.get(timeout=PATIENCE, propagate=False)
    return error


def noted(site: Site, key: str, count: int = 1) -> list[Any]:
    """What links wrote down, once there are that many."""
    wait_until(lambda: site.ledger.count("note", key=key) >= count, what=f"{count} links ran")
    return sorted((record["value"] for record in site.ledger.records("note", key=key)), key=repr)


def told(site: Site, key: str, count: int = 1) -> list[str]:
    """Ids that errbacks were called with, once there are that many."""
    wait_until(lambda: site.ledger.count("failed", key=key) >= count, what=f"{count} errbacks ran")
    return [record["id"] for record in site.ledger.records("failed", key=key)]


# ------------------------------------------------------------------------------------------------ values


PLAIN: dict[str, tuple[Make, Any]] = {
    "signature by name": (lambda s, site: signature("add", args=(2, 2), app=site.app), 4),
    "signature with options": (lambda s, site: s("add", 2, 2).set(priority=3, countdown=0), 4),
    "keyword arguments": (lambda s, site: s("add", x=2, y=3), 5),
    "partial": (lambda s, site: s("echo").clone(([1],)), [1]),
    "keyword arguments of a call go over its own": (lambda s, site: s("add", 1, y=2).clone(kwargs={"y": 9}), 10),
    "from JSON": (lambda s, site: signature(json.loads(json.dumps(s("add", 2, 2) | s("double"))), app=site.app), 8),
    "chain": (lambda s, site: chain(s("add", 2, 2), s("add", 4), s("add", 8)), 16),
    "chain with |": (lambda s, site: s("add", 2, 2) | s("add", 4) | s("double"), 16),
    "chain of a list": (lambda s, site: chain([s("add", 2, 2), s("double")]), 8),
    "chain of independent tasks": (lambda s, site: site.task("add").si(2, 2) | site.task("add").si(4, 4), 8),
    "chain in a chain": (lambda s, site: chain(s("add", 1, 1), chain(s("double"), s("double")), s("double")), 16),
    "chain that grows": (lambda s, site: _ior(s("add", 1, 1), s("double")), 4),
    "group": (lambda s, site: group(s("add", 2, 2), s("add", 4, 4)), [4, 8]),
    "group of a generator": (lambda s, site: group(s("add", i, i) for i in range(10)), list(range(0, 20, 2))),
    "group in a group": (lambda s, site: group(group(s("add", 1, 1), s("add", 2, 2)), s("add", 3, 3)), [2, 4, 6]),
    "group of chains": (lambda s, site: group(s("add", i, i) | s("double") for i in range(3)), [0, 4, 8]),
    "empty group": (lambda s, site: group([]), []),
    "group after a task": (lambda s, site: s("add", 1, 1) | group(s("add", 1), s("double")), [3, 4]),
    "group of one after a task": (lambda s, site: s("add", 1, 1) | group(s("add", 1)), 3),
    "group in a group after a task": (
        lambda s, site: s("add", 1, 1) | group(group(s("add", 1), s("add", 2)), s("double")), [3, 4, 4]
    ),
    "map": (lambda s, site: site.task("total").map([list(range(10)), list(range(100))]), [45, 4950]),
    "starmap": (lambda s, site: site.task("add").starmap((i, i) for i in range(5)), [0, 2, 4, 6, 8]),
    "map in a chain": (lambda s, site: site.task("double").map([1, 2]) | s("total"), 6),
    "chunks": (lambda s, site: site.task("add").chunks([(i, i) for i in range(5)], 2), [[0, 2], [4, 6], [8]]),
    "chunks as a group": (
        lambda s, site: site.task("add").chunks([(i, i) for i in range(5)], 2).group().skew(start=0, stop=0),
        [[0, 2], [4, 6], [8]],
    ),
    "replace": (lambda s, site: s("replacing", s("add", 1, 1)), 2),
    "replace with a chain, in a chain": (
        lambda s, site: s("add", 1, 1) | s("replacing", s("double") | s("add", 1)) | s("double"), 10
    ),
    "replace in a group": (lambda s, site: group(s("replacing", s("add", 1, 1)), s("add", 2, 2)), [2, 4]),
}  # fmt: skip

CHORDS: dict[str, tuple[Make, Any]] = {
    "chord": (lambda s, site: chord((s("add", i, i) for i in range(10)), s("total")), 90),
    "chord of a list and a body as a mapping": (
        lambda s, site: chord([s("add", 1, 1), s("add", 2, 2)], dict(s("listed"))), [2, 4]
    ),
    "group and a task": (lambda s, site: group(s("add", i, i) for i in range(4)) | s("total"), 12),
    "chain(group, task)": (lambda s, site: chain(group(s("add", 1, 1), s("add", 2, 2)), s("total")), 6),
    "body that ignores the results": (
        lambda s, site: chord([s("add", 1, 1), s("add", 2, 2)], site.task("add").si(5, 5)), 10
    ),
    "empty header": (lambda s, site: chord([], s("listed")), []),
    "header of one": (lambda s, site: chord([s("add", 1, 1)], s("listed")), [2]),
    "body that is a chain": (lambda s, site: chord([s("add", 1, 1), s("add", 2, 2)], s("total") | s("double")), 12),
    "body that is a group": (
        lambda s, site: chord([s("add", 1, 1), s("add", 2, 2)], group(s("total"), s("listed"))), [6, [2, 4]]
    ),
    "body that is a chord": (
        lambda s, site: chord([s("add", 1, 1)], chord([s("total"), s("listed")], s("listed"))), [2, [2]]
    ),
    "group after a group": (
        lambda s, site: group(s("add", 1, 1), s("add", 2, 2)) | group(s("total"), s("listed")), [6, [2, 4]]
    ),
    "task, group, task, group, task": (
        lambda s, site: s("add", 4, 16) | group(s("add", 0), s("double")) | s("total")
        | group(s("add", 1), s("add", 2)) | s("listed"),
        [61, 62],
    ),
    "chord in a chain in a group": (
        lambda s, site: group(
            s("add", 1, 1) | chord([s("add", 1), s("double")], s("total")) | s("double"), s("add", 1, 0)
        ),
        [14, 1],
    ),
    "chord in the header of a chord": (
        lambda s, site: chord([chord([s("add", 1, 1)], s("total")), s("add", 2, 2)], s("listed")), [2, 4]
    ),
    "group in the header of a chord": (
        lambda s, site: chord([group(s("add", 1, 1), s("add", 2, 2)), s("add", 3, 3)], s("listed")), [2, 4, 6]
    ),
    "chain that ends in a group, in a header": (
        lambda s, site: chord([s("add", 1, 1) | group(s("add", 1), s("add", 2)), s("add", 3, 3)], s("listed")),
        [[3, 4], 6],
    ),
    "chunks and a task": (
        lambda s, site: site.task("add").chunks([(1, 1), (2, 2), (3, 3)], 2).group() | s("listed"), [[2, 4], [6]]
    ),
    "starmap in a header": (
        lambda s, site: chord([site.task("add").starmap([(1, 1)]), s("add", 2, 2)], s("listed")), [[2], 4]
    ),
    "chord from JSON": (
        lambda s, site: signature(json.loads(json.dumps(chord([s("add", 1, 1)], s("total")))), app=site.app), 2
    ),
    "replace with a group": (lambda s, site: s("replacing", group(s("add", 1, 1), s("add", 2, 2))), [2, 4]),
    "replace with a chord, in a chain": (
        lambda s, site: s("add", 1, 1) | s("replacing", group(s("add", 1), s("double")) | s("total")) | s("double"), 14
    ),
    "replace in a header": (lambda s, site: chord([s("replacing", s("add", 1, 1)), s("add", 2, 2)], s("total")), 6),
    "add_to_chord": (lambda s, site: chord([s("growing", 1), s("add", 1, 1)], s("listed")), [1, 2, 2]),
    "arguments of a group that becomes a header": (
        lambda s, site: group(s("add", 1), s("add", 2)).clone((10,)) | s("listed"), [11, 12]
    ),
    "generator as a header in a chain": (
        lambda s, site: s("add", 1, 1) | chord((s("add", i) for i in range(3)), s("total")), 9
    ),
}  # fmt: skip


def _ior(one: Any, other: Any) -> Any:
    one |= other
    return one


@pytest.mark.parametrize(("make", "value"), PLAIN.values(), ids=PLAIN)
def test_documented_value(site: Site, s: Any, make: Make, value: Any) -> None:
    assert get(make(s, site).apply_async()) == value


@with_store
@pytest.mark.parametrize(("make", "value"), CHORDS.values(), ids=CHORDS)
def test_documented_value_of_a_chord(site: Site, s: Any, make: Make, value: Any) -> None:
    assert get(make(s, site).apply_async()) == value


@pytest.mark.parametrize("site", pairs("amqp+rpc"), indirect=True)
@pytest.mark.parametrize(("make", "value"), CHORDS.values(), ids=CHORDS)
def test_chord_is_refused(site: Site, s: Any, make: Make, value: Any) -> None:
    # Those that only begin in a worker fail there.
    with pytest.raises(Exception, match=r"rpc://.*set result_backend to a store") as refusal:
        get(make(s, site).apply_async())
    assert refusal.type.__name__ == "NotImplementedError"


# ------------------------------------------------------------------------------------------------ signatures


def test_ways_to_call_a_signature(site: Site, s: Any) -> None:
    assert s("add", 2, 3)() == 5
    assert get(s("add", 2, 3).delay()) == 5
    assert get(s("add", 3).delay(2)) == get(s("add", 3).apply_async((2,))) == 5
    assert get(s("add", 2).apply_async(kwargs={"y": 9})) == 11
    assert get(s("add", 2, 3).apply_async(countdown=0, priority=1)) == 5
    assert ~s("add", 2, 3) == 5
    assert get(site.task("add").signature((2, 3), priority=1).delay()) == 5
    assert get((s("add", 4) | s("double"))(16)) == 40
    assert get((s("add") | group(s("add", 1), s("double"))).delay(x=2, y=3)) == [6, 10]


def test_partial_arguments_go_in_front_and_not_into_immutable_ones(site: Site, s: Any) -> None:
    assert get(s("listed").delay([2])) == [2]
    assert get((s("note", key="k") | s("add", 10)).delay(1)) == 11
    assert get(group(s("add", 1), s("add", 2)).delay(10)) == [11, 12]
    assert get(group(s("add", 1), s("add", 2))(10)) == [11, 12]
    assert get(site.task("add").si(1, 1).delay(5)) == 2
    assert get(group(s("add", 1, 1), site.task("add").si(2, 2)).clone((), {}).apply_async()) == [2, 4]


@with_store
def test_arguments_of_a_chord_are_those_of_its_header(s: Any) -> None:
    assert get(chord([s("add", 1), s("add", 2)], s("total")).delay(10)) == 23


@with_store
def test_body_of_a_chord_comes_with_the_call(s: Any) -> None:
    assert get(chord(s("add", i, i) for i in range(10))(s("total"))) == 90
    assert get(chord([s("add", 1, 1)])(s("listed") | s("total"))) == 2


def test_frozen_signature_has_the_id_of_its_result(site: Site, s: Any) -> None:
    sig = s("add", 2, 2)
    result = sig.freeze()
    assert (sig.id, sig.delay().id) == (result.id, result.id)
    assert get(result) == 4


# ------------------------------------------------------------------------------------------------ links


def test_links(site: Site, s: Any, key: str) -> None:
    site.task("add").apply_async((1, 1), link=s("note", key=key))
    site.task("add").apply_async((1, 2), link=[s("note", key=key), s("double") | s("note", key=key)])
    linked = s("add", 2, 2)
    linked.link(s("add", 100) | s("note", key=key))
    linked.link(site.task("note").si("reset", key=key))
    linked.delay()
    assert noted(site, key, 5) == ["reset", 104, 2, 3, 6]


def test_link_of_a_chain_and_of_a_group(site: Site, s: Any, key: str) -> None:
    whole = s("add", 1, 1) | s("double")
    whole.link(s("note", key=key))
    get(whole.delay())
    members = group(s("add", 5, 5), s("add", 6, 6))
    # The first task's, which does not pass its result.
    members.link(s("note", "done", key=key))
    assert get(members.delay()) == [10, 12]
    assert noted(site, key, 2) == ["done", 4]
    with pytest.raises(TypeError, match="group takes no link="):
        members.apply_async(link=s("note", key=key))


@with_store
def test_link_of_a_chord_is_that_of_its_body(site: Site, s: Any, key: str) -> None:
    whole = chord([s("add", 1, 1), s("add", 2, 2)], s("total"))
    whole.link(s("note", key=key))
    get(whole.delay())
    get(chord([s("add", 1, 1)], s("total")).apply_async(link=s("note", key=key)))
    assert noted(site, key, 2) == [2, 6]


def test_errbacks(site: Site, s: Any, key: str) -> None:
    first = s("failing").on_error(s("failed", key=key)).delay()
    second = site.task("failing").apply_async(link_error=[s("failed", key=key), s("failed_in_place", key=f"{key}!")])
    assert type(error_of(first)) is ValueError
    assert sorted(told(site, key, 2)) == sorted([first.id, second.id])
    assert told(site, f"{key}!") == [second.id]


def test_errback_of_a_chain_is_called_for_the_step_that_failed(site: Site, s: Any, key: str) -> None:
    whole = (s("add", 1, 1) | s("failing") | s("double")).on_error(s("failed", key=key))
    result = whole.delay()
    assert type(error_of(result)) is ValueError
    assert told(site, key) == [result.parent.id]


def test_errback_of_a_group_is_that_of_each_task(site: Site, s: Any, key: str) -> None:
    members = group(s("failing"), s("add", 1, 1), s("failing"))
    members.link_error(s("failed", key=key))
    result = members.delay()
    assert sorted(told(site, key, 2)) == sorted([result[0].id, result[2].id])
    assert get(result[1]) == 2


@with_store
def test_errback_of_a_chord_is_that_of_its_body(site: Site, s: Any, key: str) -> None:
    result = chord([s("failing"), s("add", 1, 1)], s("total").on_error(s("failed", key=key))).delay()
    with pytest.raises(ChordError, match=rf"Dependency {result.parent[0].id} raised ValueError\('on purpose'\)"):
        result.get(timeout=PATIENCE, follow_parents=False)
    assert told(site, key) == [result.id]
    assert get(result.parent[1]) == 2


@with_store
def test_errback_of_a_chord_can_be_that_of_its_header_too(site: Site, s: Any, key: str) -> None:
    site.app.conf.task_allow_error_cb_on_chord_header = True
    try:
        whole = chord([s("failing"), s("add", 1, 1)], s("total"))
        whole.link_error(s("failed", key=key))
    finally:
        site.app.conf.task_allow_error_cb_on_chord_header = False
    result = whole.delay()
    assert sorted(told(site, key, 2)) == sorted([result.id, result.parent[0].id])


@with_store
def test_header_that_fails_fails_what_follows(site: Site, s: Any) -> None:
    result = (group(s("failing"), s("add", 1, 1)) | s("total") | s("double")).delay()
    wait_until(result.ready, what="the last step has ended")
    assert (type(result.result), type(result.parent.result)) == (ChordError, ChordError)


# ------------------------------------------------------------------------------------------------ results


def test_results_of_a_chain_are_found_through_its_last(s: Any) -> None:
    result = (s("add", 2, 2) | s("add", 4) | s("add", 8)).delay()
    assert get(result) == 16
    assert (get(result.parent), get(result.parent.parent)) == (8, 4)
    assert result.parent.parent.parent is None


@with_store
def test_graph_of_what_a_task_started(site: Site, s: Any, key: str) -> None:
    result = (s("add", 4, 4) | s("double") | s("add", 1)).delay()
    assert get(result) == 17
    first = result.parent.parent
    wait_until(lambda: first.children and result.parent.children, what="children are recorded")
    assert [child.id for child in first.children] == [result.parent.id]
    assert first.graph.adjacent == {first: [result.parent], result.parent: [result], result: []}
    assert [value for _, value in first.collect()] == [8, 16, 17]
    assert first.get_leaf() == 17
    drawn = io.StringIO()
    first.graph.to_dot(drawn)
    assert drawn.getvalue().count("->") == 2


@with_store
def test_links_are_children_of_their_task(site: Site, s: Any) -> None:
    result = site.task("add").apply_async((2, 2), link=s("add", 16))
    assert get(result) == 4
    assert [get(child) for child in result.children] == [20]
    assert [(node.id, value) for node, value in result.collect(timeout=PATIENCE)] == [
        (result.id, 4), (result.children[0].id, 20),
    ]  # fmt: skip


def test_result_of_a_group(site: Site, s: Any) -> None:
    result = group(s("add", i, i) for i in range(5)).delay()
    assert isinstance(result, GroupResult)
    assert result.join(timeout=PATIENCE) == [0, 2, 4, 6, 8]
    assert (result.ready(), result.successful(), result.failed(), result.waiting()) == (True, True, False, False)
    assert (result.completed_count(), len(result)) == (5, 5)
    assert [each.get(timeout=PATIENCE) for each in result] == [0, 2, 4, 6, 8]
    assert isinstance(result[3], AsyncResult)
    assert get(result[3]) == 6
    assert result.children == result.results
    failed = group(s("add", 1, 1), s("failing")).delay()
    with pytest.raises(ValueError, match="on purpose"):
        get(failed)
    wait_until(failed.ready, what="both have ended")
    assert (failed.successful(), failed.failed(), failed.completed_count()) == (False, True, 1)


@with_store
def test_saved_group_is_restored_and_deleted(site: Site, s: Any) -> None:
    result = group(s("add", 1, 1), s("add", 2, 2)).delay()
    result.save()
    assert get(site.app.GroupResult.restore(result.id)) == [2, 4]
    result.delete()
    assert site.app.GroupResult.restore(result.id) is None


@with_store
def test_parent_of_a_body_is_its_header(s: Any) -> None:
    result = chord([s("add", 1, 1), s("add", 2, 2)], s("total")).delay()
    assert get(result) == 6
    assert get(result.parent) == [2, 4]


# ------------------------------------------------------------------------------------------------ stamps


class Monitoring(StampingVisitor):
    """Gives all parts one number, and links one more stamp."""

    def on_signature(self, sig: Signature, **headers: Any) -> dict[str, Any]:
        return {"monitoring_id": 7, "note": "not a stamp", "stamped_headers": ["monitoring_id"]}

    def on_callback(self, callback: Signature, **headers: Any) -> dict[str, Any]:
        return {"linked": True}

    def on_errback(self, errback: Signature, **headers: Any) -> dict[str, Any]:
        return {"told": True}

    def on_group_start(self, group: Signature, **headers: Any) -> dict[str, Any]:
        return {"in_group": "yes"}


def stamped(site: Site, key: str, count: int) -> list[dict[str, Any]]:
    wait_until(lambda: site.ledger.count("stamps", key=key) >= count, what=f"{count} stamped tasks ran")
    return [record["stamps"] for record in site.ledger.records("stamps", key=key)]


def test_stamps_are_in_the_request_of_each_task_and_its_links(site: Site, s: Any, key: str) -> None:
    sig = s("stamps", key=key)
    sig.link(s("stamps", key=key))
    get(sig.stamp(stamp="value").delay())
    assert stamped(site, key, 2) == [{"stamp": "value"}] * 2


def test_visitor_stamps_callbacks_and_errbacks(site: Site, s: Any, key: str) -> None:
    sig = s("add", 1, 1)
    sig.link(s("stamps", key=key))
    sig.stamp(visitor=Monitoring()).delay()
    assert stamped(site, key, 1) == [{"monitoring_id": 7, "linked": True}]
    failing = s("failing").on_error(s("failed", key=key))
    told_id = failing.stamp(visitor=Monitoring()).delay().id
    assert told(site, key) == [told_id]
    assert site.ledger.records("failed", key=key)[0]["stamps"] == {"monitoring_id": 7, "told": True}


def test_visitor_sees_groups(site: Site, s: Any) -> None:
    whole = s("stamps") | group(s("stamps"), s("stamps"))
    assert get(whole.stamp(visitor=Monitoring()).delay()) == [{"monitoring_id": 7, "in_group": "yes"}] * 2


def test_stamps_are_kept_by_a_call_and_appended_when_asked(s: Any) -> None:
    assert get(s("stamps").stamp(stamp="mine").apply_async(stamp="theirs")) == {"stamp": "mine"}
    twice = s("stamps").stamp(stamp="one").stamp(stamp="two", append_stamps=True)
    assert get(twice.delay()) == {"stamp": ["one", "two"]}


@with_store
def test_stamps_of_a_chord(s: Any) -> None:
    whole = chord([s("stamps"), s("stamps")], s("listed") | s("stamps"))
    result = whole.stamp(stamp="value").delay()
    assert get(result) == {"stamp": "value"}
    assert get(result.parent.parent) == [{"stamp": "value"}] * 2


def test_replacement_inherits_stamps(s: Any) -> None:
    assert get(s("replacing", s("stamps")).stamp(stamp="value").delay()) == {"stamp": "value"}
