"""Chords, run by a real worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from celeriac import chain, chord, group
from celeriac.exceptions import ChordError
from celeriac.result import GroupResult
from tests.support import PATIENCE, wait_until
from tests.support.client_app import site_at_work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.client_app import Site


@pytest.fixture(
    scope="module", params=["redis", "sqlite", "amqp", "amqp+postgresql", "sqlite+file", "sqlite+memcached"]
)
def site(
    request: pytest.FixtureRequest,
    settings_of: Callable[[str], dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """A client and one worker of two children, for tests that leave it as it was."""
    with site_at_work(settings_of(request.param), tmp_path_factory.mktemp("chords")) as site:
        yield site


def get(result: Any) -> Any:
    return result.get(timeout=PATIENCE)


def error_of(result: Any) -> BaseException:
    """The exception of a body, whatever became of its header."""
    wait_until(result.ready, what="the body has ended")
    error: BaseException = result.result
    return error


# ---------------------------------------------------------------------------------------------- results


def test_body_gets_the_results_in_order(s: Any) -> None:
    result = chord([s("add", number, number) for number in range(30)], s("listed"))()
    assert get(result) == [2 * number for number in range(30)]
    assert isinstance(result.parent, GroupResult)
    assert get(result.parent) == get(result)


@pytest.mark.parametrize("size", [0, 1])
def test_small_headers_are_ordinary(s: Any, size: int) -> None:
    assert get(chord([s("add", 1, 1)] * size, s("listed")).delay()) == [2] * size


def test_results_of_all_kinds_of_headers(site: Site, s: Any) -> None:
    add = site.task("add")
    header = [
        s("add", 1, 1) | s("double"),
        chord([s("add", 1, 1), s("add", 2, 2)], s("total")),
        s("add", 1, 1) | group(s("add", 1), s("double")),
        chord([s("add", 1, 1)], group(s("total"), s("listed"))),
        s("replacing", s("add", 5, 5)),
        s("replacing", group(s("add", 5, 5), s("add", 6, 6))),
        s("trying", 7, 2),
        add.starmap([(1, 1), (2, 2)]),
        group(s("add", 8, 0), s("add", 9, 0)),
    ]
    assert get(chord(header, s("listed")).delay()) == [4, 6, [3, 4], [2, [2]], 10, [10, 12], 7, [2, 4], 8, 9]
    assert get(chord(add.chunks([(1, 1), (2, 2), (3, 3)], 2).group(), s("listed")).delay()) == [[2, 4], [6]]


def test_results_that_are_not_kept_reach_the_body(site: Site, s: Any) -> None:
    header = [s("add", number, 1).set(ignore_result=True) for number in range(3)]
    assert get(chord(header, s("listed")).delay()) == [1, 2, 3]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda s: group(s("add", 1, 1), s("add", 2, 2)) | s("total"), 6),
        (lambda s: s("add", 1, 1) | group(s("add", 1), s("add", 2)) | s("total") | s("double"), 14),
        (lambda s: group(s("add", 1, 1), s("add", 2, 2)) | group(s("total"), s("listed")), [6, [2, 4]]),
        (lambda s: chain(group(s("add", 1, 1), s("add", 2, 2)), group(s("total"), s("listed")), s("listed")),
         [6, [2, 4]]),
        (lambda s: s("add", 1, 1) | group(s("add", 1), s("add", 2)) | group(s("total"), s("total")) | s("total"), 14),
        (lambda s: chord([s("add", 1, 1)], s("total")) | chord([s("double"), s("add", 1)], s("total")), 7),
        (lambda s: chord([s("add", 1, 1)], s("total")) | (s("double") | s("double")), 8),
        (lambda s: chord([s("add", 1, 1)], s("total") | group(s("double"), s("add", 1)) | s("total")), 7),
        (lambda s: group(chord([s("add", 1, 1)], s("total")), s("add", 0, 1) | group(s("add", 1), s("add", 2))
                         | s("total")), [2, 5]),
        (lambda s: chord([chord([chord([s("add", 1, 1)], s("listed"))], s("listed"))], s("listed")), [[[2]]]),
        (lambda s: group([]) | s("listed"), []),
        (lambda s: s("add", 1, 1) | s("replacing", group(s("add", 1), s("double")) | s("total")) | s("double"), 14),
    ],
)  # fmt: skip
def test_workflows_with_chords(s: Any, make: Callable[[Any], Any], expected: Any) -> None:
    assert get(make(s).delay()) == expected


def test_links_are_called_with_the_result_of_the_body(site: Site, s: Any, key: str) -> None:
    whole = chord([s("add", 1, 1), s("add", 2, 2)], s("total"))
    whole.link(s("note", key=key))
    result = whole.apply_async()
    get(result)
    wait_until(lambda: site.ledger.count("note", key=key, value=6) == 1, what="the link ran")
    assert site.ledger.records("note", key=key)[0]["parent"] == result.id


def test_body_knows_its_root(site: Site, s: Any, key: str) -> None:
    result = (s("note", 1, key=key) | chord([s("note", key=key)], s("note", key=key))).delay()
    get(result)
    first = result.parent.parent.id
    assert {record["root"] for record in site.ledger.records("note", key=key)} == {first}


def test_a_chord_that_grows(s: Any) -> None:
    assert get(chord([s("growing", 1), s("add", 1, 1), s("growing", 2, lazy=True)], s("total")).delay()) == 11


def test_a_large_chord(s: Any) -> None:
    assert get(chord((s("add", number, 0) for number in range(1000)), s("total")).delay()) == 499500


# ---------------------------------------------------------------------------------------------- failures


@pytest.mark.parametrize("errback", ["failed", "failed_in_place"])
def test_failure_of_a_part_is_that_of_the_body(site: Site, s: Any, key: str, errback: str) -> None:
    whole = chord([s("add", 1, 1), s("failing"), s("failing")], s("note", key=key)) | s("double")
    result = whole.on_error(s(errback, key=key)).apply_async()
    body = result.parent
    failed = body.parent[1].id
    for each in (result, body):
        error = error_of(each)
        assert isinstance(error, ChordError)
        assert str(error) == f"Dependency {failed} raised ValueError('on purpose')"
    wait_until(lambda: site.ledger.count("failed", key=key) == 1, what="the errback was called")
    assert site.ledger.records("failed", key=key)[0]["id"] == body.id
    assert not site.ledger.count("note", key=key)


def test_failures_of_all_kinds_reach_the_body(site: Site, s: Any) -> None:
    late = s("add", 1, 1).set(expires="2026-01-01T00:00:00+00:00")
    with pytest.warns(RuntimeWarning, match="in the past"):
        results = [
            chord([s("add", 1, 1), part], s("total")).delay()
            for part in (
                late, site.app.signature("nobody.knows"), s("dying"), s("rejecting"), s("failing") | s("double"),
                chord([s("failing")], s("listed")), chord([s("failing")], s("listed")) | s("double"),
                s("add", 1, 1) | group(s("failing"), s("double")), s("replacing", s("failing")),
            )
        ]  # fmt: skip
    for result in results:
        error = error_of(result)
        assert isinstance(error, ChordError), error
        assert str(error).startswith(f"Dependency {result.parent[1].id} raised ")


def test_failure_of_a_group_that_is_a_body(site: Site, s: Any, key: str) -> None:
    body = group(s("note", key=key).on_error(s("failed", key=key)), s("double"))
    result = chord([s("failing")], body).delay()
    for member in result:
        assert isinstance(error_of(member), ValueError)
    wait_until(lambda: site.ledger.count("failed", key=key) == 1, what="the errback was called")


def test_body_that_cannot_be_sent_fails(site: Site, s: Any) -> None:
    result = chord([s("add", 1, 1)], s("total").set(serializer="no such")).delay()
    assert str(error_of(result)).startswith("Callback error: ")


def test_rpc_refuses_chords(make_site: Callable[..., Site]) -> None:
    site = make_site("amqp", result_backend="rpc://")
    with pytest.raises(NotImplementedError, match=r"rpc://.*set result_backend to a store"):
        (group(site.task("add").s(1, 1)) | site.task("total").s()).delay()
