"""Schedules as Celery documents them: grammar, errors, asking, comparing, pickling."""

from __future__ import annotations

import pickle
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from celeriac import Celery
from celeriac.exceptions import ImproperlyConfigured
from celeriac.schedules import (
    BaseSchedule,
    ParseException,
    clocked,
    crontab,
    crontab_parser,
    maybe_schedule,
    schedule,
    solar,
)

NEW_YORK = ZoneInfo("America/New_York")
NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def in_new_york(**fields: Any) -> crontab:
    return crontab(**fields, nowfun=lambda: datetime(2026, 1, 1, tzinfo=NEW_YORK))


def runs(schedule: BaseSchedule, after: str, count: int) -> list[str]:
    """The next runs in New York."""
    moment: datetime | None = datetime.fromisoformat(after).replace(tzinfo=NEW_YORK)
    found = []
    for _ in range(count):
        assert moment is not None
        moment = schedule.following(moment)
        assert moment is not None
        found.append(moment.astimezone(NEW_YORK).isoformat(sep=" ", timespec="minutes"))
    return found


# -------------------------------------------------------------------------------------------------- grammar


@pytest.mark.parametrize(
    ("field", "given", "expected"),
    [
        ("day_of_week", "fri-mon", {5, 6, 0, 1}),
        ("day_of_week", "Sunday,WED", {0, 3}),
        ("hour", "22-3", {22, 23, 0, 1, 2, 3}),
        ("month_of_year", "oct-feb/2", {10, 12, 2}),
        ("day_of_month", "*/13", {1, 14, 27}),
        ("hour", "*/5", {0, 5, 10, 15, 20}),
        ("minute", [0, 30], {0, 30}),
        ("minute", 7, {7}),
        ("minute", "1,2-4,50-59/3", {1, 2, 3, 4, 50, 53, 56, 59}),
        ("day_of_week", None, set(range(7))),
    ],
)
def test_fields_are_read(field: str, given: Any, expected: set[int]) -> None:
    assert getattr(crontab(**{field: given}), field) == expected


@pytest.mark.parametrize(
    ("fields", "error", "text"),
    [
        ({"minute": "60"}, ValueError, "Invalid end range: 60 > 59."),
        ({"day_of_month": "0"}, ValueError, "Invalid beginning range: 0 < 1."),
        ({"day_of_week": 7}, ValueError, "Invalid crontab pattern.  Valid range is 0-6. '7' was found."),
        ({"day_of_week": "7"}, ValueError, "Invalid end range: 7 > 6."),
        ({"minute": "5,"}, ParseException, "empty part"),
        ({"minute": "-5"}, ParseException, "negative numbers not supported"),
        ({"minute": "*/"}, ParseException, "empty filter"),
        ({"minute": "*/0"}, ValueError, "slice step cannot be zero"),
        ({"day_of_week": "a"}, ValueError, "Invalid weekday literal 'a'."),
        ({"minute": "10/5"}, ValueError, "Invalid weekday literal '10/5'."),
        ({"minute": 1.5}, TypeError, "int, a str, or an iterable"),
        ({"day_of_month": 30, "month_of_year": 2}, ValueError,
         "Invalid crontab: day_of_month '30' never occurs in month_of_year '2'."),
    ],
)  # fmt: skip
def test_what_is_no_field_is_refused(fields: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        crontab(**fields)
    assert text in str(caught.value)


def test_parser_is_available_by_itself() -> None:
    assert crontab_parser(31, 1).parse("*/10") == {1, 11, 21, 31}
    with pytest.raises(crontab_parser.ParseException):
        crontab_parser().parse("")


def test_text_has_the_order_of_cron() -> None:
    assert crontab.from_string("0 4 1 * mon") == crontab(0, 4, day_of_week=1, day_of_month=1)
    with pytest.raises(ValueError, match="five fields"):
        crontab.from_string("0 4 *")


# -------------------------------------------------------------------------------------------- jumping clocks


def test_time_in_a_gap_runs_at_the_first_valid_instant() -> None:
    assert runs(in_new_york(minute=30, hour=2), "2026-03-07 12:00", 2) == [
        "2026-03-08 03:00-04:00",
        "2026-03-09 02:30-04:00",
    ]
    assert runs(in_new_york(minute="*/30"), "2026-03-08 01:00", 3) == [
        "2026-03-08 01:30-05:00",
        "2026-03-08 03:00-04:00",
        "2026-03-08 03:30-04:00",
    ]


def test_time_in_a_fold_runs_once_at_its_first_coming() -> None:
    assert runs(in_new_york(minute=30, hour=1), "2026-10-31 12:00", 2) == [
        "2026-11-01 01:30-04:00",
        "2026-11-02 01:30-05:00",
    ]
    assert runs(in_new_york(minute=0), "2026-11-01 00:30", 2) == ["2026-11-01 01:00-04:00", "2026-11-01 02:00-05:00"]


def test_day_that_a_zone_left_out_is_made_up_for_at_its_end() -> None:
    apia = ZoneInfo("Pacific/Apia")
    found = crontab(0, 12, nowfun=lambda: datetime(2011, 12, 1, tzinfo=apia)).following(utc("2011-12-30 00:00"))
    assert found.astimezone(apia).isoformat() == "2011-12-31T00:00:00+14:00"


def test_intervals_count_seconds_that_pass() -> None:
    assert runs(schedule(3600), "2026-11-01 00:30", 3) == [
        "2026-11-01 01:30-04:00", "2026-11-01 01:30-05:00", "2026-11-01 02:30-05:00",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        (timedelta(days=1), "2026-03-09 00:00-04:00"),
        (timedelta(hours=2), "2026-03-08 14:00-04:00"),
        (timedelta(minutes=5), "2026-03-08 12:39-04:00"),
        (timedelta(seconds=90), "2026-03-08 12:36-04:00"),
        (timedelta(seconds=30), "2026-03-08 12:35-04:00"),
    ],
)
def test_relative_intervals_are_rounded_down_on_the_wall_clock(every: timedelta, expected: str) -> None:
    each = schedule(every, relative=True, nowfun=lambda: datetime(2026, 3, 8, tzinfo=NEW_YORK))
    assert runs(each, "2026-03-08 12:34:40", 1) == [expected]


def test_leap_day_on_a_weekday_is_found_after_decades() -> None:
    # 2096 is the last leap year before 2104.
    assert (
        crontab(0, 0, day_of_week="mon", day_of_month=29, month_of_year=2)
        .following(utc("2088-03-01 00:00"))
        .date()
        .isoformat()
        == "2112-02-29"
    )


def test_search_is_quick_however_far_away_the_run_is() -> None:
    calls = 0

    class Counting(crontab):
        def _day(self, *args: Any) -> date | None:
            nonlocal calls
            calls += 1
            return super()._day(*args)

    Counting(0, 0, day_of_month=29, month_of_year=2).following(utc("2096-03-01 00:00"))
    assert calls <= 10


# ------------------------------------------------------------------------------------------- Celery's protocol


def at(moment: datetime) -> Any:
    return lambda: moment


def test_interval_is_due_after_its_time() -> None:
    each = schedule(10, nowfun=at(NOON))
    assert each.is_due(NOON - timedelta(seconds=4)) == (False, 6.0)
    assert each.is_due(NOON - timedelta(seconds=10)) == (True, 10.0)
    assert each.is_due((NOON - timedelta(seconds=99)).replace(tzinfo=None)) == (True, 10.0)
    assert each.remaining_estimate(NOON) == timedelta(seconds=10)


def test_crontab_is_due_and_tells_its_next_run() -> None:
    each = crontab(minute=0, nowfun=at(NOON + timedelta(minutes=1)))
    assert each.is_due(NOON - timedelta(minutes=5)) == (True, 59 * 60)
    state = each.is_due(NOON)
    assert (state.is_due, state.next) == (False, 59 * 60)
    last, delta, now = each.remaining_delta(NOON)
    assert (last, delta, now) == (NOON, timedelta(hours=1), NOON + timedelta(minutes=1))


def test_run_missed_by_more_than_the_deadline_is_not_due() -> None:
    app = Celery("x", set_as_current=False, changes={"beat_cron_starting_deadline": 60})
    early, late = NOON + timedelta(seconds=50), NOON + timedelta(seconds=70)
    assert crontab(minute=0, nowfun=at(early), app=app).is_due(NOON - timedelta(hours=1)).is_due
    assert crontab(minute=0, nowfun=at(late), app=app).is_due(NOON - timedelta(hours=1)) == (False, 59 * 60 - 10)


def test_zone_is_that_of_the_app_or_of_the_clock_given() -> None:
    app = Celery("x", set_as_current=False, changes={"timezone": "Europe/Prague"})
    assert crontab(0, 12, app=app).following(utc("2026-07-01 00:00")) == utc("2026-07-01 10:00")
    clock = at(datetime(2026, 7, 1, tzinfo=timezone(timedelta(hours=5))))
    assert crontab(0, 12, app=app, nowfun=clock).following(utc("2026-07-01 00:00")) == utc("2026-07-01 07:00")
    assert crontab(0, 12, app=app, nowfun=at(NOON)).following(utc("2026-07-01 00:00")) == utc("2026-07-01 10:00")
    assert crontab(0, 12, app=app, tz="UTC").following(utc("2026-07-01 00:00")) == utc("2026-07-01 12:00")
    assert crontab(0, 12, tz="UTC") != crontab(0, 12)
    assert crontab(app=app).utc_enabled is True


def test_once_is_once() -> None:
    once = clocked(NOON, nowfun=at(NOON + timedelta(seconds=1)))
    assert once.is_due(NOON - timedelta(days=1)).is_due
    assert not once.is_due(NOON).is_due
    assert once.following(NOON) is None
    assert repr(once) == "<clocked: 2026-03-04T12:00:00+00:00>"


def test_custom_schedule_needs_one_of_two_methods() -> None:
    class Neither(BaseSchedule):
        pass

    class Daily(BaseSchedule):
        def remaining_estimate(self, last_run_at: datetime) -> timedelta:
            return last_run_at + timedelta(days=1) - self.now()

    with pytest.raises(NotImplementedError, match="following"):
        Neither(nowfun=at(NOON)).is_due(NOON)
    assert Daily(nowfun=at(NOON)).following(NOON) == NOON + timedelta(days=1)


# ---------------------------------------------------------------------------------------------------- as values


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (schedule(90), "<freq: 1.50 minutes>"),
        (crontab(0, "*/2", "mon", "1-7", [1, 6]), "<crontab: 0 */2 1-7 1,6 mon (m/h/dM/MY/d)>"),
        (crontab(), "<crontab: * * * * * (m/h/dM/MY/d)>"),
        (solar("sunrise", 1, 2), "<solar: sunrise at latitude 1, longitude: 2>"),
    ],
)
def test_schedules_are_shown_compared_and_pickled(value: Any, text: str) -> None:
    assert repr(value) == text
    copy = pickle.loads(pickle.dumps(value))
    assert copy == value
    assert hash(copy) == hash(value)
    assert copy != schedule(1)


def test_latest_keeps_the_phase_of_an_interval() -> None:
    assert schedule(10).latest(NOON, NOON + timedelta(seconds=37)) == NOON + timedelta(seconds=30)
    assert crontab().latest(NOON, NOON + timedelta(seconds=37)) == NOON + timedelta(seconds=37)


def test_values_that_stand_for_schedules() -> None:
    assert maybe_schedule(5) == schedule(5)
    assert maybe_schedule(timedelta(hours=1), relative=True).relative
    assert maybe_schedule(NOON) == clocked(NOON)
    mine, app = crontab(), Celery("x", set_as_current=False)
    assert maybe_schedule(mine, app=app) is mine
    assert mine.app is app
    for wrong in ("* * * * *", None, True):
        with pytest.raises(TypeError, match="is no schedule"):
            maybe_schedule(wrong)
    with pytest.raises(ValueError, match="longer than nothing"):
        schedule(0)


# -------------------------------------------------------------------------------------------------------- solar


def test_sun_rises_and_sets() -> None:
    prague = (50.08, 14.42)
    sunrise = solar("sunrise", *prague).following(utc("2026-06-21 00:00"))
    assert sunrise is not None
    assert abs(sunrise - utc("2026-06-21 02:52")) < timedelta(minutes=3)
    assert solar("sunrise", *prague).following(sunrise) > sunrise + timedelta(hours=23)  # type: ignore[operator]
    order = [solar(event, *prague).following(utc("2026-03-20 00:00")) for event in (
        "dawn_astronomical", "dawn_nautical", "dawn_civil", "sunrise", "solar_noon", "sunset", "dusk_civil",
        "dusk_nautical", "dusk_astronomical",
    )]  # fmt: skip
    assert order == sorted(order)  # type: ignore[type-var]


def test_days_without_the_event_are_left_out() -> None:
    found = solar("sunset", 78.2, 15.6).following(utc("2026-06-21 00:00"))
    assert found is not None
    assert found.month == 8
    assert solar("dusk_astronomical", 90, 0).following(utc("2026-01-01 00:00")) is None


@pytest.mark.parametrize("arguments", [("moonrise", 0, 0), ("sunset", 91, 0), ("sunset", 0, 181)])
def test_no_such_event_or_place(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=r"solar event|latitude|longitude"):
        solar(*arguments)


def test_solar_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ephem", None)
    with pytest.raises(ImproperlyConfigured, match=r"celeriac\[solar\]"):
        solar("sunrise", 0, 0)
