"""The option ``declare``, and `Broadcast` queues."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Broadcast, Celery, Exchange, Queue
from celeriac.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from celeriac.message import Destination


def destination(app: Celery, **options: Any) -> Destination:
    return app.router.destination(app.router.route(options, "proj.elsewhere"))


@pytest.fixture
def declared(app: Celery, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of queues and exchanges that the session was told to declare, and "" between messages."""
    session: Any = app.sessions.get()
    names: list[str] = []
    declare = type(session).declare

    def spy(self: Any, queues: Any) -> None:
        names.extend(each.name or each.exchange.name for each in queues)
        declare(self, queues)

    monkeypatch.setattr(type(session), "declare", spy)
    return names


def test_queue_of_a_call_is_declared(app: Celery, declared: list[str]) -> None:
    app.send_task("proj.elsewhere", queue="images")
    assert declared == ["images"]


def test_declare_replaces_the_queue_of_the_call(app: Celery, declared: list[str]) -> None:
    app.send_task("proj.elsewhere", queue="images", declare=["videos", Queue("sounds"), Exchange("media", "topic")])
    assert declared == ["videos", "sounds", "media"]


def test_empty_declare_declares_nothing(app: Celery, declared: list[str]) -> None:
    app.send_task("proj.elsewhere", queue="images", declare=[])
    assert declared == []


def test_declare_reaches_the_bulk_path(app: Celery, declared: list[str]) -> None:
    add = app.signature("proj.elsewhere")
    app.publish_many([add.clone(declare=["videos"]), add.clone(declare=["videos", "sounds"]), add])
    assert declared == ["videos", "sounds", "celery"]


def test_declare_of_a_route_counts(app: Celery) -> None:
    app.conf.task_routes = {"proj.elsewhere": {"queue": "images", "declare": []}}
    assert destination(app).queue is None


def test_something_else_in_declare_is_refused(app: Celery) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"declare takes queues.*got 5"):
        app.send_task("proj.elsewhere", declare=[5])


def test_broadcast_is_a_queue_with_a_name_of_its_own() -> None:
    one, two = Broadcast("news"), Broadcast("news")
    assert isinstance(one, Queue)
    assert one.name.startswith("bcast.")
    assert one.name != two.name
    assert (one.exchange, one.alias, one.auto_delete) == (Exchange("news", "fanout"), "news", True)
    assert Broadcast("news", queue="mine").name == "mine"
    assert Broadcast("news", queue="mine", unique=True).name.startswith("mine.")


def test_broadcast_needs_a_fanout_exchange() -> None:
    with pytest.raises(ImproperlyConfigured, match="fanout"):
        Broadcast("news", exchange=Exchange("news", "direct"))
    with pytest.raises(ImproperlyConfigured, match="name"):
        Broadcast()


def test_broadcast_survives_a_copy_and_pickle() -> None:
    queue = Broadcast("news")
    copy = queue.but(max_priority=5)
    assert (type(copy), copy.name, copy.max_priority) == (Broadcast, queue.name, 5)
    assert pickle.loads(pickle.dumps(queue)) == queue


def test_broadcast_is_routed_by_its_alias_and_not_declared_by_clients(app: Celery) -> None:
    app.conf.task_queues = (Queue("celery"), Broadcast("news"))
    app.conf.task_routes = {"proj.elsewhere": {"queue": "news"}}
    found = destination(app)
    assert (found.exchange, found.routing_key) == ("news", "celery")
    assert found.queue is not None
    assert (found.queue.name, found.queue.no_declare) == ("", True)
    assert destination(app).queue is found.queue


def test_broadcast_works_with_a_maximal_priority(app: Celery) -> None:
    app.conf.update(task_queues=(Broadcast("news"),), task_queue_max_priority=3)
    queue = app.queues.get_or_create("news")
    assert (type(queue), queue.max_priority) == (Broadcast, 3)
