"""Scenarios of workflows on Redis, results in Redis: chains, groups, chords, and what they put on the wire."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from bench import servers
from bench.run import WARM_TASKS

if TYPE_CHECKING:
    from bench.job import Job, Metrics

CHAIN = 100
GROUP = 10_000
CHORD = 1_000
CHORDS_IN_CHAIN = 10
HEADER = 100
SUBMITTED = 100_000


def chain_time(job: Job) -> tuple[Metrics, list[str]]:
    """A chain of 100 tasks, from the call to its result."""
    return _workflow(job, "chain", times=5, size=CHAIN)


def group_time(job: Job) -> tuple[Metrics, list[str]]:
    """A group of 10,000 tasks, from the call to all results in the client."""
    return _workflow(job, "group", times=1, size=job.size(GROUP))


def chord_time(job: Job) -> tuple[Metrics, list[str]]:
    """A chord of 1,000 header tasks, from the call to its body's result."""
    return _workflow(job, "chord", times=2, size=CHORD)


def chords_time(job: Job) -> tuple[Metrics, list[str]]:
    """A chain of 10 chords of 100 header tasks, from the call to the last result."""
    return _workflow(job, "chords", times=1, size=HEADER, count=CHORDS_IN_CHAIN)


def _workflow(job: Job, kind: str, *, times: int, **arguments: int) -> tuple[Metrics, list[str]]:
    """Median seconds of a workflow on a warm worker, and the bytes that Redis received for one of them."""
    with job.run(WARM_TASKS) as run:
        run.warm_up()
        small = {"size": min(arguments["size"], 100), **({"count": 1} if "count" in arguments else {})}
        run.client("workflow", kind=kind, times=1, arguments=small)
        before = servers.redis_received()
        seconds = run.client("workflow", kind=kind, times=times, arguments=arguments).value
        received = (servers.redis_received() - before) / times
    return {"seconds": median(seconds), "wire_mb": received / 1e6}, run.problems


def wire_bytes(job: Job) -> tuple[Metrics, list[str]]:
    """A chain of 100 chords of 100: bytes that Redis received, against a chain of 50."""
    received = {}
    with job.run(WARM_TASKS) as run:
        run.warm_up()
        for count in (50, 100):
            before = servers.redis_received()
            run.client("workflow", kind="chords", times=1, arguments={"size": HEADER, "count": count})
            received[count] = servers.redis_received() - before
    return {"wire_mb": received[100] / 1e6, "wire_growth": received[100] / received[50]}, run.problems


def group_submit(job: Job) -> tuple[Metrics, list[str]]:
    """Submitting a group of 100,000 tasks with nothing consuming: seconds and growth of the client."""
    size = job.size(SUBMITTED)
    with job.run() as run:
        cost = run.client("submit_group", size=size)
        run.check_arrival(size)
    return {"seconds": cost.wall, "rss_growth": cost.value, "tasks": size}, run.problems
