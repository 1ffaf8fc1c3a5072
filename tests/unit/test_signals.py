from __future__ import annotations

import gc
import logging
from typing import Any

import pytest

from celeriac import signals
from celeriac.signals import Signal


def test_receivers_get_sender_signal_and_arguments() -> None:
    signal, seen = Signal("s"), []

    @signal.connect
    def receive(**named: Any) -> str:
        seen.append(named)
        return "answer"

    assert signal.send("me", x=1) == [(receive, "answer")]
    assert seen == [{"signal": signal, "sender": "me", "x": 1}]


def test_receivers_is_falsy_until_something_is_connected() -> None:
    signal = Signal("s")
    assert not signal.receivers

    def receive(**_: Any) -> None: ...

    signal.connect(receive)
    assert signal.receivers
    assert signal.disconnect(receive)
    assert not signal.receivers
    assert not signal.disconnect(receive)


def test_senders_filter_by_identity_or_name() -> None:
    class Named:
        name = "proj.add"

    signal, seen, sender = Signal("s"), [], Named()

    @signal.connect(sender=sender)
    def by_identity(**_: Any) -> None:
        seen.append("identity")

    @signal.connect(sender="proj.add")
    def by_name(**_: Any) -> None:
        seen.append("name")

    signal.send(sender)
    signal.send("proj.add")
    signal.send("other")
    assert seen == ["identity", "name", "name"]
    assert signal.has_listeners("proj.add")
    assert not signal.has_listeners("other")


def test_weak_receivers_go_with_their_function() -> None:
    signal = Signal("s")

    def connect() -> None:
        def receive(**_: Any) -> None: ...

        signal.connect(receive)
        signal.connect(lambda **_: None, weak=False)

    connect()
    gc.collect()
    assert len(signal.receivers) == 1


def test_weak_methods_go_with_their_object() -> None:
    class Owner:
        def receive(self, **_: Any) -> int:
            return 1

    signal, owner = Signal("s"), Owner()
    signal.connect(owner.receive)
    gc.collect()
    assert [answer for _, answer in signal.send(None)] == [1]
    assert signal.disconnect(owner.receive)
    signal.connect(owner.receive)
    del owner
    gc.collect()
    assert signal.send(None) == []


def test_a_receiver_is_connected_once() -> None:
    signal = Signal("s")

    def receive(**_: Any) -> None: ...

    def another(**_: Any) -> None: ...

    signal.connect(receive)
    signal.connect(receive)
    signal.connect(receive, dispatch_uid="u")
    signal.connect(another, dispatch_uid="u")
    assert len(signal.receivers) == 2
    assert signal.disconnect(dispatch_uid="u")


def test_errors_are_logged_and_answered(caplog: pytest.LogCaptureFixture) -> None:
    signal, error = Signal("s"), ValueError("bad")

    def receive(**_: Any) -> None:
        raise error

    signal.connect(receive)
    with caplog.at_level(logging.ERROR):
        assert signal.send(None) == [(receive, error)]
    assert "bad" in caplog.text


def test_retry_calls_again_until_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("celeriac.signals.time.sleep", pauses.append)
    signal, attempts = Signal("s"), iter([ValueError("a"), ValueError("b"), None])

    def receive(**_: Any) -> str:
        error = next(attempts)
        if error:
            raise error
        return "done"

    signal.connect(receive, retry=True)
    assert signal.send(None) == [(receive, "done")]
    assert pauses == [2.0, 4.0]


def test_receivers_must_take_keywords() -> None:
    with pytest.raises(ValueError, match="keyword"):
        Signal("s").connect(lambda: None)
    with pytest.raises(TypeError, match="callable"):
        Signal("s").connect(3)  # type: ignore[call-overload]


def test_every_documented_signal_is_there() -> None:
    instances = {name for name in signals.__all__ if isinstance(getattr(signals, name), Signal)}
    assert len(instances) == len(signals.__all__) - 1
    assert all(getattr(signals, name).name == name for name in instances)
    assert signals.__all__ == sorted(signals.__all__)
