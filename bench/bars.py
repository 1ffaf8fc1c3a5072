"""The bars Celeriac must reach, as data; `bench.report` judges them.

A ratio is Celeriac's value divided by the other's, taken within one pass, and the median over the passes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bar:
    """One requirement.

    Attributes:
        title: What tables show.
        scenario: Where it is measured.
        metric: Which number of the scenario.
        unit: Unit of the number.
        higher: Whether more is better; limits are minima if so, else maxima.
        limit: Required value.
        celery: Required ratio to Celery.
        peers: Required ratio to every other peer.
        against: The peers meant; empty for all.
        aim: Desired value, not required.
        variant: Celeriac's variant; empty for its first.
        floor: Metric that tells what a bare loop over the driver reaches on the same server; empty for none.
    """

    title: str
    scenario: str
    metric: str
    unit: str
    higher: bool = True
    limit: float | None = None
    celery: float | None = None
    peers: float | None = None
    against: tuple[str, ...] = ()
    aim: float | None = None
    variant: str = ""
    floor: str = ""


BARS: tuple[Bar, ...] = (
    Bar("Redis, results off", "redis-off", "rate", "/s", celery=20, peers=3.5, aim=33_000),
    Bar("Redis, results on", "redis-on", "rate", "/s", celery=15, peers=4, aim=16_700),
    Bar("RabbitMQ, results off", "rabbitmq-off", "rate", "/s", celery=5.5, peers=2.2, aim=16_700),
    Bar("RabbitMQ, results in Redis", "rabbitmq-on", "rate", "/s", celery=7, peers=3),
    Bar("SQLite, results on", "sqlite-on", "rate", "/s", limit=5000, peers=3, against=("huey",)),
    Bar("PostgreSQL, results on", "postgres-on", "rate", "/s", limit=4000, peers=3, against=("procrastinate",)),
    Bar("delay(), Redis", "delay-redis", "rate", "/s", celery=3, peers=1),
    Bar("delay(), RabbitMQ, confirmed", "delay-rabbitmq", "rate", "/s", celery=1.3, floor="confirm_rate"),
    Bar("delay(), RabbitMQ, confirms off", "delay-rabbitmq", "rate", "/s", celery=4, variant="confirms off"),
    Bar("bulk enqueue, Redis", "bulk-redis", "rate", "/s", celery=25),
    Bar("bulk enqueue, RabbitMQ, confirmed", "bulk-rabbitmq", "rate", "/s", celery=4, floor="confirm_rate"),
    Bar("round trip, Redis, p50", "roundtrip-redis", "p50_ms", "ms", higher=False, limit=1, celery=1, peers=1),
    Bar("round trip, Redis, p99", "roundtrip-redis", "p99_ms", "ms", higher=False, limit=3),
    Bar(
        "worker CPU per task, Redis, results off",
        "redis-off",
        "cpu_us",
        "µs",
        higher=False,
        limit=60,
        celery=0.06,
    ),
    Bar(
        "worker CPU per task, Redis, results on",
        "redis-on",
        "cpu_us",
        "µs",
        higher=False,
        limit=90,
        celery=0.08,
    ),
    Bar("events about tasks: share of the rate kept", "events-redis", "kept", "x", limit=0.9),
    Bar("worker RSS idle, -c 2", "redis-off", "rss_idle", "MiB", higher=False, limit=90),
    Bar("worker PSS idle, -c 2", "redis-off", "pss_idle", "MiB", higher=False, limit=60),
    Bar("50,000 delayed tasks: growth", "delayed-redis", "rss_growth", "MiB", higher=False, limit=20),
    Bar("50,000 delayed tasks: taken in", "delayed-redis", "take_in_s", "s", higher=False, limit=4),
    Bar(
        "50,000 delayed by Celery's client: growth",
        "delayed-redis-foreign",
        "rss_growth",
        "MiB",
        higher=False,
        limit=20,
    ),
    Bar(
        "50,000 delayed by Celery's client: taken in",
        "delayed-redis-foreign",
        "take_in_s",
        "s",
        higher=False,
        limit=4,
    ),
    Bar("start to first task", "startup-redis", "start_s", "s", higher=False, celery=0.6),
    Bar("import and an app", "import", "wall_ms", "ms", higher=False, limit=60),
    Bar("import celery by the door, to import celeriac", "door", "door_ratio", "", higher=False, limit=1.2),
    Bar("first delay() in a new process", "first-call", "wall_ms", "ms", higher=False, celery=0.5),
    Bar("long task among short: extra time", "long-redis", "extra_s", "s", higher=False, limit=0.5),
    Bar("SQLite round trip, p50", "roundtrip-sqlite", "p50_ms", "ms", higher=False, limit=5),
    Bar("chain of 100", "canvas-chain", "seconds", "s", higher=False, celery=0.25),
    Bar("group of 10,000 with join", "canvas-group", "seconds", "s", higher=False, celery=0.125),
    Bar("chord of 1,000", "canvas-chord", "seconds", "s", higher=False, celery=0.125),
    Bar("chain of 10 chords of 100", "canvas-chords", "seconds", "s", higher=False, celery=0.125),
    Bar("100 chords of 100 in a chain: received", "canvas-wire", "wire_mb", "MB", higher=False, limit=20),
    Bar("100 chords of 100 to 50: bytes", "canvas-wire", "wire_growth", "x", higher=False, limit=2.2),
    Bar("group of 100,000: submit", "canvas-submit", "seconds", "s", higher=False, limit=10),
    Bar("group of 100,000: growth of the client", "canvas-submit", "rss_growth", "MiB", higher=False, limit=50),
    Bar("beat with 10,000 entries: start", "beat", "beat_start_s", "s", higher=False, limit=2),
    Bar("beat with 10,000 entries: idle tick", "beat", "idle_tick_ms", "ms", higher=False, limit=1),
    Bar("beat with 10,000 entries: drift in 10 minutes", "beat", "drift_ms", "ms", higher=False, limit=50),
    Bar("beat with 10,000 entries: RSS", "beat", "beat_rss", "MiB", higher=False, limit=100),
    Bar("1,000 tasks that sleep for a second", "async-sleep", "seconds", "s", higher=False, limit=3, celery=1),
    Bar("10,000 coroutines at once: worker RSS", "async-sleep", "rss_sleeping", "MiB", higher=False, limit=300),
    Bar("path of delay(): calls", "pathlen", "call_calls", "", higher=False, aim=40),
    Bar("path of delay(): functions", "pathlen", "call_functions", "", higher=False, aim=20),
    Bar("path of delay(): files", "pathlen", "call_files", "", higher=False, aim=8),
    Bar("path of delay(): switches", "pathlen", "call_switches", "", higher=False, aim=16),
    Bar("path of a task, solo: calls", "pathlen", "work_calls", "", higher=False, aim=80),
    Bar("path of a task, solo: functions", "pathlen", "work_functions", "", higher=False, aim=45),
    Bar("path of a task, solo: files", "pathlen", "work_files", "", higher=False, aim=14),
    Bar("path of a task, solo: switches", "pathlen", "work_switches", "", higher=False, aim=40),
)
