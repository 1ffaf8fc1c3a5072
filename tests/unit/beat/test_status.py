"""The HTTP port of beat, with a clock that the test sets."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery
from celeriac.beat.mailbox import BeatMailbox
from celeriac.beat.service import Service
from celeriac.beat.status import BeatStatus
from celeriac.control.mailbox import Request
from celeriac.platform.node_mailbox import NO_REPLY

if TYPE_CHECKING:
    from collections.abc import Iterator


class Hands:
    """A clock."""

    now = 1000.0

    def time(self) -> float:
        return self.now + 1_000_000

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def service(unique_name: str) -> Service:
    app = Celery("beat", broker=f"memory://{unique_name}", set_as_current=False)
    service = Service(app, clock=Hands())  # type: ignore[arg-type]
    service._scheduler = SimpleNamespace(max_interval=5.0, token=None, tick=lambda: 1.0)  # type: ignore[assignment]
    return service


@pytest.fixture
def status(service: Service) -> Iterator[BeatStatus]:
    status = BeatStatus("127.0.0.1:0", service)
    yield status
    status.stop()


def livez(status: BeatStatus) -> tuple[int, dict[str, Any]]:
    answer = status.livez("")
    return answer.status, json.loads(answer.body)


def test_beat_is_live_while_it_ticks(service: Service, status: BeatStatus) -> None:
    clock: Any = service.clock
    clock.now += 59
    assert livez(status) == (200, {"live": True, "leader": False, "last_tick_age": 59.0})
    clock.now += 2
    code, fields = livez(status)
    assert (code, fields["live"]) == (503, False)
    assert "has not ticked for 61 s" in fields["reason"]
    service._tick(service.scheduler)
    assert livez(status)[0] == 200


def test_long_intervals_are_not_silence(service: Service, status: BeatStatus) -> None:
    clock: Any = service.clock
    service.scheduler.max_interval = 300
    clock.now += 599
    assert livez(status)[0] == 200
    clock.now += 2
    assert livez(status)[0] == 503


@pytest.mark.parametrize(("limit", "code"), [(10, 503), (0, 200)])
def test_setting_says_how_long_silence_may_be(service: Service, status: BeatStatus, limit: float, code: int) -> None:
    service.app.conf.beat_remote_control_max_tick_age = limit
    clock: Any = service.clock
    clock.now += 11
    assert livez(status)[0] == code


def test_metrics_tell_leader_and_last_tick(service: Service, status: BeatStatus) -> None:
    service._tick(service.scheduler)
    scheduler: Any = service.scheduler
    scheduler.token = 3

    def fail() -> float:
        raise RuntimeError

    scheduler.tick = fail
    service._tick(scheduler)
    clock: Any = service.clock
    clock.now += 7
    text = status.scrape("").body.decode()
    assert "celeriac_beat_leader 1.0" in text
    assert "celeriac_beat_last_tick_timestamp_seconds 1.001e+06" in text
    assert "celeriac_beat_failed_ticks_total 1.0" in text


def test_pings_are_answered_while_beat_ticks(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    mailbox = BeatMailbox(service, "celerybeat@here")
    assert mailbox.answer(Request("ping")) == {"ok": "pong"}
    assert mailbox.answer(Request("shutdown")) is NO_REPLY
    service.clock.now += 61  # type: ignore[attr-defined]
    assert mailbox.answer(Request("ping")) is NO_REPLY
    assert "has not ticked for 61 s" in caplog.text
    service.app.conf.beat_remote_control_max_tick_age = 0
    assert mailbox.answer(Request("ping")) == {"ok": "pong"}
