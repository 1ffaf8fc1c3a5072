"""Numbers that are measured when they are asked for, in Prometheus' text format.

Imported only where metrics are served: prometheus_client is an extra.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeAlias

    #: Name, help and value, or values by queue.
    Gauge: TypeAlias = tuple[str, str, float | Mapping[str, float]]

__all__ = ["PREFIX", "Exposition"]

#: Put before the name of every metric.
PREFIX: Final = "celeriac"


class Exposition:
    """Metrics of one process.

    Args:
        gauges: Gives name, help and value of each; a name that ends in ``_total`` is a counter.  A mapping has a value
            for each queue.

    Attributes:
        registry: Where further metrics are registered.
    """

    def __init__(self, gauges: Callable[[], Iterable[Gauge]]) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Measured(gauges))

    def render(self, accept: str) -> tuple[bytes, str]:
        """The text of a scrape, and its content type: OpenMetrics where the ``Accept`` header asks for it."""
        encoder, content_type = choose_encoder(accept)
        return encoder(self.registry), content_type


class _Measured:
    """A collector in prometheus_client's sense."""

    def __init__(self, gauges: Callable[[], Iterable[Gauge]]) -> None:
        self._gauges = gauges

    def collect(self) -> Iterable[GaugeMetricFamily | CounterMetricFamily]:
        for name, text, value in self._gauges():
            if isinstance(value, Mapping):
                by_queue = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=("queue",))
                for queue, each in value.items():
                    by_queue.add_metric((queue,), each)
                yield by_queue
                continue
            family = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            yield family(f"{PREFIX}_{name}", text, value=value)
