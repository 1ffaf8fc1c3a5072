"""Which messages a child relays, and what it tells its worker of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from celeriac.broker.base import RELAYED
from celeriac.exceptions import SessionLost
from celeriac.execution.relaying import Relay
from celeriac.message import Destination, Message, Publication

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celeriac.broker.base import RelayAddress
    from celeriac.execution.relaying import Relayed

HERE: RelayAddress = ("token", ("q",))
ITEM = Publication(Message(b"[]", "application/json", "utf-8", {}, {}), Destination("", "q"))


class Session:
    """A session that relays with a result."""

    def __init__(self, result: bytes | Exception | None) -> None:
        self.result = result
        self.tags: list[str] = []
        self.ended: list[bytes] = []

    def relay(
        self, item: Publication, address: RelayAddress, tag: str, *, ended: Sequence[bytes], timeout: float
    ) -> bytes | None:
        self.ended += ended
        self.tags.append(tag)
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def make(*, address: RelayAddress | None = HERE, is_last: bool = True) -> tuple[Relay, list[Relayed]]:
    told: list[Relayed] = []
    return Relay(lambda: address, lambda: is_last, told.append), told


def test_one_message_is_relayed_each_time_that_is_asked_for() -> None:
    relay, told = make()
    session = Session(b"envelope")
    assert not relay(session, ITEM, 1.0)
    with relay:
        assert relay(session, ITEM, 1.0)
        assert not relay(session, ITEM, 1.0)
    assert told == [("token", "q", session.tags[0], b"envelope")]
    assert session.tags[0].startswith(f"{RELAYED}{os.getpid()}-")
    with relay:
        relay(session, ITEM, 1.0)
    assert len(set(session.tags)) == 2


@pytest.mark.parametrize(("result", "done"), [(b"", True), (None, False)])
def test_the_worker_is_told_of_what_it_holds_only(result: bytes | None, done: bool) -> None:
    relay, told = make()
    with relay:
        assert relay(Session(result), ITEM, 1.0) is done
    assert told == []


@pytest.mark.parametrize("relay", [make(address=None)[0], make(is_last=False)[0]])
def test_nothing_is_relayed_for_a_child_that_is_not_about_to_be_free(relay: Relay) -> None:
    session = Session(b"envelope")
    with relay:
        assert not relay(session, ITEM, 1.0)
    assert session.tags == []


def test_sessions_of_other_brokers_publish_as_ever() -> None:
    relay, told = make()
    with relay:
        assert not relay(object(), ITEM, 1.0)
    assert told == []


def test_the_worker_is_told_of_what_may_be_held() -> None:
    relay, told = make()
    session = Session(SessionLost("gone"))
    with relay, pytest.raises(SessionLost):
        relay(session, ITEM, 1.0)
    assert told == [("token", "q", session.tags[0], b"")]


def test_tasks_that_have_ended_are_settled_by_the_way_and_once() -> None:
    relay, _ = make()
    relay.end(b"1")
    session = Session(SessionLost("gone"))
    with relay, pytest.raises(SessionLost):
        relay(session, ITEM, 1.0)
    relay.end(b"2")
    session.result = b""
    for _ in range(2):
        with relay:
            relay(session, ITEM, 1.0)
    assert session.ended == [b"1", b"1", b"2"]
