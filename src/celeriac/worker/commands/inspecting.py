"""Commands that tell about a worker: statistics, settings, versions, clock."""

from __future__ import annotations

import os
import resource
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from celeriac.config.censor import MASK
from celeriac.pool.runners.base import GREENLETS
from celeriac.utils.saferepr import saferepr
from celeriac.worker.commands.registry import INSPECT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celeriac.pool.base import Pool
    from celeriac.worker.commands.state import ControlState

#: What monitors know the pools by.
IMPLEMENTATIONS: Final = {
    "prefork": "celery.concurrency.prefork:TaskPool",
    "solo": "celery.concurrency.solo:TaskPool",
    "threads": "celery.concurrency.thread:TaskPool",
    "eventlet": "celery.concurrency.eventlet:TaskPool",
    "gevent": "celery.concurrency.gevent:TaskPool",
}
_USAGE: Final = (
    "utime", "stime", "maxrss", "ixrss", "idrss", "isrss", "minflt", "majflt", "nswap", "inblock", "oublock", "msgsnd",
    "msgrcv", "nsignals", "nvcsw", "nivcsw",
)  # fmt: skip


def stats(state: ControlState, **_: Any) -> dict[str, Any]:
    """Request worker statistics/information."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "total": dict(state.parts.estimates.counts),
        "pid": os.getpid(),
        "clock": str(state.app.clock.value),
        "uptime": int(time.monotonic() - state.started_at),
        "pool": _pool(state),
        **({"autoscaler": scaler.info()} if (scaler := state.parts.autoscaler) is not None else {}),
        "broker": _broker(state),
        "prefetch_count": state.consumer.qos.value,
        "rusage": {name: getattr(usage, f"ru_{name}") for name in _USAGE},
        **state.step_info(),
    }


def _pool(state: ControlState) -> dict[str, Any]:
    pool, intake = state.parts.pool, state.parts.intake
    slots = pool.slots
    counts = [slot.started_jobs for slot in slots]
    total = sum(counts)
    shares = [f"{100 * count / total:.2f}%" for count in counts] if total else []
    return {
        "implementation": IMPLEMENTATIONS.get(pool.name) or f"{type(pool).__module__}:{type(pool).__name__}",
        "max-concurrency": pool.size,
        **_threads(pool),
        "processes": [slot.pid for slot in slots if slot.pid],
        "max-tasks-per-child": state.parts.options.max_tasks_per_child or "N/A",
        "put-guarded-by-semaphore": False,
        "timeouts": [intake.soft_time_limit or 0, intake.time_limit or 0],
        "writes": {
            "total": total,
            "avg": f"{100 / len(slots):.2f}%" if total else "0.00",
            "all": ", ".join(shares),
            "raw": ", ".join(map(str, counts)) if total else "",
            "strategy": "fair",
            "inqueues": {"total": len(slots), "active": sum(bool(slot.assigned) for slot in slots)},
        },
    }


def _threads(pool: Pool) -> dict[str, int]:
    """What pools of threads and of greenlets tell besides."""
    if pool.name == "threads":
        return {"threads": pool.size}
    if pool.name not in GREENLETS:
        return {}
    running = sum(len(slot.assigned) for slot in pool.slots)
    return {"free-threads": max(0, pool.size - running), "running-threads": min(pool.size, running)}


def _broker(state: ControlState) -> dict[str, Any]:
    conf, url = state.app.conf, state.app.broker_for_read.url
    parts = urlsplit(url)
    scheme, _, _ = parts.scheme.partition("+")
    options = conf.broker_transport_options or {}
    return {
        "hostname": parts.hostname or (parts.path if scheme == "sqlite" else "localhost"),
        "userid": unquote(parts.username) if parts.username else None,
        "virtual_host": unquote(parts.path[1:]) or "/",
        "port": parts.port,
        "insist": False,
        "ssl": bool(conf.broker_use_ssl) or scheme in ("amqps", "rediss"),
        "transport": scheme,
        "connect_timeout": conf.broker_connection_timeout,
        "transport_options": plain({key: MASK if "pass" in key else value for key, value in options.items()}),
        "login_method": conf.broker_login_method,
        "uri_prefix": None,
        "heartbeat": conf.broker_heartbeat,
        "failover_strategy": saferepr(conf.broker_failover_strategy or "round-robin").strip("'"),
        "alternates": [],
        "credential_provider": None,
    }


def conf(state: ControlState, with_defaults: bool = False, **_: Any) -> dict[str, Any]:
    """List configuration."""
    table: dict[str, Any] = plain(state.app.conf.table(with_defaults=with_defaults, censored=True))
    return table


def report(state: ControlState, **_: Any) -> dict[str, Any]:
    """Information about Celery installation for bug reports."""
    return {"ok": state.app.bugreport()}


def clock(state: ControlState, **_: Any) -> dict[str, Any]:
    """Get current logical clock value."""
    return {"clock": state.app.clock.value}


def hello(state: ControlState, from_node: str, revoked: Iterable[str] | None = None, **_: Any) -> dict[str, Any] | None:
    """Request mingle sync-data."""
    if from_node == state.hostname:
        return None
    known = state.parts.revoking.revoked
    if revoked:
        known.add_ids(list(revoked))
    return {"revoked": dict(known.ids), "clock": state.app.clock.forward()}


def plain(value: Any) -> Any:
    """A value as JSON can say it; what it cannot is shown as text."""
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return saferepr(value)


def _truth(text: str) -> bool:
    return text.lower() in ("1", "true", "yes", "on", "y")


COMMANDS: Final[tuple[tuple[Any, dict[str, Any]], ...]] = (
    (stats, {"type": INSPECT}),
    (
        conf,
        {
            "type": INSPECT,
            "alias": "dump_conf",
            "args": [("with_defaults", _truth)],
            "signature": "[include_defaults=False]",
        },
    ),
    (report, {"type": INSPECT}),
    (clock, {"type": INSPECT}),
    (hello, {"type": INSPECT, "visible": False}),
)
