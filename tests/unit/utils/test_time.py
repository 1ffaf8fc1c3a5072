"""Times, rates and durations; expected values were observed with Celery 5.7.0 unless the name says otherwise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.exceptions import ImproperlyConfigured
from celeriac.utils import time

PRAGUE = ZoneInfo("Europe/Prague")
NAIVE = datetime(2026, 1, 2)
PLUS_TWO = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("text", "per_second"),
    [
        ("10/s", 10.0),
        ("10/m", 1 / 6),
        ("10/h", 10 / 3600),
        ("10", 10.0),
        ("1.5/m", 0.025),
        ("10 /m", 1 / 6),
        (" 10/s", 10.0),
        ("1e3/m", 1000 / 60),
        (5, 5.0),
        (2.5, 2.5),
        ("0", 0.0),
        ("0/s", 0.0),
        (0, 0.0),
        ("", 0.0),
        (None, 0.0),
    ],
)
def test_rate_is_per_second(text: str | float | None, per_second: float) -> None:
    assert time.rate(text) == pytest.approx(per_second)


@pytest.mark.parametrize("text", ["10/x", "10/d", "10/M", "x", "/s", "-1/s", "nan", "inf/s", "1/2/s", -3])
def test_a_wrong_rate_is_shown_with_the_grammar(text: str | float) -> None:
    with pytest.raises(ValueError, match="10/s") as caught:
        time.rate(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05+02:00", datetime(2026, 1, 2, 3, 4, 5, tzinfo=PLUS_TWO)),
        ("2026-01-02T03:04:05.1+00:00", datetime(2026, 1, 2, 3, 4, 5, 100000, tzinfo=UTC)),
        ("2026-01-02", NAIVE),
        ("2026-01-02 00:00:00", NAIVE),
    ],
)
def test_iso_8601_is_parsed(text: str, moment: datetime) -> None:
    parsed = time.parse_iso8601(text)
    assert parsed == moment
    assert parsed.utcoffset() == moment.utcoffset()


@given(st.datetimes(timezones=st.sampled_from([UTC, PLUS_TWO, None])))
def test_every_isoformat_is_parsed(moment: datetime) -> None:
    assert time.parse_iso8601(moment.isoformat()) == moment


def test_text_that_is_no_time_is_shown() -> None:
    with pytest.raises(ValueError, match="'nope' is not an ISO 8601 time"):
        time.parse_iso8601("nope")


def test_maybe_iso8601_leaves_other_values() -> None:
    assert time.maybe_iso8601(None) is None
    assert time.maybe_iso8601(NAIVE) is NAIVE
    assert time.maybe_iso8601("2026-01-02") == NAIVE


def test_maybe_timedelta_takes_seconds() -> None:
    assert time.maybe_timedelta(1.5) == timedelta(seconds=1.5)
    assert time.maybe_timedelta(timedelta(1)) == timedelta(1)
    assert time.maybe_timedelta(None) is None


def test_zones_are_found_by_name() -> None:
    assert time.get_timezone("Europe/Prague") == PRAGUE
    assert time.get_timezone(PRAGUE) is PRAGUE
    assert time.get_timezone(None) is UTC


@pytest.mark.parametrize("name", ["nope/x", "", "../etc", "Europe"])
def test_an_unknown_zone_is_named(name: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"unknown time zone '{name}'"):
        time.get_timezone(name)


def test_naive_times_become_aware_as_asked() -> None:
    assert time.maybe_make_aware(NAIVE) == datetime(2026, 1, 2, tzinfo=UTC)
    in_prague = time.maybe_make_aware(NAIVE, PRAGUE)
    assert in_prague.isoformat() == "2026-01-02T01:00:00+01:00"
    assert time.maybe_make_aware(NAIVE, PRAGUE, naive_as_utc=False).isoformat() == "2026-01-02T00:00:00+01:00"


def test_aware_times_stay_as_they_are() -> None:
    moment = datetime(2026, 1, 2, tzinfo=PLUS_TWO)
    assert time.maybe_make_aware(moment, PRAGUE) is moment


def test_to_utc_and_localize_keep_the_moment() -> None:
    moment = datetime(2026, 1, 2, 2, tzinfo=PLUS_TWO)
    assert time.to_utc(moment).isoformat() == "2026-01-02T00:00:00+00:00"
    assert time.to_utc(NAIVE).isoformat() == "2026-01-02T00:00:00+00:00"
    assert time.localize(moment, PRAGUE).isoformat() == "2026-01-02T01:00:00+01:00"


def test_now_is_aware_in_utc() -> None:
    before = datetime.now(UTC)
    shown = time.parse_iso8601(time.utcnow_iso())
    assert before <= shown <= time.utcnow()
    assert shown.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (5, "5.00 seconds"),
        (59.5, "59.50 seconds"),
        (60, "1.00 minute"),
        (65, "1.08 minutes"),
        (3600, "1.00 hour"),
        (3661, "1.02 hours"),
        (86399, "24.00 hours"),
        (86400, "1.00 day"),
        (172800, "2.00 days"),
        (0, "now"),
        (0.5, "now"),
    ],
)
def test_durations_are_shown_in_their_largest_unit(seconds: float, text: str) -> None:
    assert time.humanize_seconds(seconds) == text


def test_durations_take_prefix_and_fractions() -> None:
    assert time.humanize_seconds(5, prefix="in", sep=" ") == "in 5.00 seconds"
    assert time.humanize_seconds(0.5, microseconds=True) == "0.50 seconds"


@given(st.integers(0, 10_000))
def test_backoff_is_capped_for_any_number_of_retries(retries: int) -> None:
    assert 0 <= time.exponential_backoff(2, retries, 600, full_jitter=True) <= 600
    assert time.exponential_backoff(2, retries, 600) == min(600, 2 * 2**retries)
