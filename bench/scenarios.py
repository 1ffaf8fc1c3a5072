"""What is measured: each scenario drives one run of one variant and returns its numbers.

Comparison and verdicts are the report's job.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from bench import servers, sleeping, venvs, workflows
from bench.harness import BenchError, cpu_of
from bench.job import Job, Metrics, Scenario
from bench.peers.base import CALL, SLEEP
from bench.run import WARM_TASKS, Run, last_words, rate, stalled

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.peers.base import Peer, Variant

SHORT_TASKS = 2000
LONG_TASK_SECONDS = 2.0
DELAY_SECONDS = 3600.0
ROUND_TRIPS = 400
WARM_TRIPS = 20
WARM_CALLS = 200
#: Most calls of a client run; fewer of queues that would take many seconds for them.
CALLS = 10_000
BULK_CALLS = 50_000
ROUNDS = 2
BEAT_ENTRIES, BEAT_SECONDS = 10_000, 600.0


def throughput(job: Job) -> tuple[Metrics, list[str]]:
    """A full queue, worked off by a warm worker: rate, CPU, memory."""
    return _work_off(job, job.size(job.peer.tasks))


def memory_after_100k(job: Job) -> tuple[Metrics, list[str]]:
    """100,000 tasks through one worker: what its memory has grown by."""
    return _work_off(job, job.size(100_000))


def events_cost(job: Job) -> tuple[Metrics, list[str]]:
    """A full queue, worked off without and then with events about tasks, to which nobody listens."""
    count = job.size(job.peer.tasks)
    off, problems = _work_off(job, count)
    telling = replace(job.variant, worker=(*job.variant.worker, "--task-events"))
    on, more = _work_off(replace(job, variant=telling), count)
    metrics = {
        "rate_off": off["rate"],
        "rate_on": on["rate"],
        "kept": on["rate"] / off["rate"],
        "cpu_us_off": off["cpu_us"],
        "cpu_us_on": on["cpu_us"],
        "other_cores": max(off["other_cores"], on["other_cores"]),
        "tasks": count,
    }
    return metrics, [*problems, *more]


def _work_off(job: Job, count: int) -> tuple[Metrics, list[str]]:
    first, last = WARM_TASKS, WARM_TASKS + count
    with job.run(last) as run:
        start_s = run.warm_up()
        tree = run.tree
        idle, idle_load = tree.memory(), tree.idle_load()
        tree.freeze()
        sent = run.client("fill", start=first, count=count)
        before = _Usage.read(job.scenario.broker, tree.cpu())
        tree.thaw()
        missing = run.wait_marks(first, last)
        tree.wait_quiet(load=max(0.05, 2 * idle_load), timeout=5)
        used = _Usage.read(job.scenario.broker, tree.cpu()).since(before)
        after = tree.memory()
        times = run.marks.times(first, last)
        run.note_losses(missing, count)
        if job.scenario.results and sent.value:
            stored = run.client("verify", tokens=sent.value).value
            if stored != len(sent.value):
                run.problems.append(f"only {stored} of the last {len(sent.value)} results were stored")
        metrics = {
            "rate": rate(times),
            "cpu_us": used.tree / count * 1e6,
            "broker_cpu_us": used.server / count * 1e6,
            "stalled_s": stalled(times),
            "start_s": start_s,
            "idle_load": idle_load,
            "rss_idle": idle.rss,
            "pss_idle": idle.pss,
            "rss_after": after.rss,
            "pss_after": after.pss,
            "rss_growth": after.rss - idle.rss,
            "processes": len(tree.members()),
            "other_cores": used.others,
            "tasks": count,
        }
    return metrics, run.problems


@dataclass(frozen=True, slots=True)
class _Usage:
    """CPU seconds of the worker tree, of the broker, and of everything else on the machine."""

    at: float
    tree: float
    server: float
    machine: float

    @classmethod
    def read(cls, broker: str, tree: float) -> _Usage:
        fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        busy = (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")
        return cls(time.monotonic(), tree, cpu_of(servers.SERVER_NAMES.get(broker, ())), busy)

    def since(self, before: _Usage) -> _Usage:
        return _Usage(
            self.at - before.at,
            self.tree - before.tree,
            self.server - before.server,
            self.machine - before.machine,
        )

    @property
    def others(self) -> float:
        """Cores used by neither worker nor broker (includes steal and the harness itself)."""
        return max(0.0, (self.machine - self.tree - self.server) / self.at)


def call_rate(job: Job) -> tuple[Metrics, list[str]]:
    """One client process calls one task at a time, with nothing consuming."""
    count = job.size(min(CALLS, job.peer.tasks))
    with job.run() as run:
        cost = run.client("send", start=0, count=count, warm=WARM_CALLS)
        run.check_arrival(count + WARM_CALLS)
        metrics = {"rate": count / cost.wall, "cpu_us": cost.cpu / count * 1e6}
        metrics |= _confirm_rate(job, run, "one", job.size(1000))
    return metrics, run.problems


def bulk_rate(job: Job) -> tuple[Metrics, list[str]]:
    """One client process enqueues many tasks by the library's bulk call."""
    # Celery's group() is no faster than its loop; a bulk call is worth a longer run.
    count = job.size(job.peer.tasks if job.peer.name == "celery" else min(BULK_CALLS, 5 * job.peer.tasks))
    with job.run() as run:
        cost = run.client("bulk", start=0, count=count, warm=WARM_CALLS)
        run.check_arrival(count + WARM_CALLS)
        metrics = {"rate": count / cost.wall, "cpu_us": cost.cpu / count * 1e6}
        metrics |= _confirm_rate(job, run, "batch", count)
    return metrics, run.problems


def _confirm_rate(job: Job, run: Run, how: str, count: int) -> Metrics:
    """What RabbitMQ confirms to a bare loop over the driver, beside Celeriac's own confirmed publishes."""
    if job.peer.name != "celeriac" or job.scenario.broker != "rabbitmq" or job.variant.env.get("BENCH_CONFIRM") == "0":
        return {}
    queue = f"{servers.QUEUE}-floor"
    return {"confirm_rate": float(run.program("-m", "bench.apps.amqp_floor", how, queue, str(count)))}


def round_trip(job: Job) -> tuple[Metrics, list[str]]:
    """Call and wait for the result, one at a time, on an idle worker."""
    count = ROUND_TRIPS + WARM_TRIPS
    with job.run(WARM_TASKS + count) as run:
        run.warm_up()
        idle_load = run.tree.idle_load()
        durations = run.client("round_trips", start=WARM_TASKS, count=count).value[WARM_TRIPS:]
        durations.sort()
        run.note_losses(0, count)
        metrics = {
            "p50_ms": median(durations) / 1e6,
            "p99_ms": durations[int(len(durations) * 0.99)] / 1e6,
            "max_ms": durations[-1] / 1e6,
            "idle_load": idle_load,
        }
    return metrics, run.problems


def delayed(job: Job) -> tuple[Metrics, list[str]]:
    """50,000 tasks for an hour from now: the worker's growth and the time it takes to take them in."""
    return _take_in(job, None)


def delayed_foreign(job: Job) -> tuple[Metrics, list[str]]:
    """The same, with the tasks published by Celery's client."""
    return _take_in(job, job.peers["celery"])


def _take_in(job: Job, client_peer: Peer | None) -> tuple[Metrics, list[str]]:
    count = job.size(50_000)
    with job.run(WARM_TASKS + 1, client_peer) as run:
        run.warm_up()
        tree = run.tree
        idle, idle_load = tree.memory(), tree.idle_load()
        tree.freeze()
        # All delayed tasks share one slot; none may run within the test.
        sent = _send_delayed(run, count)
        before = tree.cpu()
        thawed_at = tree.thaw() / 1e9
        busy_until = tree.wait_quiet(windows=6, load=max(0.1, 2 * idle_load), timeout=180)
        after = tree.memory()
        if run.marks.times(WARM_TASKS, WARM_TASKS + 1) != [0]:
            run.problems.append("a delayed task ran at once")
        metrics = {
            "rss_growth": after.rss - idle.rss,
            "take_in_s": max(0.0, busy_until - thawed_at),
            "take_in_cpu_s": tree.cpu() - before,
            "enqueue_rate": count / sent,
            "tasks": count,
        }
    return metrics, run.problems


def _send_delayed(run: Run, count: int) -> float:
    return run.client("delayed", index=WARM_TASKS, count=count, seconds=DELAY_SECONDS).wall


def long_among_short(job: Job) -> tuple[Metrics, list[str]]:
    """One task of 2 s among 2,000: when the other 1,999 are done, against 2,000 short ones."""
    count = SHORT_TASKS
    plain = WARM_TASKS
    mixed = plain + count
    with job.run(mixed + count) as run:
        run.warm_up()
        normal = _timed_batch(run, plain, count, long_at=None)
        with_long = _timed_batch(run, mixed, count, long_at=count // 10)
        metrics = {"normal_s": normal, "with_long_s": with_long, "extra_s": with_long - normal}
    return metrics, run.problems


def _timed_batch(run: Run, start: int, count: int, *, long_at: int | None) -> float:
    """Seconds from letting the worker go to the end of the last short task."""
    tree, stop = run.tree, start + count
    tree.freeze()
    if long_at is None:
        run.client("send", start=start, count=count)
    else:
        run.client("send", start=start, count=long_at)
        run.client("hold", index=start + long_at, seconds=LONG_TASK_SECONDS)
        run.client("send", start=start + long_at + 1, count=count - long_at - 1)
    thawed_at = tree.thaw()
    run.note_losses(run.wait_marks(start, stop), count)
    times = run.marks.times(start, stop)
    if long_at is not None:
        del times[long_at]
    tree.wait_quiet(timeout=5)
    return (max(times) - thawed_at) / 1e9


def start_up(job: Job) -> tuple[Metrics, list[str]]:
    """From starting the worker to the beginning of its first task."""
    with job.run(WARM_TASKS) as run:
        start_s = run.warm_up(count=1)
    return {"start_s": start_s}, run.problems


def import_time(job: Job) -> tuple[Metrics, list[str]]:
    """A new process that imports the library and makes an app, and a bare interpreter beside it."""
    run = job.run()
    bare = _process_ms(run, "pass")
    whole = _process_ms(run, job.peer.import_code)
    return {"wall_ms": whole, "bare_ms": bare, "net_ms": whole - bare}, []


def door_cost(job: Job) -> tuple[Metrics, list[str]]:
    """Processor time of ``import celery`` by the door, and of ``import celeriac``: medians of 21 runs, by turns."""
    python = str(venvs.bin_dir(job.run().peer.name) / "python")
    shim = "import celeriac.compat.shim as shim; print(shim.__path__[0])"
    path = subprocess.run([python, "-c", shim], check=True, capture_output=True, text=True).stdout.strip()
    taken: dict[str, list[float]] = {"celeriac": [], "celery": []}
    for _ in range(21):
        for name, found in taken.items():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            env = {**os.environ, "PYTHONPATH": path if name == "celery" else ""}
            subprocess.run([python, "-c", f"import {name}"], check=True, env=env)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            found.append(1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    plain, door = (median(found) for found in taken.values())
    return {"plain_ms": plain, "door_ms": door, "door_ratio": door / plain}, []


def first_call(job: Job) -> tuple[Metrics, list[str]]:
    """A new process that imports the library, makes an app and enqueues one task on Redis."""
    if job.peer.first_call_code is None:
        raise BenchError(f"{job.peer.name} has no first call on Redis")
    with job.run() as run:
        wall = _process_ms(run, job.peer.first_call_code.replace("{url}", servers.REDIS_URL))
    return {"wall_ms": wall}, run.problems


def _process_ms(run: Run, code: str, samples: int = 7) -> float:
    """Median wall time of a process that runs `code`, after one run that warms the caches."""
    python = str(venvs.bin_dir(run.peer.name) / "python")
    durations = []
    for _ in range(samples + 1):
        before = time.perf_counter()
        done = subprocess.run(
            [python, "-c", code],
            env=run.env(),
            cwd=run.directory,
            capture_output=True,
            text=True,
            check=False,
        )
        durations.append(time.perf_counter() - before)
        if done.returncode:
            raise BenchError(f"a new process failed: {last_words(done.stderr)}")
    return median(durations[1:]) * 1e3


def beat_load(job: Job) -> tuple[Metrics, list[str]]:
    """Beat with 10,000 entries for ten minutes, ten of them of every second."""
    seconds = max(20.0, BEAT_SECONDS * job.scale)
    with job.run() as run:
        arguments = (str(job.size(BEAT_ENTRIES)), str(seconds), str(time.time()))
        printed = run.program("-m", "bench.apps.beat_load", *arguments, timeout=2 * seconds + 120)
        numbers: Metrics = json.loads(printed.splitlines()[-1])
        if numbers["missing"]:
            run.problems.append(f"{numbers['missing']:.0f} runs were not sent")
    return numbers, run.problems


def path_length(job: Job) -> tuple[Metrics, list[str]]:
    """Python calls, functions, files and file switches of one call and of one task."""
    run = job.run()
    metrics: Metrics = {}
    for part in ("call", "work"):
        counts = json.loads(run.program("-m", "bench.pathlen", job.peer.app, part).splitlines()[-1])[part]
        metrics |= {f"{part}_{name}": value for name, value in counts.items()}
    return metrics, []


def _stores(broker: str) -> Callable[[Peer], bool]:
    return lambda peer: broker in peer.stores_results


def _workflows(peer: Peer) -> bool:
    return peer.workflows


def _ours(peer: Peer) -> bool:
    return peer.name == "celeriac"


def _bulk(broker: str) -> Callable[[Peer], bool]:
    return lambda peer: broker in peer.bulk


SCENARIOS: dict[str, Scenario] = {
    scenario.key: scenario
    for scenario in (
        Scenario("redis-off", "Worker on Redis, results off", throughput),
        Scenario("redis-on", "Worker on Redis, results in Redis", throughput, results=True),
        Scenario("rabbitmq-off", "Worker on RabbitMQ, results off", throughput, broker="rabbitmq"),
        Scenario(
            "rabbitmq-on",
            "Worker on RabbitMQ, results in Redis",
            throughput,
            broker="rabbitmq",
            results=True,
        ),
        Scenario(
            "events-redis",
            "Worker on Redis with events about tasks",
            events_cost,
            applies=_workflows,
            rounds=ROUNDS,
        ),
        Scenario("sqlite-on", "Worker on SQLite, results on", throughput, broker="sqlite", results=True),
        Scenario(
            "postgres-on",
            "Worker on PostgreSQL, results on (procrastinate stores job states only)",
            throughput,
            broker="postgres",
            results=True,
            applies=_stores("postgres"),
        ),
        Scenario("delay-redis", "One call at a time, Redis", call_rate, role=CALL, rounds=ROUNDS),
        Scenario(
            "delay-rabbitmq", "One call at a time, RabbitMQ", call_rate, broker="rabbitmq", role=CALL, rounds=ROUNDS
        ),
        Scenario("delay-sqlite", "One call at a time, SQLite", call_rate, broker="sqlite", role=CALL),
        Scenario("delay-postgres", "One call at a time, PostgreSQL", call_rate, broker="postgres", role=CALL),
        Scenario("bulk-redis", "Bulk enqueue, Redis", bulk_rate, role=CALL, applies=_bulk("redis"), rounds=ROUNDS),
        Scenario(
            "bulk-rabbitmq",
            "Bulk enqueue, RabbitMQ",
            bulk_rate,
            broker="rabbitmq",
            role=CALL,
            applies=_bulk("rabbitmq"),
            rounds=ROUNDS,
        ),
        Scenario(
            "bulk-postgres",
            "Bulk enqueue, PostgreSQL",
            bulk_rate,
            broker="postgres",
            role=CALL,
            applies=_bulk("postgres"),
        ),
        Scenario("roundtrip-redis", "Round trip on Redis", round_trip, results=True, applies=_stores("redis")),
        Scenario(
            "roundtrip-rabbitmq",
            "Round trip on RabbitMQ, results in Redis",
            round_trip,
            broker="rabbitmq",
            results=True,
            applies=_stores("rabbitmq"),
        ),
        Scenario(
            "roundtrip-sqlite",
            "Round trip on SQLite",
            round_trip,
            broker="sqlite",
            results=True,
            applies=_stores("sqlite"),
        ),
        Scenario(
            "delayed-redis",
            "50,000 delayed tasks on Redis",
            delayed,
            applies=lambda peer: peer.delays,
            others_once=True,
        ),
        Scenario(
            "delayed-redis-foreign",
            "50,000 delayed tasks on Redis, published by Celery's client",
            delayed_foreign,
            applies=_ours,
        ),
        Scenario(
            "memory-redis",
            "Memory after 100,000 tasks on Redis",
            memory_after_100k,
            applies=_workflows,
            once=True,
        ),
        Scenario("long-redis", "One 2 s task among 2,000 short ones, Redis", long_among_short, others_once=True),
        Scenario("startup-redis", "From start to the first task, Redis", start_up, rounds=ROUNDS),
        Scenario("import", "Import and an app, in a new process", import_time, broker="memory", role=CALL),
        Scenario("door", "import celery through the door", door_cost, broker="memory", role=CALL, applies=_ours),
        Scenario("first-call", "First call in a new process, Redis", first_call, role=CALL),
        Scenario("canvas-chain", "A chain of 100, Redis", workflows.chain_time, results=True, applies=_workflows),
        Scenario(
            "canvas-group",
            "A group of 10,000 with its results, Redis",
            workflows.group_time,
            results=True,
            applies=_workflows,
        ),
        Scenario("canvas-chord", "A chord of 1,000, Redis", workflows.chord_time, results=True, applies=_workflows),
        Scenario(
            "canvas-chords",
            "A chain of 10 chords of 100, Redis",
            workflows.chords_time,
            results=True,
            applies=_workflows,
        ),
        Scenario(
            "canvas-wire",
            "Bytes of a chain of 100 chords of 100, Redis",
            workflows.wire_bytes,
            results=True,
            applies=_ours,
        ),
        Scenario(
            "canvas-submit",
            "Submitting a group of 100,000, Redis",
            workflows.group_submit,
            results=True,
            role=CALL,
            applies=_ours,
        ),
        Scenario("beat", "Beat with 10,000 entries, Redis", beat_load, role=CALL, applies=_ours, once=True),
        Scenario(
            "async-sleep",
            "1,000 tasks that sleep for a second; memory of those that sleep at once, Redis",
            sleeping.async_sleep,
            role=SLEEP,
            applies=_workflows,
        ),
        Scenario(
            "pathlen",
            "Path length on the memory broker",
            path_length,
            broker="memory",
            role=CALL,
            applies=lambda peer: peer.memory_broker,
            once=True,
        ),
    )
}


def variants_of(scenario: Scenario, peer: Peer, *, extra: bool) -> list[Variant]:
    """The configurations of a peer that take part in a scenario."""
    if not scenario.applies(peer):
        return []
    if scenario.broker == "memory":
        return list(peer.variants[:1])
    chosen = peer.chosen(scenario.broker, scenario.role, extra=extra)
    # A process's start does not depend on how many workers there will be.
    return chosen[:1] if scenario.key == "first-call" else chosen
