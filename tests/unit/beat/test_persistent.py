"""Leadership, claims, missed runs, jumping clocks and edits, on a store in a file and a clock that tests move."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.beat.book import NoSuchEntry, definition_of
from celeriac.beat.record import describe
from celeriac.beat.runs import task_id_of
from celeriac.beat.store import LeadershipLost, Write, open_store
from celeriac.exceptions import ImproperlyConfigured, OperationalError, Superseded
from celeriac.schedules import clocked, crontab, schedule
from tests.support.beat_clock import NOON
from tests.support.beat_site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LEASE = 15.0


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with closing(Site(tmp_path, monkeypatch)) as site:
        yield site


def every(seconds: float, **fields: Any) -> dict[str, Any]:
    return {"e": {"task": "t", "schedule": seconds, **fields}}


def test_new_entry_runs_after_one_interval_and_then_without_drift(site: Site) -> None:
    assert site.run(35, site.beat(every(10))) == [10, 20, 30]


def test_ids_of_runs_tell_entry_number_and_time(site: Site) -> None:
    site.run(25, site.beat(every(10)))
    assert [task_id for _, _, task_id in site.sent] == [task_id_of("e", n, NOON + 10 * (n + 1)) for n in range(2)]


def test_restart_goes_on_where_it_stopped(site: Site) -> None:
    site.run(15, first := site.beat(every(10)))
    first.close()
    assert site.run(20, site.beat(every(10))) == [5, 15]


@pytest.mark.parametrize(
    ("misfire", "expected"),
    [("run_once", [0, 5]), ("skip", [5]), ("run_all:3", [0, 0, 0, 5]), ("run_all:9", [0, 0, 0, 0, 0, 5])],
)
def test_runs_missed_while_no_beat_ran(site: Site, misfire: str, expected: list[float]) -> None:
    site.run(5, first := site.beat(every(60, misfire=misfire)))
    first.close()
    site.clock.sleep(5 * 60 - 5 + 55)
    assert site.run(10, site.beat(every(60, misfire=misfire))) == expected


def test_crontab_missed_by_more_than_the_deadline_is_left_out(site: Site) -> None:
    entries = {"e": {"task": "t", "schedule": crontab(minute=30)}}
    site.run(1, first := site.beat(entries, beat_cron_starting_deadline=60))
    first.close()
    site.clock.sleep(45 * 60)
    assert site.run(10, site.beat(entries, beat_cron_starting_deadline=60)) == []


def test_second_beat_stands_by_and_takes_over_within_the_lease(site: Site) -> None:
    first, second = site.beat(every(1, misfire="run_all:60")), site.beat(every(1, misfire="run_all:60"))
    site.run(5, first, second)
    assert [first.token, second.token] == [1, None]
    found = site.run(30, second)
    assert second.token == 2
    gaps = [later - earlier for earlier, later in pairwise(found)]
    assert found[0] <= LEASE
    assert max(gaps) <= 1.01
    # Every second once, those of the gap included.
    assert len({task_id for _, _, task_id in site.sent}) == len(site.sent) == 35


def test_two_leaders_send_no_run_twice(site: Site) -> None:
    first, second = site.beat(every(1)), site.beat(every(1))
    site.run(3, first)
    # As if its process had been stopped for longer than the lease, and went on where it was.
    site.clock.sleep(LEASE)
    site.run(1, second)
    first.leadership.renew_at = first.leadership.until = site.clock.passed + 100
    first._seen = None
    site.run(3, first, second)
    ids = [task_id for _, _, task_id in site.sent]
    assert len(ids) == len(set(ids))
    assert second.token is not None
    assert first.token is None


def test_late_leader_is_fenced_off(site: Site) -> None:
    first, second = site.beat(every(1)), site.beat(every(1))
    site.run(1, first)
    token = first.token
    site.clock.sleep(LEASE)
    site.run(1, second)
    with pytest.raises(LeadershipLost, match="token"):
        first.store.write_many([Write.of("x", 0, "{}")], token)


def test_claimed_run_of_a_leader_that_died_is_sent_again_under_its_id(site: Site, monkeypatch: Any) -> None:
    first = site.beat(every(10))
    monkeypatch.setattr(first.standing, "confirm", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        site.run(11, first)
    site.clock.sleep(LEASE)
    site.run(1, site.beat(every(10)))
    assert site.sent[0][2] == site.sent[1][2]


def test_entries_that_cannot_be_sent_do_not_delay_others(site: Site) -> None:
    entries = {name: {"task": name, "schedule": 10} for name in ("bad", "good", "refused")}
    site.failing.update(bad=TypeError("no"), refused=OperationalError("no such exchange"))
    assert site.run(31, site.beat(entries)) == [10, 20, 30]


def test_outage_of_the_broker_costs_no_run_but_those_missed(site: Site) -> None:
    beat = site.beat(every(10))
    site.failing["t"] = OperationalError("down")
    assert site.run(300, beat) == []
    site.failing.clear()
    # The run of second 10, one for all missed after it, and the next.
    assert [at for at in site.run(15, beat) if at > 6] == [10]
    assert len(site.sent) == 3
    assert beat.token == 1


def test_outage_of_the_store_does_not_stop_beat(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    beat = site.beat(every(10))
    site.run(5, beat)
    with monkeypatch.context() as broken:
        broken.setattr(beat.store, "version", lambda: (_ for _ in ()).throw(OperationalError("gone")))
        assert site.run(60, beat) == []
    assert site.run(12, beat) == [0, 5]


@pytest.mark.parametrize("call", ["claim", "confirmation"])
def test_outage_of_the_store_amid_a_run_costs_no_entry(site: Site, monkeypatch: Any, call: str) -> None:
    beat = site.beat(every(10))
    site.run(5, beat)
    plain, left = beat.store.write_many, 1 if call == "claim" else 2

    def write_many(*args: Any) -> set[str]:
        nonlocal left
        left -= 1
        if left == 0:
            raise OperationalError("gone")
        return plain(*args)

    monkeypatch.setattr(beat.store, "write_many", write_many)
    found = site.run(20, beat)
    # One that was sent and not confirmed is sent again under its id; most brokers take it once.
    assert found == ([6, 15] if call == "claim" else [5, 6, 15])
    assert len({task_id for _, _, task_id in site.sent}) == 2


def test_edit_at_the_moment_of_a_claim_is_read_before_the_next(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    beat, book = site.beat(every(10)), site.book(every(10))
    site.run(5, beat)
    plain = beat.store.write_many

    def write_many(*args: Any) -> set[str]:
        monkeypatch.setattr(beat.store, "write_many", plain)
        book.pause("e")
        return plain(*args)

    monkeypatch.setattr(beat.store, "write_many", write_many)
    assert site.run(20, beat) == []
    book.resume("e")
    assert site.run(10, beat) == [5]


def test_clock_set_forward_makes_no_burst(site: Site) -> None:
    beat = site.beat(every(1))
    site.run(5, beat)
    site.clock.step(3600)
    assert len(site.run(5, beat)) <= 6


def test_clock_set_back_makes_no_pause(site: Site) -> None:
    beat = site.beat(every(1))
    site.run(5, beat)
    site.clock.step(-3600)
    assert len(site.run(10, beat)) in (9, 10)
    ids = [task_id for _, _, task_id in site.sent]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(("misfire", "made_up"), [("run_once", 1), ("skip", 0), ("run_all:3", 3)])
def test_clock_set_by_an_hour_makes_up_what_the_policy_says(site: Site, misfire: str, made_up: int) -> None:
    beat = site.beat({"e": {"task": "t", "schedule": crontab(), "misfire": misfire}})
    assert site.run(90, beat) == [60]
    site.clock.step(3600)
    # From half past a minute, to the next one and some seconds.
    assert len(site.run(50, beat)) == made_up + 1
    site.clock.step(-3600)
    assert site.run(180, beat) == [40, 100, 160]


def test_slow_machine_loses_no_run(site: Site) -> None:
    beat = site.beat(every(1))
    site.run(2, beat)
    site.clock.sleep(5)
    site.run(1, beat)
    assert len(site.sent) == 8


def test_changed_schedule_or_zone_makes_nothing_run(site: Site) -> None:
    site.run(50, first := site.beat(every(60)))
    first.close()
    second = site.beat(every(45))
    assert site.run(40, second) == []
    second.close()
    noon = {"e": {"task": "t", "schedule": crontab(0, 12)}}
    site.run(10, third := site.beat(noon, timezone="Asia/Tokyo"))
    third.close()
    site.clock.sleep(86400 * 0.9)
    assert site.run(10, site.beat(noon, timezone="America/New_York")) == []


def test_entry_taken_out_and_put_back_begins_anew(site: Site) -> None:
    for entries in (every(60), {"other": {"task": "o", "schedule": 3600}}):
        site.run(50, beat := site.beat(entries))
        beat.close()
    assert site.run(50, site.beat(every(60))) == []


def test_damaged_file_is_put_aside(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.run(15, first := site.beat(every(10)))
    first.close()
    with site.path.open("r+b") as file:
        file.write(b"\0" * 2000)
    assert site.run(15, site.beat(every(10))) == [10]
    assert "Removing corrupted schedule file" in caplog.text
    assert len(list(site.path.parent.glob("*.corrupt-*"))) == 1


def test_truncated_file_is_put_aside(site: Site) -> None:
    site.run(15, first := site.beat(every(10)))
    first.close()
    with site.path.open("r+b") as file:
        file.truncate(5000)
    assert site.run(15, site.beat(every(10))) == [10]


def test_record_that_cannot_be_read_is_made_anew(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.run(5, first := site.beat(every(10)))
    first.close()
    store = open_store(str(site.path), "proj")
    store.write_many(
        [Write.of("e", store.load()["e"].revision, "{"), Write.of("odd", 0, '{"anchor": 1, "definition": {}}')]
    )
    store.close()
    assert site.run(15, site.beat(every(10))) == [10]
    assert "'odd' cannot be used" in caplog.text


def test_idle_tick_of_many_entries_looks_at_none(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    beat = site.beat({f"e{number}": {"task": "t", "schedule": 3600} for number in range(2000)})
    beat.tick()
    monkeypatch.setattr(schedule, "following", lambda *args: pytest.fail("looked at an entry"))
    assert 0 < beat.tick() <= 2


def test_a_leader_that_was_superseded_at_the_broker_stops(site: Site) -> None:
    beat = site.beat(every(10))
    site.failing["t"] = Superseded("token 1 is not the newest")
    assert site.run(11, beat) == []
    # As if another had taken over: it asks for the leadership anew, and sends what it had claimed.
    site.failing.clear()
    assert len(site.run(3, beat)) == 1


def test_two_apps_in_one_store_do_not_meet(site: Site) -> None:
    first = site.beat(every(10))
    site.run(1, first)
    other = open_store(str(site.path), "other")
    assert other.load() == {}
    assert other.acquire("someone", 5) == 1
    other.close()


# -------------------------------------------------------------------------------------------------------- edits


def ten(**fields: Any) -> dict[str, Any]:
    return definition_of("added", schedule(10), **fields)


def test_added_entry_runs_within_its_interval(site: Site) -> None:
    beat = site.beat({})
    site.run(5, beat)
    site.book().add("a", ten(args=[1]))
    assert site.run(25, beat) == [10, 20]
    site.book().remove("a")
    assert site.run(25, beat) == []


def test_every_kind_of_schedule_can_be_added(site: Site) -> None:
    book = site.book()
    at = datetime.fromtimestamp(NOON + 3, UTC)
    book.add("once", definition_of("once", clocked(at)))
    book.add("cron", definition_of("cron", crontab(minute=1), zone="Asia/Kolkata"))
    assert [str(each) for each in book.line("cron").next_runs(1, NOON)] == ["2026-03-04 12:31:00+00:00"]
    assert site.run(10, site.beat({})) == [3]
    assert book.line("once").next_runs(3, NOON + 4) == []


def test_pausing_and_resuming_runs_nothing_that_was_missed(site: Site) -> None:
    beat, book = site.beat(every(10)), site.book(every(10))
    assert site.run(15, beat) == [10]
    book.pause("e")
    assert not book.line("e").is_enabled
    assert site.run(50, beat) == []
    book.resume("e")
    assert site.run(10, beat) == [5]


def test_editing_makes_nothing_run(site: Site) -> None:
    beat, book = site.beat({}), site.book()
    book.add("a", ten())
    site.run(9, beat)
    book.edit("a", {"schedule": definition_of("", schedule(30))["schedule"]})
    assert site.run(31, beat) == [30]
    book.edit("a", {"args": [5]})
    assert site.run(31, beat) == [29]


def test_entry_of_the_code_is_edited_and_reset(site: Site) -> None:
    beat, book = site.beat(every(10)), site.book(every(10))
    site.run(9, beat)
    book.edit("e", {"schedule": definition_of("", schedule(30))["schedule"], "task": "other"})
    assert book.line("e").override == {"schedule": describe(schedule(30)), "task": "other"}
    assert site.run(31, beat) == [30]
    assert site.sent[-1][0] == "other"
    # A beat that starts anew keeps the edit; what was not edited follows the code.
    beat.close()
    beat = site.beat({"e": {"task": "t", "schedule": 5, "args": (7,)}})
    assert site.run(30, beat) == [29]
    assert beat.standing.entry("e").args == (7,)
    book.reset("e")
    assert site.run(11, beat) == [5, 10]
    assert site.sent[-1][0] == "t"
    with pytest.raises(NoSuchEntry, match="as beat_schedule defines it"):
        book.reset("e")
    book.add("a", ten())
    with pytest.raises(NoSuchEntry, match="added at run time"):
        book.reset("a")
    with pytest.raises(ImproperlyConfigured, match="misfire"):
        book.edit("e", {"misfire": "sometimes"})


def test_edit_that_cannot_be_used_leaves_the_entry_as_it_is(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    beat, book = site.beat(every(10)), site.book(every(10))
    site.run(1, beat)
    book._change("e", lambda record: record.changed(override={"schedule": {"type": "moon"}}))
    assert len(site.run(20, beat)) in (1, 2)
    assert "cannot be used" in caplog.text


def test_run_now_runs_once_and_leaves_the_rest(site: Site) -> None:
    beat = site.beat(every(60))
    site.run(15, beat)
    site.book(every(60)).run("e")
    found = site.run(50, beat)
    assert found[0] <= 5
    assert found[1:] == [45]


def test_edit_during_a_run_does_not_repeat_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    beat, book = site.beat(every(10)), site.book(every(10))
    plain = beat.apply_async

    def edited_meanwhile(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(beat, "apply_async", plain)
        book.run("e")
        return plain(*args, **kwargs)

    monkeypatch.setattr(beat, "apply_async", edited_meanwhile)
    site.run(19, beat)
    # The run of second 10, and the one asked for during it.
    assert len(site.sent) == 2
    assert len({task_id for _, _, task_id in site.sent}) == 2


def test_what_cannot_be_edited_says_why(site: Site) -> None:
    book = site.book(every(10))
    with pytest.raises(NoSuchEntry, match="no entry 'x'"):
        book.pause("x")
    with pytest.raises(NoSuchEntry, match="defined in beat_schedule"):
        book.remove("e")
    with pytest.raises(NoSuchEntry, match="choose another"):
        book.add("e", ten())
    book.add("a", ten())
    with pytest.raises(NoSuchEntry, match="already"):
        book.add("a", ten())
    with pytest.raises(ImproperlyConfigured, match="misfire"):
        book.add("b", ten(misfire="sometimes"))
    assert book.leader() is None
    assert sorted(book.lines()) == ["a", "e"]
    assert json.loads(json.dumps(ten())) == ten()


def test_unknown_store_says_which_there_are() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"mongodb.*known are: mariadb, mysql, postgresql"):
        open_store("mongodb://localhost")
