"""What beat's HTTP port answers: ``/livez``, ``/readyz`` and ``/metrics``.  Everything is read, nothing is changed."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from celeriac.platform.status_server import NO_METRICS, UNAVAILABLE, Answer, StatusServer, as_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celeriac.beat.service import Service
    from celeriac.platform.exposition import Exposition

__all__ = ["SETTING", "BeatStatus"]

logger = logging.getLogger("celeriac.beat")

SETTING: Final = "beat_http_address"


class BeatStatus:
    """The HTTP port of beat.

    Args:
        address: ``beat_http_address``.
        service: Beat.
    """

    def __init__(self, address: str, service: Service) -> None:
        self._service = service
        self._exposition: Exposition | None = None
        if find_spec("prometheus_client"):
            from celeriac.platform.exposition import Exposition

            self._exposition = Exposition(self._gauges)
        self._server = StatusServer(
            address, {"/livez": self.livez, "/readyz": self.livez, "/metrics": self.scrape}, SETTING
        )

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()
        logger.info("beat: Probes and metrics: %s", self._server.url)

    def stop(self) -> None:
        """Answer no more."""
        self._server.stop()

    def livez(self, accept: str) -> Answer:
        """200 while beat ticks, whether it leads or stands by."""
        service = self._service
        late = service.late_by()
        if late is not None:
            return as_json(UNAVAILABLE, live=False, reason=f"beat has not ticked for {late:.0f} s")
        age = service.clock.monotonic() - service.ticked_at
        return as_json(live=True, leader=self._leads(), last_tick_age=round(age, 3))

    def _leads(self) -> bool:
        """Whether this one sends; a scheduler that knows no leader always does."""
        return getattr(self._service.scheduler, "token", 0) is not None

    def scrape(self, accept: str) -> Answer:
        """Metrics in Prometheus' text format."""
        if self._exposition is None:
            return NO_METRICS
        text, content_type = self._exposition.render(accept)
        return Answer(text, content_type=content_type)

    def _gauges(self) -> Iterator[tuple[str, str, float]]:
        clock = self._service.clock
        ticked = clock.time() - (clock.monotonic() - self._service.ticked_at)
        yield "beat_leader", "Whether this beat sends what is due.", float(self._leads())
        yield "beat_last_tick_timestamp_seconds", "Unix time of the last tick.", ticked
        yield "beat_failed_ticks_total", "Ticks that failed.", self._service.failed_ticks
