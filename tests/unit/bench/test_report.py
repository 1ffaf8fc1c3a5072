"""The benchmark's verdicts, on made-up samples."""

from __future__ import annotations

import pytest

from bench.bars import Bar
from bench.report import judge, problems_list, render
from bench.samples import Sample, Samples

RATE = Bar("rate", "redis-off", "rate", "/s", celery=20, peers=3.5)
CPU = Bar("cpu", "redis-off", "cpu_us", "µs", higher=False, limit=60, celery=0.06)


def samples_of(*rows: tuple[str, int, float], metric: str = "rate", **more: object) -> Samples:
    return Samples(
        [
            Sample("redis-off", peer, "only", number, {metric: value}, **more)  # type: ignore[arg-type]
            for peer, number, value in rows
        ]
    )


def test_ratios_are_taken_within_a_pass() -> None:
    # The machine was twice as fast in pass 2; the ratio is 20 in both.
    samples = samples_of(("celery", 1, 1000), ("celeriac", 1, 20000), ("celery", 2, 2000), ("celeriac", 2, 40000))

    assert judge(samples, RATE).base_ratio == 20


def test_rate_that_reaches_both_ratios_is_met() -> None:
    samples = samples_of(("celery", 1, 1000), ("huey", 1, 5000), ("celeriac", 1, 21000))

    assert judge(samples, RATE).text == "met"


def test_strongest_peer_decides() -> None:
    samples = samples_of(("celery", 1, 1000), ("huey", 1, 5000), ("taskiq", 1, 9000), ("celeriac", 1, 21000))

    verdict = judge(samples, RATE)

    assert verdict.rival == "taskiq only"
    assert verdict.text == "**missed** (peers)"


def test_costs_must_stay_below_their_limits() -> None:
    samples = samples_of(("celery", 1, 1000), ("celeriac", 1, 70), metric="cpu_us")

    assert judge(samples, CPU).failures == ["value", "Celery"]


def test_verdict_stays_open_without_celery() -> None:
    assert judge(samples_of(("celeriac", 1, 21000)), RATE).text == "open (not measured: Celery, peers)"


def test_a_missed_bar_shows_what_a_bare_loop_reaches() -> None:
    bar = Bar("confirmed", "delay-rabbitmq", "rate", "/s", celery=1.3, floor="confirm_rate")
    samples = Samples(
        [
            Sample("delay-rabbitmq", "celery", "only", 1, {"rate": 2000}),
            Sample("delay-rabbitmq", "celeriac", "only", 1, {"rate": 900, "confirm_rate": 1000}),
        ]
    )

    text = judge(samples, bar).text

    assert text == "**missed** (Celery); a bare loop over the driver reaches 1,000/s, 0.5 x Celery"


def test_run_with_lost_tasks_meets_no_bar() -> None:
    samples = samples_of(("celery", 1, 1000), ("celeriac", 1, 50000), problems=["3 of 100 tasks were lost"])

    assert judge(samples, RATE).text.startswith("**flawed**")


def test_peer_that_failed_is_reported() -> None:
    samples = Samples([Sample("redis-off", "rq", "only", 1, error="pip could not install rq")])

    assert "pip could not install rq" in problems_list(samples)
    assert "rq only" in render(samples, {})


@pytest.mark.parametrize(("aim", "text"), [(90, "met"), (200, "met, below the aim")])
def test_aim_is_no_requirement(aim: float, text: str) -> None:
    bar = Bar("rate", "redis-off", "rate", "/s", limit=50, aim=aim)

    assert judge(samples_of(("celeriac", 1, 100)), bar).text == text
