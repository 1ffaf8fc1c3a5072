"""Every metric that the alerting rules, the dashboard and the documentation name is there to be scraped."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from celeriac.beat.status import BeatStatus
from celeriac.broker import open_broker
from celeriac.worker.shutdown import Stage
from celeriac.worker.status import WorkerStatus

ROOT = Path(__file__).resolve().parents[2]
RULES, DASHBOARD = ROOT / "examples/monitoring/alerts.yml", ROOT / "examples/monitoring/dashboard.json"
NAME = re.compile(r"\bceleriac_(?:task|worker|broker|queue|beat)_\w+")


def worker_metrics() -> str:
    """What a worker tells that has run a task."""
    status: Any = WorkerStatus("127.0.0.1:0", "w@h", open_broker("memory://"))
    status._coordinator = SimpleNamespace(stage=Stage.RUNNING, held=0, child_losses=0)
    status._broker = SimpleNamespace(trouble=None, losses=0, queue_names=["q"])
    status._pool = SimpleNamespace(slots=[])
    entry: Any = SimpleNamespace(delivery=SimpleNamespace(queue="q"), plan=SimpleNamespace(name="t"))
    status.metrics.ended(entry, 0, 1.0)
    text: str = status.scrape("").body.decode()
    status._counts.close()
    close(status)
    return text


def beat_metrics() -> str:
    """What beat tells."""
    clock = SimpleNamespace(time=lambda: 2.0, monotonic=lambda: 1.0)
    service: Any = SimpleNamespace(clock=clock, ticked_at=0.0, failed_ticks=0, scheduler=SimpleNamespace())
    status: Any = BeatStatus("127.0.0.1:0", service)
    text: str = status.scrape("").body.decode()
    close(status)
    return text


def close(status: Any) -> None:
    """Let its socket go."""
    status._server.start()
    status._server.stop()


@pytest.fixture(scope="module")
def known() -> set[str]:
    families = text_string_to_metric_families(worker_metrics() + beat_metrics())
    return {sample.name for family in families for sample in family.samples} | {"celeriac_task_duration_seconds"}


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return list(group["rules"])


def test_alerts_ask_for_metrics_that_there_are(known: set[str]) -> None:
    for rule in rules():
        names = set(NAME.findall(rule["expr"]))
        assert names, rule["alert"]
        assert names <= known, rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"]
    assert len({rule["alert"] for rule in rules()}) == len(rules())


def test_the_dashboard_shows_every_metric_and_no_other(known: set[str]) -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    shown = {name for panel in dashboard["panels"] for each in panel["targets"] for name in NAME.findall(each["expr"])}
    assert shown <= known
    # What a histogram and a counter have beside their values, and who needs no picture.
    rest = {name for name in known if not name.endswith(("_created", "_count", "_sum"))} - shown
    assert rest == {"celeriac_task_duration_seconds"}


def test_the_documentation_names_the_metrics_that_there_are(known: set[str]) -> None:
    text = (ROOT / "docs/howto/probes-and-metrics.md").read_text()
    named = set(NAME.findall(text))
    assert named <= known
    assert {name for name in known if not name.endswith(("_created", "_count", "_sum", "_bucket"))} <= named
