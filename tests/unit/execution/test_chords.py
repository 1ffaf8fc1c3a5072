"""Concluding chords: once, whoever does it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery, chord
from celeriac.backend import ResultRecord
from celeriac.current import Context
from celeriac.exceptions import BackendStoreError, ChordError
from celeriac.execution import chords

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def app(unique_name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    with Celery("p", broker=f"memory://{unique_name}", backend=f"memory://{unique_name}", strict_typing=False) as app:
        backend, add_chord_parts = app.backend, app.backend.add_chord_parts
        # Leases that run out at once.
        patched = lambda *args, lease: add_chord_parts(*args, lease=0.0)  # noqa: E731
        monkeypatch.setattr(backend, "add_chord_parts", patched)

        @app.task(name="p.add", shared=False)
        def add(x: Any, y: Any) -> Any:
            return x + y

        @app.task(name="p.total", shared=False)
        def total(values: Any) -> Any:
            return sum(values)

        yield app


def taken(app: Celery) -> list[Any]:
    """Messages that wait, which are taken out of the queue."""
    session = app.broker.connect()
    session.consume([app.queues.default])
    deliveries = session.fetch(limit=1000, wait=0)
    session.ack_many(deliveries)
    session.close()
    return [delivery.message for delivery in deliveries]


def send(app: Celery, size: int) -> list[chords.EndedPart]:
    """Send a chord; returns the ends of its tasks."""
    add, total = app.tasks["p.add"], app.tasks["p.total"]
    result = chord([add.s(number, 1) for number in range(size)], total.s()).apply_async()
    body = dict(app.signature("p.total", task_id=result.id))
    taken(app)
    return [
        chords.EndedPart(app, result.parent.id, index, ResultRecord(each.id, "SUCCESS", index), body, None)
        for index, each in enumerate(result.parent)
    ]


def test_body_is_sent_with_the_last_part_and_with_no_other(app: Celery) -> None:
    parts = send(app, 3)
    for part in (parts[2], parts[0], parts[0]):
        chords.record_parts([part])
        assert taken(app) == []
    chords.record_parts([parts[1]])
    (message,) = taken(app)
    assert b"[[[0, 1, 2]]" in message.body
    chords.record_parts(parts)
    assert taken(app) == []
    assert chords.conclude_overdue(app) == 0


def test_the_store_gets_the_body_once(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = send(app, 5)
    add, bodies = app.backend.add_chord_parts, []

    def watched(chord_id: str, some: Any, body: bytes | None, *, lease: float) -> Any:
        bodies.append(body)
        return add(chord_id, some, body, lease=lease)

    monkeypatch.setattr(app.backend, "add_chord_parts", watched)
    for part in parts:
        chords.record_parts([part])
    assert len(list(filter(None, bodies))) == 1
    assert len(taken(app)) == 1


def test_a_body_that_is_lost_fails_its_result(app: Celery) -> None:
    parts = send(app, 2)
    (task_id,) = {part.body["options"]["task_id"] for part in parts}
    for part in parts:
        part.body = {"task": "celeriac.resume", "args": [], "kwargs": {"graph": "lost"}, "subtask_type": None,
                     "options": {"task_id": task_id}, "immutable": False}  # fmt: skip
    chords.record_parts(parts)
    assert taken(app) == []
    assert chords.conclude_overdue(app) == 0
    with pytest.raises(ChordError, match=r"body cannot be read: GraphMissing\(.*task_graph_expires"):
        app.AsyncResult(task_id).get(timeout=0)


def test_a_part_that_the_store_refuses_fails_and_keeps_back_no_other(
    app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, add = send(app, 3), app.backend.add_chord_parts

    def refusing(chord_id: str, some: Any, body: bytes | None, *, lease: float) -> Any:
        if any(part.result == 1 for part in some):
            raise BackendStoreError("too large")
        return add(chord_id, some, body, lease=lease)

    monkeypatch.setattr(app.backend, "add_chord_parts", refusing)
    chords.record_parts(parts)
    result = app.AsyncResult(parts[0].body["options"]["task_id"])
    assert result.state == "FAILURE"
    assert "1 cannot be stored: too large" in str(result.result)


def test_a_chord_left_complete_is_concluded_by_another(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = send(app, 2)
    with monkeypatch.context() as patch:
        patch.setattr(chords, "_conclude_apart", lambda *args: None)
        chords.record_parts(parts)
    assert taken(app) == []
    assert chords.conclude_overdue(app) == 1
    assert chords.conclude_overdue(app) == 0
    (message,) = taken(app)
    assert b"[[[0, 1]]" in message.body


def test_of_two_publications_one_may_begin(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = send(app, 1)
    with monkeypatch.context() as patch:
        patch.setattr(app.backend, "close_chord", lambda chord_id: None)
        chords.record_parts(parts)
        assert chords.conclude_overdue(app) == 1
    first, second = (message.headers for message in taken(app))
    assert first["id"] == second["id"]
    assert chords.may_begin(app, second, redelivered=False)
    assert not chords.may_begin(app, first, redelivered=False)
    assert not chords.may_begin(app, first, redelivered=True)
    # A copy that was never delivered before; and the message itself, which comes back after its worker died.
    assert not chords.may_begin(app, second, redelivered=False)
    assert chords.may_begin(app, second, redelivered=True)


@pytest.mark.parametrize("once", [None, "x", [1, 2], ["slot"], {}])
def test_messages_that_are_not_marked_may_begin(app: Celery, once: Any) -> None:
    assert chords.may_begin(app, {"id": "t", chords.ONCE: once}, redelivered=False)
    assert chords.may_begin(app, {"id": "t"}, redelivered=False)


def test_a_body_that_json_cannot_carry_is_kept_by_another_serializer(app: Celery) -> None:
    app.conf.accept_content = ["json", "pickle"]
    told = {"body": {"task": "p.total", "args": [{1, 2}]}}
    assert chords._unpacked(app, chords._packed(app, told)) == told


@pytest.mark.parametrize(("ready", "reason"), [(True, None), (False, "Join error: TimeoutError")])
def test_a_join_waits_for_each_result_only_so_long(app: Celery, ready: bool, reason: str | None) -> None:
    app.conf.result_chord_join_timeout = 0.05
    body = app.tasks["p.total"].s()
    body.freeze("body")
    app.backend.mark_as_done("a", 1)
    results = [app.AsyncResult("a"), app.AsyncResult("a" if ready else "never")]
    chords.conclude_joined(app, Context(id="unlock", root_id="a"), "g", body, results)
    assert len(taken(app)) == ready
    if reason is not None:
        with pytest.raises(ChordError, match=reason):
            app.AsyncResult("body").get(timeout=1)
