"""Events as lines, and snapshots."""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.events.dumper import Dumper, evdump
from celeriac.events.following import follow
from celeriac.events.snapshot import Polaroid, evcam
from celeriac.events.state import State
from celeriac.exceptions import OperationalError, SessionRefused
from tests.support import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac import Celery


def test_lines_are_those_of_celery() -> None:
    out = io.StringIO()
    dumper = Dumper(out)
    common = {"hostname": "w@h", "timestamp": 0.5, "clock": 1}
    dumper.on_event({**common, "type": "worker-online", "freq": 2.0})
    dumper.on_event({**common, "type": "task-received", "uuid": "u", "name": "add", "args": "(1,)", "kwargs": "{}"})
    dumper.on_event({**common, "type": "task-succeeded", "uuid": "u", "result": "2"})
    dumper.on_event({**common, "type": "task-started", "uuid": "v"})
    dumper.on_event({**common, "type": "custom-thing"})
    moment = "1970-01-01 00:00:00.500000+00:00"
    assert out.getvalue().splitlines() == [
        f"w@h [{moment}] started: clock=1, freq=2.0",
        f"w@h [{moment}] task received: add(u) args=(1,) kwargs={{}} clock=1",
        f"w@h [{moment}] task succeeded: add(u) args=(1,) kwargs={{}} clock=1, result=2",
        f"w@h [{moment}] task started: ?(v) clock=1",
        f"w@h [{moment}] custom thing: clock=1",
    ]


def run_beside(function: Callable[[threading.Event], Any], until: Callable[[], Any]) -> None:
    """Run a function in a thread until something is true."""
    stop = threading.Event()
    thread = threading.Thread(target=function, args=(stop,))
    thread.start()
    try:
        wait_until(until)
    finally:
        stop.set()
        thread.join(PATIENCE)
    assert not thread.is_alive()


def test_events_are_dumped_as_they_come(app: Celery) -> None:
    out = io.StringIO()

    def seen() -> bool:
        with app.events.default_dispatcher("d@h") as dispatcher:
            dispatcher.send("task-progress", uuid="u")
        return "task progress: ?(u)" in out.getvalue()

    run_beside(lambda stop: evdump(app, out, stop), seen)
    assert out.getvalue().startswith("-> evdump: starting capture...\nd@h [")


def test_a_lost_connection_is_made_again(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("celeriac.events.following.FIRST_RETRY", 0.01)
    failures = [OperationalError("away"), OperationalError("still away")]
    lost: list[Any] = []
    connected: list[str] = []
    connect = type(app.broker_for_read).connect

    def fail_at_first(broker: Any, **options: Any) -> Any:
        if failures:
            raise failures.pop(0)
        return connect(broker, **options)

    monkeypatch.setattr(type(app.broker_for_read), "connect", fail_at_first)
    run_beside(
        lambda stop: follow(
            app, {}, on_connected=connected.append, on_lost=lambda exc, pause: lost.append((str(exc), pause)), stop=stop
        ),
        lambda: connected,
    )
    assert lost == [("away", 0.01), ("still away", 0.02)]
    assert connected == [app.broker.url]


def test_a_broker_that_refuses_ends_it(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(broker: Any, **options: Any) -> Any:
        raise SessionRefused("no")

    monkeypatch.setattr(type(app.broker_for_read), "connect", refuse)
    with pytest.raises(SessionRefused):
        follow(app, {})


class FakeTimer:
    """Notes what it is asked to call."""

    def __init__(self) -> None:
        self.entries: list[list[Any]] = []

    def call_repeatedly(self, seconds: float, function: Callable[[], Any]) -> Any:
        entry = [seconds, function]
        self.entries.append(entry)

        class Entry:
            def cancel(self) -> None:
                entry.append("cancelled")

        return Entry()


class Camera(Polaroid):
    """Notes what it sees."""

    clear_after = True

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.seen: list[int] = []
        self.cleaned = 0
        cameras.append(self)

    def on_shutter(self, state: State) -> None:
        self.seen.append(state.event_count)

    def on_cleanup(self) -> None:
        self.cleaned += 1


cameras: list[Camera] = []


def test_a_camera_takes_pictures_and_cleans_up(app: Celery) -> None:
    state, timer = State(), FakeTimer()
    signals: list[Any] = []
    Camera.shutter_signal.connect(lambda sender, **_: signals.append(sender), weak=False)
    state.event({"type": "x-y"})
    with Camera(state, freq=2.0, cleanup_freq=30.0, timer=timer, app=app) as camera:
        (shutter, cleanup) = timer.entries
        assert (shutter[0], cleanup[0]) == (2.0, 30.0)
        shutter[1]()
        shutter[1]()
        cleanup[1]()
    assert (camera.seen, camera.cleaned, state.event_count) == ([1, 0], 1, 0)
    assert signals == [state, state]
    assert [entry[2:] for entry in timer.entries] == [["cancelled"], ["cancelled"]]


def test_a_camera_takes_no_more_pictures_than_it_may(app: Celery) -> None:
    camera = Camera(State(), maxrate="1/h", timer=FakeTimer(), app=app)
    camera.capture()
    camera.capture()
    assert camera.seen == [0]


def test_evcam_takes_pictures_of_what_comes(app: Celery, capsys: pytest.CaptureFixture[str]) -> None:
    cameras.clear()

    def seen() -> bool:
        with app.events.default_dispatcher() as dispatcher:
            dispatcher.send("x-y")
        return any(any(camera.seen) for camera in cameras)

    run_beside(lambda stop: evcam(Camera, freq=0.01, app=app, stop=stop), seen)
    assert "-> evcam: Taking snapshots with" in capsys.readouterr().out


def test_a_camera_that_fails_goes_on(app: Celery, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    class Broken(Polaroid):
        def on_shutter(self, state: State) -> None:
            calls.append(1)
            raise ValueError("no film")

    with Broken(State(), freq=0.01, app=app):
        wait_until(lambda: len(calls) > 1)
    assert "no film" in caplog.text
