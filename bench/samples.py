"""The results of runs: samples, their medians, and ratios taken within a pass.

It knows no scenario and prints nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

BASE_PEER = "celery"


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run of one variant gave; a run that failed has no metrics but an error."""

    scenario: str
    peer: str
    variant: str
    number: int
    metrics: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    error: str = ""


class Samples:
    """All samples of a benchmark."""

    def __init__(self, samples: list[Sample]) -> None:
        self.all = samples

    def scenarios(self) -> list[str]:
        """Scenario keys in order of first appearance."""
        return list(dict.fromkeys(sample.scenario for sample in self.all))

    def variants(self, scenario: str) -> list[tuple[str, str]]:
        """(peer, variant) pairs of a scenario in order of first appearance."""
        return list(dict.fromkeys((sample.peer, sample.variant) for sample in self.all if sample.scenario == scenario))

    def of(self, scenario: str, peer: str, variant: str) -> list[Sample]:
        """The samples of one variant."""
        return [
            sample for sample in self.all if (sample.scenario, sample.peer, sample.variant) == (scenario, peer, variant)
        ]

    def values(self, scenario: str, peer: str, variant: str, metric: str) -> dict[int, float]:
        """A metric by pass."""
        return {
            sample.number: sample.metrics[metric]
            for sample in self.of(scenario, peer, variant)
            if metric in sample.metrics
        }

    def median(self, scenario: str, peer: str, variant: str, metric: str) -> float | None:
        """The median of a metric over the passes; None without any value."""
        values = self.values(scenario, peer, variant, metric)
        return median(values.values()) if values else None

    def ratio(
        self, scenario: str, one: tuple[str, str], other: tuple[str, str], metric: str, to: str = ""
    ) -> float | None:
        """The median of the ratios of two variants in the same passes; None without a common pass."""
        ratios = self.ratios(scenario, one, other, metric, to)
        return median(ratios) if ratios else None

    def ratios(
        self, scenario: str, one: tuple[str, str], other: tuple[str, str], metric: str, to: str = ""
    ) -> list[float]:
        """The ratios of two variants in the passes that both completed; ``to`` is the other's metric if it differs."""
        ours = self.values(scenario, *one, metric)
        theirs = self.values(scenario, *other, to or metric)
        return [ours[number] / theirs[number] for number in ours if theirs.get(number)]

    def base(self, scenario: str) -> tuple[str, str] | None:
        """Celery's first variant in a scenario."""
        return next((pair for pair in self.variants(scenario) if pair[0] == BASE_PEER), None)
