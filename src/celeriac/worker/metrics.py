"""Numbers about a worker and its tasks, for Prometheus.  Written on the loop, read by the status server's threads.

Only `worker.status` imports it, and only where metrics are served: prometheus_client is an extra.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from prometheus_client import Counter, Histogram

from celeriac.execution.job import KIND_NAMES
from celeriac.platform.exposition import PREFIX

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from celeriac.worker.ledger import Entry

__all__ = ["TaskMetrics"]

#: Seconds; from a no-op to a task of an hour.
_BUCKETS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600)


class TaskMetrics:
    """How tasks ended and how long they ran, by queue, name and outcome.

    Args:
        registry: Where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._outcomes = Counter(
            "task_outcomes", "Tasks by how they ended.", ("queue", "task", "outcome"),
            namespace=PREFIX, registry=registry,
        )  # fmt: skip
        self._durations = Histogram(
            "task_duration_seconds", "Seconds that tasks ran, failures and time-outs included.",
            ("queue", "task", "outcome"), namespace=PREFIX, registry=registry, buckets=_BUCKETS,
        )  # fmt: skip
        # Looking a label up takes as long as three counts.
        self._known: dict[tuple[str, str, str], tuple[Any, Any]] = {}

    def ended(self, entry: Entry, kind: int, seconds: float | None) -> None:
        """A task ended.

        Args:
            entry: The task.
            kind: A kind of outcome.
            seconds: How long it ran, where that is known.
        """
        count, duration = self._of(entry.delivery.queue, entry.plan.name, KIND_NAMES[kind].replace(" ", "_"))
        count.inc()
        if seconds is not None:
            duration.observe(seconds)

    def set_aside(self, queue: str, reason: str) -> None:
        """A message was not run; its task may be one that nobody knows, and is therefore no label."""
        self._of(queue, "", reason)[0].inc()

    def _of(self, *labels: str) -> tuple[Any, Any]:
        key = (labels[0], labels[1], labels[2])
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = (self._outcomes.labels(*labels), self._durations.labels(*labels))
        return found
