"""What a measurement is asked for: a scenario, and one run of one variant in it.  It measures nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.peers.base import WORK
from bench.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from bench.peers.base import Peer, Variant

Metrics = dict[str, float]


@dataclass(frozen=True, slots=True)
class Job:
    """One measurement to make: which scenario of which variant, at which size."""

    scenario: Scenario
    peer: Peer
    variant: Variant
    directory: Path
    scale: float
    peers: Mapping[str, Peer]

    def run(self, slots: int = 0, client_peer: Peer | None = None) -> Run:
        """The surroundings for the measurement."""
        return Run(
            self.peer,
            self.variant,
            self.scenario.broker,
            self.scenario.results,
            self.directory,
            slots,
            client_peer,
        )

    def size(self, count: int) -> int:
        """A number of tasks at the chosen scale."""
        return max(200, int(count * self.scale))


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing to measure.

    Attributes:
        key: Its name on the command line and in the raw results.
        title: Its heading.
        measure: Does it; returns metrics and problems.
        broker: On which broker.
        results: Whether results are stored.
        role: Which variants take part.
        applies: Which peers take part.
        once: Measured in the first pass only.
        others_once: Peers other than Celeriac take part in the first pass only: they are shown beside a bar that does
            not depend on them, and would take most of the time.
        rounds: How often all variants take turns within one pass; short runs need several, because the
            machine's speed changes within seconds.
    """

    key: str
    title: str
    measure: Callable[[Job], tuple[Metrics, list[str]]]
    broker: str = "redis"
    results: bool = False
    role: str = WORK
    applies: Callable[[Peer], bool] = lambda peer: True
    once: bool = False
    others_once: bool = False
    rounds: int = 1
