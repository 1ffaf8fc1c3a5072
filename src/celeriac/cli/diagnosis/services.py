"""The servers of a project, and the workers that are there."""

from __future__ import annotations

import re
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from celeriac.cli.diagnosis.finding import Finding
from celeriac.exceptions import BackendError, CeleryError, OperationalError
from celeriac.utils.url import redact

if TYPE_CHECKING:
    from celeriac.app.base import Celery

#: Seconds that workers get to answer.
PATIENCE: Final = 1.5
_MOST_LETTERS: Final = 1000


def look(app: Celery) -> list[Finding]:
    """Look at the broker, the result store and the workers."""
    broker = look_at_broker(app)
    workers = look_at_workers(app) if all(finding.level != "problem" for finding in broker) else []
    return [*broker, *look_at_results(app), *workers]


def look_at_broker(app: Celery) -> list[Finding]:
    """Whether the broker answers, what it cannot do, and what waits in it."""
    try:
        broker = app.broker_for_read
        began = time.monotonic()
        with closing(broker.connect()) as session:
            took = time.monotonic() - began
            queues = [queue.name for queue in app.queues.consume_from.values()]
            depths = session.depths(queues)
            dead = len(session.dead_letters(limit=_MOST_LETTERS))
    except CeleryError as error:
        return [Finding("problem", "broker", str(error), "set broker_url, or start the server")]
    findings = [Finding("ok", "broker", f"{broker.url} answers; connecting took {1000 * took:.0f} ms")]
    waiting = ", ".join(f"{name}: {count}" for name, count in depths.items())
    findings.append(Finding("note", "broker", f"messages that wait: {waiting}"))
    if dead:
        hint = "`celeriac dead list` shows them"
        findings.append(Finding("note", "broker", f"{dead} messages were set aside", hint))
    if not broker.capabilities.fanout:
        text = f"the {broker.capabilities.name} broker has no fanout: no remote control, no revoking, no events"
        findings.append(Finding("change", "broker", text))
    if not broker.capabilities.priorities:
        findings.append(Finding("change", "broker", f"the {broker.capabilities.name} broker has no priorities"))
    if broker.capabilities.name == "redis":
        findings += _redis(app)
    return findings


def _redis(app: Celery) -> list[Finding]:
    """Whether the server keeps what it is given."""
    from celeriac.drivers.resp import RespConnection
    from celeriac.drivers.resp_params import params_from_url

    url = app.conf.broker_read_url.partition(";")[0]
    if not url.startswith("redis"):
        return []
    with suppress(OperationalError, CeleryError):
        params = params_from_url(url, connect_timeout=2.0, timeout=2.0, tls=app.conf.broker_use_ssl or False)
        with closing(RespConnection(params)) as connection:
            text = connection.execute("INFO", "memory") + connection.execute("INFO", "persistence")
        return _read_info(text.decode() if isinstance(text, bytes) else str(text))
    return []


def _read_info(text: str) -> list[Finding]:
    facts = dict(re.findall(r"^(\w+):(.*?)\r?$", text, re.MULTILINE))
    findings = []
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction" and not (policy.startswith("volatile") or facts.get("maxmemory") == "0"):
        text = f"the server may evict messages: maxmemory-policy is {policy}"
        findings.append(Finding("problem", "broker", text, "set it to noeviction"))
    if facts.get("aof_enabled") == "0":
        text = "the server writes snapshots only: what came after the last one is lost when it dies"
        findings.append(Finding("note", "broker", text, "appendonly yes keeps it"))
    return findings


def look_at_results(app: Celery) -> list[Finding]:
    """Whether the result store answers, and what it cannot do."""
    try:
        backend = app.backend
        if not backend.capabilities.enabled:
            return [Finding("note", "results", "results are not kept: no result_backend is set")]
        began = time.monotonic()
        state = app.AsyncResult(str(uuid4())).state
        took = time.monotonic() - began
    except (CeleryError, BackendError) as error:
        return [Finding("problem", "results", str(error), "set result_backend, or start the server")]
    findings = [Finding("ok", "results", f"{redact(backend.url)} answers in {1000 * took:.0f} ms ({state})")]
    if not backend.capabilities.chords:
        text = "this result store cannot join the parts of chords: a chord is refused when it is called"
        findings.append(Finding("change", "results", text, "use Redis, a database or another store for chords"))
    return findings


def look_at_workers(app: Celery) -> list[Finding]:
    """Who is there, and of which kind."""
    if not app.broker_for_read.capabilities.fanout:
        return []
    try:
        answers: dict[str, Any] = app.control.inspect(timeout=PATIENCE).report() or {}
    except CeleryError as error:
        return [Finding("note", "workers", f"workers could not be asked: {error}")]
    kinds = {node: _software(answer) for node, answer in answers.items()}
    if not kinds:
        return [Finding("note", "workers", "no worker answers")]
    findings = [Finding("ok", "workers", f"{node}: {kind}") for node, kind in sorted(kinds.items())]
    foreign = sorted(node for node, kind in kinds.items() if kind.startswith("celery "))
    if foreign and not app.conf.celery_defaults and app.conf.task_graph_inline_max is not None:
        text = f"{', '.join(foreign)} cannot read long workflows, of which messages hold a reference only"
        hint = "set task_graph_inline_max=None, or celery_defaults=True, while Celery's workers are there"
        findings.append(Finding("problem", "workers", text, hint))
    return findings


def _software(answer: Any) -> str:
    """The first product of a bug report, as ``celery 5.5.3 (…)``."""
    text = answer.get("ok", "") if isinstance(answer, dict) else str(answer)
    found = re.search(r"software -> (\w+):(\S+)", text)
    return f"{found[1]} {found[2]}" if found else "of an unknown kind"
