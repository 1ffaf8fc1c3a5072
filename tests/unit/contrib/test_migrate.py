"""Messages that wait are moved by what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Exchange, Queue
from celeriac.contrib import migrate

if TYPE_CHECKING:
    from celeriac.contrib.testing.app import TestApp

QUICK: dict[str, Any] = {"timeout": 0.0}


@pytest.fixture
def ids(app: TestApp) -> list[str]:
    """Six calls that wait, of two tasks in turn."""
    return [app.send_task(("mail", "print")[number % 2], (number,)).id for number in range(6)]


def waiting(app: TestApp, queue: str, url: str | None = None) -> list[str]:
    """The ids in a queue."""
    with app.connection_for_read(url) as connection:
        connection.session.consume([app.queues.get_or_create(queue)])
        return [delivery.message.headers["id"] for delivery in connection.session.fetch(limit=100, wait=0)]


def test_a_predicate_chooses_by_payload_and_headers(app: TestApp, ids: list[str]) -> None:
    def late_mail(body: Any, message: Any) -> Any:
        assert body["id"] == message.headers["id"]
        assert message.delivery_info["queue"] == "celery"
        return Queue("later") if body["task"] == "mail" and body[0][0] > 0 else None

    state = migrate.move(late_mail, **QUICK)
    assert (state.count, state.filtered, state.total_apx, repr(state)) == (6, 2, 6, "^2")
    assert waiting(app, "later") == [ids[2], ids[4]]
    assert waiting(app, "celery") == [ids[0], ids[1], ids[3], ids[5]]


def test_calls_go_by_id(app: TestApp, ids: list[str]) -> None:
    migrate.move_task_by_id(ids[3], "one", **QUICK)
    migrate.move_by_idmap({ids[0]: "two", ids[1]: Queue("three")}, **QUICK)
    migrate.move_direct_by_id(ids[5], "w1@host", **QUICK)
    assert [waiting(app, name) for name in ("one", "two", "three", "w1@host.dq2")] == [
        [ids[3]], [ids[0]], [ids[1]], [ids[5]],
    ]  # fmt: skip
    assert waiting(app, "celery") == [ids[2], ids[4]]


def test_calls_go_by_task(app: TestApp, ids: list[str]) -> None:
    assert migrate.move_by_taskmap({"mail": "mails"}, **QUICK).filtered == 3
    assert waiting(app, "mails") == ids[::2]
    assert waiting(app, "celery") == ids[1::2]


def test_a_message_moved_to_a_queue_that_is_looked_at_has_had_its_turn(app: TestApp, ids: list[str]) -> None:
    state = migrate.move(lambda body, message: "other", source=["celery", "other"], **QUICK)
    assert state.filtered == 6
    assert waiting(app, "other") == ids


def test_it_ends_when_told_to(app: TestApp, ids: list[str]) -> None:
    def at_most_two(state: Any, body: Any, message: Any) -> None:
        if state.filtered == 2:
            raise migrate.StopFiltering

    def until_the_second(body: Any, message: Any) -> str:
        if body[0][0] == 3:
            raise migrate.StopFiltering
        return "b"

    assert migrate.move(lambda body, message: "a", callback=at_most_two, **QUICK).filtered == 2
    assert waiting(app, "a") == ids[:2]
    assert migrate.move(until_the_second, **QUICK).filtered == 1
    assert waiting(app, "b") == [ids[2]]
    assert migrate.move(lambda body, message: "c", limit=1, **QUICK).filtered == 1
    assert len(waiting(app, "celery")) == 2


def test_an_exchange_routes_what_is_only_said_to_go(app: TestApp, ids: list[str]) -> None:
    bound = Queue("bound", Exchange("post", type="direct"), routing_key="letters")
    with app.connection_for_write() as connection:
        connection.session.declare([bound])
    migrate.move(lambda body, message: body["id"] == ids[0], exchange="post", routing_key="letters", **QUICK)
    migrate.move(lambda body, message: ("post", "letters") if body["id"] == ids[1] else None, **QUICK)
    assert waiting(app, "bound") == ids[:2]
    with pytest.raises(ValueError, match="the predicate returned True, which names no place"):
        migrate.move(lambda body, message: True, **QUICK)
    assert waiting(app, "celery") == ids[2:]


def test_what_the_predicate_says_is_transformed(app: TestApp, ids: list[str]) -> None:
    migrate.move(lambda body, message: "x", transform=lambda name: Queue(f"{name}.y"), tasks=["print"], **QUICK)
    assert waiting(app, "x.y") == ids[1::2]


@pytest.mark.parametrize("removes", [False, True])
def test_messages_go_to_another_broker(app: TestApp, ids: list[str], removes: bool) -> None:
    other = f"{app.conf.broker_url}-other"
    state = migrate.migrate_tasks(app.conf.broker_url, other, queues={"celery": "there"}, ack_messages=removes, **QUICK)
    assert state.filtered == 6
    assert waiting(app, "there", other) == ids
    assert waiting(app, "celery") == ([] if removes else ids)


def test_progress_is_printed(app: TestApp, ids: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    def eq(body: Any, message: Any) -> Any:
        return migrate.task_id_eq(ids[0], body, message) and migrate.task_id_in(ids, body, message) and "there"

    migrate.move(eq, callback=migrate.filter_status, **QUICK)
    assert capsys.readouterr().out == f"Moving task 1/6: mail[{ids[0]}]\n"
