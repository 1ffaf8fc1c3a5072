"""How many messages a worker holds, by the length of its tasks, the size of its messages, and what comes to nothing."""

from __future__ import annotations

from celeriac.message import Delivery, Message
from celeriac.worker.pace import MAX_EXTRA, MAX_PREFETCH, UNLIMITED, Estimates, Pace

MB = 1 << 20


def make_pace(*, multiplier: int = 4, adaptive: bool = True, max_bytes: int = 64 * MB) -> tuple[Pace, Estimates]:
    estimates = Estimates()
    return Pace(estimates, multiplier=multiplier, adaptive=adaptive, max_bytes=max_bytes), estimates


def batch(count: int, size: int = 100) -> list[Delivery]:
    message = Message(bytes(size), "application/json", "utf-8", {}, {})
    return [Delivery(message, "q", number, 1) for number in range(count)]


def learn_short(estimates: Estimates) -> None:
    for _ in range(200):
        estimates.learn([("short", 0.0)])


def test_the_multiplier_holds_while_tasks_are_unknown() -> None:
    pace, _ = make_pace()
    assert pace.limit(2) == 8


def test_short_tasks_raise_the_limit() -> None:
    pace, estimates = make_pace()
    learn_short(estimates)
    assert pace.limit(2) == 2 * MAX_PREFETCH


def test_the_multiplier_is_strict_without_adapting() -> None:
    pace, estimates = make_pace(adaptive=False)
    learn_short(estimates)
    assert pace.limit(2) == 8


def test_a_multiplier_of_zero_is_no_limit() -> None:
    pace, _ = make_pace(multiplier=0)
    assert pace.limit(2) == UNLIMITED


def test_batches_that_are_all_put_aside_grow_to_whole_fetches() -> None:
    pace, _ = make_pace()
    limits = []
    for _ in range(10):
        pace.fetched(batch(pace.limit(2)), kept=0)
        limits.append(pace.limit(2))
    assert limits[0] == 16
    assert limits == sorted(limits)
    assert limits[-1] == 8 + MAX_EXTRA


def test_the_first_message_that_is_to_run_ends_the_growth() -> None:
    pace, _ = make_pace()
    pace.fetched(batch(8), kept=0)
    pace.fetched(batch(16), kept=1)
    assert pace.limit(2) == 8


def test_large_messages_lower_the_limit_at_once() -> None:
    pace, estimates = make_pace()
    learn_short(estimates)
    pace.fetched(batch(384, size=10), kept=384)
    assert pace.limit(2) == 2 * MAX_PREFETCH
    pace.fetched([*batch(100, size=10), *batch(1, size=MB)], kept=101)
    assert pace.limit(2) == 64


def test_one_message_for_each_slot_is_held_however_large() -> None:
    pace, _ = make_pace()
    pace.fetched(batch(1, size=100 * MB), kept=1)
    assert pace.limit(3) == 3


def test_a_multiplier_is_bounded_by_size_too() -> None:
    pace, _ = make_pace(multiplier=0, adaptive=False)
    pace.fetched(batch(1, size=MB), kept=1)
    assert pace.limit(2) == 64


def test_the_limit_recovers_when_messages_are_small_again() -> None:
    pace, estimates = make_pace()
    learn_short(estimates)
    pace.fetched(batch(1, size=MB), kept=1)
    for _ in range(100):
        pace.fetched(batch(64), kept=64)
    assert pace.limit(2) == 2 * MAX_PREFETCH
