"""A message that came back is counted when it had been handed out, and then only once."""

from __future__ import annotations

from typing import Any

from celeriac.broker.amqp.counting import Counting
from celeriac.message import Delivery, Message


def delivery(task_id: Any, **headers: Any) -> Delivery:
    return Delivery(Message(b"", "application/json", "utf-8", {"id": task_id} | headers, {}), "q", 1, 1)


def after(old: Counting, *waiting: dict[str, Any]) -> Counting:
    """What a session knows that continues another."""
    new = Counting()
    new.continue_from(old, waiting)
    return new


def test_what_had_arrived_only_is_spared_once() -> None:
    counting = after(Counting(), {"id": "a"})
    assert not counting.is_spared({"id": "b"})
    assert counting.is_spared({"id": "a"})
    assert not counting.is_spared({"id": "a"})


def test_what_was_counted_and_not_handed_out_since_is_spared() -> None:
    old = Counting()
    old.charge([delivery("a"), delivery("b")])
    old.hand_out([delivery("b")])
    counting = after(old)
    assert counting.is_spared({"id": "a"})
    assert not counting.is_spared({"id": "b"})


def test_it_is_remembered_over_several_sessions() -> None:
    assert after(after(after(Counting(), {"id": "a"}))).is_spared({"id": "a"})


def test_a_retry_and_a_message_without_an_id_are_counted() -> None:
    counting = after(Counting(), {"id": "a"}, {}, {"id": None})
    assert not counting.is_spared({"id": "a", "retries": 1})
    assert not counting.is_spared({})
