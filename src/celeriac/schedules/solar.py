"""`solar`: runs when the sun is somewhere; computed by the package ephem."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from celeriac.schedules.base import BaseSchedule
from celeriac.utils.imports import import_optional
from celeriac.utils.time import to_utc

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["solar"]

#: Horizon in degrees (below it, negative), whether the sun's centre counts, and what of the sun is looked for.
_EVENTS: Final[dict[str, tuple[str, bool, str]]] = {
    "dawn_astronomical": ("-18", True, "next_rising"),
    "dawn_nautical": ("-12", True, "next_rising"),
    "dawn_civil": ("-6", True, "next_rising"),
    "sunrise": ("-0:34", False, "next_rising"),
    "solar_noon": ("0", False, "next_transit"),
    "sunset": ("-0:34", False, "next_setting"),
    "dusk_civil": ("-6", True, "next_setting"),
    "dusk_nautical": ("-12", True, "next_setting"),
    "dusk_astronomical": ("-18", True, "next_setting"),
}
#: Days to look ahead where the sun does not rise or set for months.
_HORIZON: Final = 366


class solar(BaseSchedule):  # noqa: N801 - Celery's documented name
    """When the sun rises, sets, or passes another mark at a place.

    Days without the event, beyond the polar circles, are left out.

    Args:
        event: ``dawn_astronomical``, ``dawn_nautical``, ``dawn_civil``, ``sunrise``, ``solar_noon``, ``sunset``,
            ``dusk_civil``, ``dusk_nautical`` or ``dusk_astronomical``.
        lat: Latitude in degrees, north is positive.
        lon: Longitude in degrees, east is positive.
        nowfun: See `BaseSchedule`.
        app: See `BaseSchedule`.

    Raises:
        ValueError: There is no such event or place.
        ImproperlyConfigured: The package ephem is not installed.
    """

    #: The names of events, for code written for Celery.
    _all_events: Final = frozenset(_EVENTS)

    def __init__(
        self, event: str, lat: float, lon: float, nowfun: Callable[[], datetime] | None = None, app: Any = None
    ) -> None:
        super().__init__(nowfun, app)
        if event not in _EVENTS:
            raise ValueError(f"There is no solar event {event!r}; there are: {', '.join(_EVENTS)}")
        if not -90 <= lat <= 90:
            raise ValueError(f"The latitude has to be between -90 and 90 degrees, got {lat!r}")
        if not -180 <= lon <= 180:
            raise ValueError(f"The longitude has to be between -180 and 180 degrees, got {lon!r}")
        self._ephem = import_optional("ephem", extra="solar", purpose="the schedule solar()")
        self.event, self.lat, self.lon = event, lat, lon

    def following(self, after: datetime) -> datetime | None:
        ephem, (horizon, centre, method) = self._ephem, _EVENTS[self.event]
        place = ephem.Observer()
        place.lat, place.lon = str(self.lat), str(self.lon)
        place.elevation, place.pressure, place.horizon = 0, 0, horizon
        after = to_utc(after)
        extra = {} if method == "next_transit" else {"use_center": centre}
        # A result that ephem rounded to the moment it began at would be the run that has been.
        start = after + timedelta(seconds=1)
        for _ in range(_HORIZON):
            place.date = start.replace(tzinfo=None)
            try:
                found = getattr(place, method)(ephem.Sun(), **extra).datetime().replace(tzinfo=UTC)
            except ephem.CircumpolarError:
                start += timedelta(days=1)
                continue
            return found if found > after else after + timedelta(seconds=1)
        return None

    def __repr__(self) -> str:
        return f"<solar: {self.event} at latitude {self.lat}, longitude: {self.lon}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, solar):
            return NotImplemented
        return (self.event, self.lat, self.lon) == (other.event, other.lat, other.lon)

    def __hash__(self) -> int:
        return hash((self.event, self.lat, self.lon))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.event, self.lat, self.lon, self.nowfun)
