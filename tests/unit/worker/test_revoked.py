"""What is revoked: ids and stamps, their number and time, and the file they are kept in."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from celeriac.control.revokes import pack_stamp, stamps_of, unpack_stamp
from celeriac.exceptions import ImproperlyConfigured
from celeriac.utils.clock import LamportClock
from celeriac.worker.revoked import RevokedTasks
from celeriac.worker.state_file import StateFile

if TYPE_CHECKING:
    from pathlib import Path


def test_ids_and_stamps_cover_messages() -> None:
    revoked = RevokedTasks()
    assert not revoked.covers({"id": "a", "stamps": {"owner": "me"}})
    revoked.add_ids(["a"])
    revoked.add_stamps([("owner", "me"), ("number", "7")])
    assert revoked.covers({"id": "a"})
    assert revoked.covers({"id": "b", "stamps": {"owner": ["you", "me"]}})
    assert revoked.covers({"id": "b", "stamps": {"number": 7}})
    assert not revoked.covers({"id": "b", "stamps": {"owner": "you"}, "stamped_headers": ["owner"]})
    assert not revoked.covers({"id": "b", "stamps": None})


def test_what_has_had_its_time_is_forgotten() -> None:
    revoked = RevokedTasks()
    revoked.add_ids(["old"], until=time.time() - 1)
    revoked.add_ids(["new"])
    assert revoked.listed() == ["new"]
    assert not revoked.covers({"id": "old"})
    assert list(revoked.ids) == ["new"]


def test_the_newest_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_WORKER_REVOKES_MAX", "2")
    revoked = RevokedTasks()
    revoked.add_ids(["a", "b", "a", "c"])
    assert revoked.listed() == ["a", "c"]


@pytest.mark.parametrize("variable", ["CELERY_WORKER_REVOKES_MAX", "CELERY_WORKER_REVOKE_EXPIRES"])
def test_limits_have_to_be_numbers(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "many")
    with pytest.raises(ImproperlyConfigured, match=variable):
        RevokedTasks()


def test_stamps_are_read_and_written() -> None:
    assert stamps_of({"a": 1, "b": ["x", "y"]}) == [("a", "1"), ("b", "x"), ("b", "y")]
    assert stamps_of(["a=1", "b=x=y"]) == [("a", "1"), ("b", "x=y")]
    with pytest.raises(ValueError, match="name=value"):
        stamps_of(["a"])
    assert unpack_stamp(pack_stamp(("a", "é=1"))) == ("a", "é=1")
    assert unpack_stamp("no json") is unpack_stamp("[1]") is None


def test_a_file_keeps_it_from_one_run_to_the_next(tmp_path: Path) -> None:
    path = str(tmp_path / "state")
    first = RevokedTasks()
    file = StateFile(path, first, LamportClock(41))
    file.load()
    first.add_ids(["a"])
    first.add_ids(["old"], until=time.time() - 1)
    first.add_stamps([("owner", "me")])
    file.save()
    second, clock = RevokedTasks(), LamportClock()
    StateFile(path, second, clock).load()
    assert second.ids == {"a": first.ids["a"]}
    assert second.stamps == first.stamps
    assert clock.value == 42
    assert [each.name for each in tmp_path.iterdir()] == ["state"]


def test_a_file_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state"
    for data in (b"\x13\x57\x9a\xce", b"[]", json.dumps({"kind": "x", "version": 1}).encode()):
        path.write_bytes(data)
        with pytest.raises(ImproperlyConfigured, match="--statedb"):
            StateFile(str(path), RevokedTasks(), LamportClock()).load()
        assert path.read_bytes() == data


def test_a_file_that_cannot_be_written_is_told_at_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = StateFile(str(tmp_path / "missing" / "state"), RevokedTasks(), LamportClock())
    with pytest.raises(ImproperlyConfigured, match="cannot be written"):
        file.load()
    file.save()
    assert "What was revoked is not kept" in caplog.text
