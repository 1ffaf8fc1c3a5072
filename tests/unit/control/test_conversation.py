"""How long a client waits for replies."""

from __future__ import annotations

import pytest

from celeriac.control import conversation
from celeriac.control.conversation import _Replies


class Clock:
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(conversation, "time", made)
    return made


def answer(replies: _Replies, clock: Clock, after: float, *, is_ours: bool = True) -> float:
    """A reply comes; returns the seconds to wait for more."""
    clock.now += after
    replies.add({"node": "pong"}, is_ours=is_ours)
    return replies.left()


def test_nobody_is_waited_for_when_as_many_have_answered_as_hear(clock: Clock) -> None:
    replies = _Replies(2, None, 5.0)
    assert answer(replies, clock, 1.0) == 4.0
    assert answer(replies, clock, 1.0) <= 0.0


def test_all_the_time_is_used_where_nobody_is_counted(clock: Clock) -> None:
    replies = _Replies(None, None, 5.0)
    assert answer(replies, clock, 1.0) == 4.0


def test_after_the_last_of_ours_workers_of_celery_have_a_little_time(clock: Clock) -> None:
    replies = _Replies(None, 2, 5.0)
    assert answer(replies, clock, 0.01) == pytest.approx(4.99)
    assert answer(replies, clock, 0.01) == pytest.approx(0.25)


def test_the_slower_ours_are_the_more_time_they_have(clock: Clock) -> None:
    assert answer(_Replies(None, 1, 5.0), clock, 0.1) == pytest.approx(1.0)
    assert answer(_Replies(None, 1, 5.0), clock, 1.0) == pytest.approx(4.0)


@pytest.mark.parametrize("celery_first", [True, False])
def test_where_one_worker_of_celery_answers_others_get_all_the_time(clock: Clock, celery_first: bool) -> None:
    replies = _Replies(None, 1, 5.0)
    answer(replies, clock, 0.01, is_ours=not celery_first)
    assert answer(replies, clock, 0.01, is_ours=celery_first) == pytest.approx(4.98)


def test_a_fleet_without_workers_of_ours_gets_all_the_time(clock: Clock) -> None:
    assert _Replies(None, 0, 5.0).left() == 5.0
