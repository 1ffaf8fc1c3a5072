"""``.venv-interop/bin/python -m tests.interop.record_golden [NAME…]``: write down what real Celery puts on the wire.

The messages of `tests.interop.variants` and of workflows, as Redis and RabbitMQ carry them, results as the Redis result
store keeps them, and what beat keeps in its file, go to ``tests/interop/golden``.  The servers are those of
``CELERIAC_TEST_REDIS_URL`` (a database of its own, which is emptied) and ``CELERIAC_TEST_AMQP_URL``;
``INTEROP_LIBRARY`` has to be ``celery``.
"""

from __future__ import annotations

import base64
import dbm
import importlib
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.interop.tasks import CONF, ERRORS, VALUES
from tests.interop.variants import QUEUE, VARIANTS, call, declare

celery: Any = importlib.import_module("celery")
context: Any = importlib.import_module("celery.app.task").Context
GOLDEN = Path(__file__).with_name("golden")
REDIS = os.environ.get("CELERIAC_TEST_REDIS_URL", "redis://127.0.0.1:6379/14")
AMQP = os.environ.get("CELERIAC_TEST_AMQP_URL", "amqp://guest:guest@127.0.0.1:5672//")
SEPARATOR = "\x06\x16"
LISTS = [QUEUE, *(f"{QUEUE}{SEPARATOR}{step}" for step in (3, 6, 9))]


def make_app(broker: str, **conf: Any) -> Any:
    """An app of real Celery."""
    app = celery.Celery("golden", broker=broker, backend=REDIS, set_as_current=False)
    app.conf.update({**CONF, "broker_pool_limit": None, **conf})
    declare(app)
    return app


def workflows(app: Any) -> dict[str, Any]:
    """Workflows by name; each publishes its first messages."""
    add = app.tasks["golden.add"]

    def s(*args: Any) -> Any:
        return add.s(*args).set(queue=QUEUE)

    return {
        "chain": lambda: (s(1, 2) | s(3) | s(4)).apply_async(),
        "chain of immutable": lambda: (s(1, 2) | add.si(3).set(queue=QUEUE)).apply_async(),
        "group": lambda: celery.group([s(1), s(2)]).apply_async(),
        "chord": lambda: celery.chord([s(1), s(2)])(s(3)),
        "chain into a group": lambda: (s(1) | celery.group([s(2), s(3)])).apply_async(),
        "stamped": lambda: stamped(s(1)).apply_async(),
    }


def stamped(sig: Any) -> Any:
    """A signature with stamps."""
    sig.stamp(tenant="x", numbers=[1, 2])
    return sig


def record_redis() -> dict[str, list[dict[str, str]]]:
    """Raw envelopes, with the list each was pushed to."""
    found: dict[str, list[dict[str, str]]] = {}
    client = make_app(REDIS).backend.client
    for name, variant in VARIANTS.items():
        call(make_app(REDIS, task_protocol=variant.protocol), name)
        found[name] = take_redis(client)
    for name, publish in workflows(make_app(REDIS)).items():
        publish()
        found[name] = take_redis(client)
    return found


def take_redis(client: Any) -> list[dict[str, str]]:
    """What was pushed, oldest first."""
    taken = []
    for key in LISTS:
        while raw := client.rpop(key):
            taken.append({"list": key, "envelope": raw.decode()})
    return taken


def record_amqp() -> dict[str, list[dict[str, Any]]]:
    """Properties, headers and bodies."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name, variant in VARIANTS.items():
        app = make_app(AMQP, task_protocol=variant.protocol)
        call(app, name)
        found[name] = take_amqp(app)
    app = make_app(AMQP)
    for name, publish in workflows(app).items():
        publish()
        found[name] = take_amqp(app)
    with app.connection() as connection:
        connection.default_channel.queue_delete(QUEUE)
        connection.default_channel.exchange_delete(QUEUE)
    return found


def take_amqp(app: Any) -> list[dict[str, Any]]:
    """What waits in the queue, oldest first."""
    taken = []
    with app.connection() as connection:
        channel = connection.default_channel
        while (message := channel.basic_get(QUEUE, no_ack=True)) is not None:
            properties = dict(message.properties)
            headers = properties.pop("application_headers", {})
            body = message.body if isinstance(message.body, bytes) else message.body.encode()
            taken.append(
                {
                    "properties": properties, "headers": headers, "body": base64.b64encode(body).decode(),
                    "exchange": message.delivery_info["exchange"],
                    "routing_key": message.delivery_info["routing_key"],
                }
            )  # fmt: skip
    return taken


def record_results() -> dict[str, dict[str, str]]:
    """Stored results and groups by name: the serializer, and the bytes in base64."""
    found: dict[str, dict[str, str]] = {}
    request = context(
        id="r", group="the-group", parent_id="the-parent", task="golden.add", args=[1], kwargs={"y": 2},
        hostname="w@h", retries=1, delivery_info={"routing_key": QUEUE},
    )  # fmt: skip
    app = make_app(REDIS)
    backend = app.backend

    def keep(name: str, key: str, serializer: str = "json") -> None:
        raw = backend.client.get(key)
        found[name] = {"serializer": serializer, "key": key, "data": base64.b64encode(raw).decode()}

    def store(name: str, value: Any, state: str, **fields: Any) -> None:
        backend.store_result(name, value, state, **fields)
        keep(name, f"celery-task-meta-{name}")

    for kind, value in VALUES.items():
        store(f"value {kind}", value, "SUCCESS")
    for kind, make in ERRORS.items():
        store(f"error {kind}", make(), "FAILURE", traceback="Traceback (most recent call last):\n  ...\n")
    store("retry", ValueError("later"), "RETRY", traceback="Traceback\n")
    store("started", {"pid": 1, "hostname": "w@h"}, "STARTED")
    store("custom state", {"done": 3}, "PROGRESS")
    store("in a workflow", 5, "SUCCESS", request=request)
    request.children.append(app.AsyncResult("c1"))
    request.children.append(app.GroupResult("g1", [app.AsyncResult("a"), app.AsyncResult("b")]))
    store("with children", 5, "SUCCESS", request=request)
    app.GroupResult("gid1", [app.AsyncResult("a"), app.AsyncResult("b")]).save()
    keep("group", "celery-taskset-meta-gid1")
    for serializer in ("pickle", "yaml", "msgpack"):
        backend = make_app(REDIS, result_serializer=serializer).backend
        for name, value, state in (("success", {"a": [1]}, "SUCCESS"), ("failure", ValueError("bad", 3), "FAILURE")):
            backend.store_result(f"{serializer} {name}", value, state)
            keep(f"{serializer} {name}", f"celery-task-meta-{serializer} {name}", serializer)
    backend = make_app(REDIS, result_extended=True).backend
    store("extended", 5, "SUCCESS", request=request)
    backend = make_app(REDIS, result_compression="gzip").backend
    store("compressed", "x" * 200, "SUCCESS")
    return found


def record_schedule() -> dict[str, str]:
    """What Celery's beat keeps in its file, by key: pickles in base64. It was last at work at 12:00 UTC."""
    beat, schedules = importlib.import_module("celery.beat"), importlib.import_module("celery.schedules")
    noon = datetime(2026, 3, 4, 12, tzinfo=UTC)
    app = make_app("memory://", timezone="Europe/Prague")
    queue = importlib.import_module("kombu").Queue("slow", routing_key="slow")
    app.conf.beat_schedule = {
        "interval": {"task": "t", "schedule": 600},
        "hourly": {"task": "t", "schedule": schedules.crontab(minute=30), "args": (Decimal(1), Path("x"))},
        "daily": {"task": "t", "schedule": schedules.crontab("0", "7-9", "mon-fri", app=app)},
        "missed": {"task": "t", "schedule": schedules.crontab(minute="50"), "options": {"queue": queue}},
        "changed": {"task": "t", "schedule": timedelta(minutes=1)},
        "fresh": {"task": "t", "schedule": schedules.schedule(3600, relative=True)},
        "gone": {"task": "t", "schedule": 5.0},
    }
    ran = {"interval": 5, "hourly": 30, "daily": 240, "missed": 70, "changed": 2, "fresh": 30, "gone": 1}
    with TemporaryDirectory() as directory:
        scheduler = beat.PersistentScheduler(app, schedule_filename=f"{directory}/schedule")
        for name, minutes in ran.items():
            entry = scheduler.schedule[name]
            entry.last_run_at = (noon - timedelta(minutes=minutes, milliseconds=-12)).astimezone(app.timezone)
            entry.total_run_count = 0 if name == "fresh" else 7
        scheduler.close()
        with dbm.open(f"{directory}/schedule", "r") as file:
            return {
                key: base64.b64encode(file[key]).decode() for key in ("entries", "__version__", "tz", "utc_enabled")
            }


RECORDS: dict[str, Any] = {
    "redis": record_redis,
    "amqp": record_amqp,
    "results": record_results,
    "schedule": record_schedule,
}


def main(names: list[str]) -> None:
    """Record some, or everything."""
    GOLDEN.mkdir(exist_ok=True)
    client = make_app(REDIS).backend.client
    client.flushdb()
    for name in names or RECORDS:
        text = json.dumps(RECORDS[name](), indent=1, ensure_ascii=True)
        (GOLDEN / f"{name}.json").write_text(text + "\n")
    client.flushdb()


if __name__ == "__main__":
    main(sys.argv[1:])
