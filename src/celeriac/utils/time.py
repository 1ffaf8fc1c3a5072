"""Times, zones, durations and rates.  Schedules (crontab, solar) are elsewhere."""

from __future__ import annotations

import functools
import importlib
import math
import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from celeriac.exceptions import ImproperlyConfigured

_RATE = r"\s*([^/\s]+)\s*(?:/\s*([smh])\s*)?"
_RATE_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}
_UNITS: Final = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def utcnow() -> datetime:
    """Now, aware, in UTC."""
    return datetime.now(UTC)


def utcnow_iso() -> str:
    """Now as stored in results: ``2026-01-02T03:04:05.000006+00:00``."""
    return datetime.now(UTC).isoformat()


def parse_iso8601(text: str) -> datetime:
    """A datetime from ISO 8601 text; naive when the text has no offset.

    Raises:
        ValueError: The text is something else.
    """
    try:
        return datetime.fromisoformat(text)
    except (ValueError, TypeError) as exc:
        raise ValueError(f"{text!r} is not an ISO 8601 time such as 2026-01-02T03:04:05+00:00") from exc


def maybe_iso8601(value: datetime | str | None) -> datetime | None:
    """Parse text; leave datetimes and None as they are."""
    return parse_iso8601(value) if isinstance(value, str) else value


def maybe_timedelta(value: float | timedelta | None) -> timedelta | None:
    """Seconds as a timedelta; timedeltas and None stay as they are."""
    return timedelta(seconds=value) if isinstance(value, (int, float)) else value


@functools.lru_cache(maxsize=64)
def _named_zone(name: str) -> tzinfo:
    # Loaded here because most apps stay with UTC, and `import celeriac` has to be quick.
    zoneinfo = importlib.import_module("zoneinfo")
    try:
        return zoneinfo.ZoneInfo(name)  # type: ignore[no-any-return]
    # OSError: the name is that of a directory of the time zone database.
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise ImproperlyConfigured(
            f"unknown time zone {name!r}: use an IANA name such as 'Europe/Prague' or 'UTC' "
            "(if the name is right, install the package 'tzdata')"
        ) from exc


def get_timezone(zone: str | tzinfo | None) -> tzinfo:
    """The zone called `zone`; zones stay as they are, None is UTC.

    Raises:
        ImproperlyConfigured: There is no such zone.
    """
    if zone is None:
        return UTC
    return _named_zone(zone) if isinstance(zone, str) else zone


def is_naive(dt: datetime) -> bool:
    """True when the datetime has no usable offset."""
    return dt.tzinfo is None or dt.utcoffset() is None


def make_aware(dt: datetime, zone: tzinfo) -> datetime:
    """Say that a naive time is in `zone`; convert an aware one to `zone`."""
    return dt.replace(tzinfo=zone) if is_naive(dt) else dt.astimezone(zone)


def to_utc(dt: datetime) -> datetime:
    """The same moment in UTC; a naive time is taken as UTC."""
    return make_aware(dt, UTC)


def localize(dt: datetime, zone: tzinfo) -> datetime:
    """The same moment in `zone`; a naive time is taken as UTC."""
    return to_utc(dt).astimezone(zone)


def maybe_make_aware(dt: datetime, zone: tzinfo | None = None, *, naive_as_utc: bool = True) -> datetime:
    """Make a naive datetime aware; aware ones stay as they are.

    Args:
        dt: Any datetime.
        zone: Zone of the result, UTC by default.
        naive_as_utc: True reads a naive time as UTC and converts it, False reads it as being in `zone`.
    """
    if not is_naive(dt):
        return dt
    if naive_as_utc:
        return dt.replace(tzinfo=UTC).astimezone(zone or UTC)
    return dt.replace(tzinfo=zone or UTC)


def rate(text: str | float | None) -> float:
    """Events per second from a rate setting.

    Args:
        text: A number (per second) or ``"N/s"``, ``"N/m"``, ``"N/h"``; None, empty and 0 mean unlimited.

    Returns:
        Events per second; 0.0 for unlimited.

    Raises:
        ValueError: Anything else.
    """
    if text is None or text == "":
        return 0.0
    match = re.fullmatch(_RATE, str(text))
    try:
        if match is None:
            raise ValueError(text)
        number = float(match[1])
        if not math.isfinite(number) or number < 0:
            raise ValueError(text)
    except ValueError:
        raise ValueError(
            f"invalid rate {text!r}: write a number per second, or '10/s', '10/m', '10/h'; 0 is unlimited"
        ) from None
    return number / _RATE_SECONDS[match[2] or "s"]


def humanize_seconds(
    secs: float, prefix: str = "", sep: str = "", now: str = "now", *, microseconds: bool = False
) -> str:
    """A duration for people, in its largest unit: ``1.08 minutes``.

    Args:
        secs: The duration.
        prefix: Put before the number.
        sep: Put between prefix and number.
        now: Returned for less than a second.
        microseconds: Show fractions of a second instead of `now`.
    """
    for size, unit in _UNITS:
        if secs >= size:
            amount = secs / size
            return f"{prefix}{sep}{amount:.2f} {unit}{'s' if amount > 1 else ''}"
    if microseconds and secs > 0:
        return f"{prefix}{sep}{secs:.2f} seconds"
    return now


def exponential_backoff(factor: float, retries: int, maximum: float, *, full_jitter: bool = False) -> float:
    """Seconds to wait before the next attempt: ``factor * 2**retries``, capped.

    Args:
        factor: Seconds before the first retry.
        retries: How many retries there have been.
        maximum: Cap in seconds.
        full_jitter: Take a random number between 0 and that time instead.
    """
    # 2.0**1024 overflows; long before that the cap decides.
    wait = max(0.0, min(maximum, factor * 2.0 ** min(retries, 512)))
    if not full_jitter:
        return wait
    import random

    return random.uniform(0.0, wait)
