"""Acknowledging in few frames: nothing is acknowledged that was not named, and nothing is forgotten."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from celeriac.drivers.amqp.unsettled import Unsettled

NUMBER = 12


@given(st.permutations(range(1, NUMBER + 1)), st.sets(st.integers(1, NUMBER)), st.data())
def test_exactly_the_named_messages_are_acknowledged(order: list[int], refused: set[int], data: st.DataObject) -> None:
    unsettled = Unsettled()
    # What the server still holds; it closes the channel over a tag that is not there.
    server = set(range(1, NUMBER + 1))
    for number in sorted(server):
        unsettled.add(number)
    named: set[int] = set()
    steps: list[int | None] = [*order, None]
    for tag in steps:
        if tag is not None and tag in refused:
            server.remove(tag)
            unsettled.settle(tag)
            continue
        tags = [] if tag is None else [tag]
        named.update(tags)
        # The last call, of nobody, sends what is left.
        for last, multiple in unsettled.acknowledge(tags, put_off=bool(tags) and data.draw(st.booleans())):
            assert last in server
            acknowledged = {each for each in server if each <= last} if multiple else {last}
            assert acknowledged <= named
            server -= acknowledged
    assert not server
    assert not unsettled.has_put_off


def test_one_frame_for_all_when_nothing_is_open_before_them() -> None:
    unsettled = Unsettled()
    for tag in range(1, 6):
        unsettled.add(tag)
    assert unsettled.acknowledge([2, 3, 5], put_off=True) == []
    assert unsettled.acknowledge([1], put_off=True) == [(3, True)]
    assert unsettled.acknowledge([4], put_off=True) == [(5, True)]
