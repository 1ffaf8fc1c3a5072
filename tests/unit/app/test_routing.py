from __future__ import annotations

import re
from typing import Any

import pytest

from celeriac import Exchange, Queue
from celeriac.app.queues import Queues
from celeriac.app.routing import Router, compile_routes
from celeriac.config import Settings
from celeriac.exceptions import ImproperlyConfigured, QueueNotFound


def router(routes: Any = None, **settings: Any) -> Router:
    return Router(Queues(Settings(settings)), routes)


def queue_of(subject: Router, name: str, **options: Any) -> str:
    queue: Queue = subject.route(options, name)["queue"]
    return queue.name


def test_the_default_queue() -> None:
    destination = router().destination(router().route({}, "a.b"))
    assert (destination.exchange, destination.routing_key) == ("", "celery")
    assert destination.queue == Queue("celery", Exchange("celery"), "celery")


@pytest.mark.parametrize(
    "routes",
    [
        {"feed.*": {"queue": "feeds"}},
        {"feed.add": "feeds"},
        {re.compile(r"feed\..*"): {"queue": "feeds"}},
        [("feed.*", {"queue": "feeds"}), ("web.*", {"queue": "web"})],
        ({"feed.?dd": "feeds"},),
        lambda name, *_, **__: "feeds" if name == "feed.add" else None,
    ],
)
def test_forms_of_routes(routes: Any) -> None:
    subject = router(routes)
    assert queue_of(subject, "feed.add") == "feeds"
    assert queue_of(subject, "other.add") == "celery"


def test_the_first_router_with_an_answer_wins() -> None:
    assert queue_of(router([{"x": "one"}, {"*": "two"}]), "x") == "one"
    assert queue_of(router([{"x": "one"}, {"*": "two"}]), "y") == "two"


def test_objects_with_route_for_task() -> None:
    class ByMethod:
        def route_for_task(self, task: str, args: Any = None, kwargs: Any = None) -> Any:
            return {"queue": "method"}

    assert queue_of(router([ByMethod()]), "x") == "method"
    assert queue_of(router([ByMethod]), "x") == "method"


def test_options_of_the_call_win() -> None:
    merged = router({"x": {"queue": "routed", "priority": 1}}).route({"queue": "given"}, "x")
    assert merged["queue"].name == "given"
    assert merged["priority"] == 1


def test_static_routers_are_known() -> None:
    assert router({"a": "b"}).is_static
    assert not router([lambda *_, **__: None]).is_static


def test_bad_routes_are_named() -> None:
    with pytest.raises(ImproperlyConfigured, match="42"):
        compile_routes([42])


@pytest.mark.parametrize(
    ("routes", "named"),
    [
        ({"proj.add": 5}, "route 5 for 'proj.add'"),
        ({5: "queue"}, "key 5"),
        ([("a", "b", "c")], "'a', 'b', 'c'"),
        (7, "7"),
    ],
)
def test_routes_of_wrong_types_are_named_before_a_task_meets_them(routes: Any, named: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=re.escape(named)):
        compile_routes(routes)


def test_exchange_and_key_together_bypass_the_default_exchange() -> None:
    subject = router()
    destination = subject.destination(subject.route({"exchange": "media", "routing_key": "video"}, "x"))
    assert (destination.exchange, destination.routing_key) == ("media", "video")


@pytest.mark.parametrize("options", [{"exchange": "media"}, {"routing_key": "video"}])
def test_one_of_them_alone_does_not(options: dict[str, str]) -> None:
    subject = router()
    destination = subject.destination(subject.route(options, "x"))
    assert (destination.exchange, destination.routing_key) == ("", "celery")


def test_topic_queues_are_reached_through_their_exchange() -> None:
    queues = [Queue("media", Exchange("media", "topic"), "media.#")]
    subject = router({"x": {"queue": "media", "routing_key": "media.video"}}, task_queues=queues)
    destination = subject.destination(subject.route({}, "x"))
    assert (destination.exchange, destination.routing_key) == ("media", "media.video")


def test_unknown_queues_are_created_under_their_own_exchange() -> None:
    queue = Queues(Settings({})).get_or_create("new")
    assert queue == Queue("new", Exchange("new"), "new")


def test_unknown_queues_may_be_forbidden() -> None:
    with pytest.raises(QueueNotFound, match="task_create_missing_queues"):
        queue_of(router(task_create_missing_queues=False), "x", queue="new")


def test_created_queues_may_be_quorum_queues() -> None:
    queues = Queues(Settings({"task_create_missing_queue_type": "quorum"}))
    assert queues.get_or_create("new").arguments == {"x-queue-type": "quorum"}


def test_configured_queues_get_default_exchange_and_key() -> None:
    queues = Queues(Settings({"task_queues": [Queue("one")], "task_default_exchange": "ex"}))
    assert queues["one"] == Queue("one", Exchange("ex"), "celery")


def test_queues_as_a_mapping() -> None:
    queues = Queues(
        Settings({"task_queues": {"one": {"exchange": "ex", "exchange_type": "topic", "binding_key": "a.#"}}})
    )
    assert queues["one"] == Queue("one", Exchange("ex", "topic"), "a.#")


@pytest.mark.parametrize("wrong", [5, "one", ["one"]])
def test_queues_of_another_type_are_named(wrong: object) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"task_queues must hold .* got "):
        Queues(Settings({"task_queues": wrong}))


def test_unknown_queue_options_are_named() -> None:
    with pytest.raises(ImproperlyConfigured, match="exchnge"):
        Queues(Settings({"task_queues": {"one": {"exchnge": "ex"}}}))


def test_maximal_priority_of_all_queues() -> None:
    queues = Queues(Settings({"task_queue_max_priority": 9, "task_queues": [Queue("a"), Queue("b", max_priority=5)]}))
    assert queues["a"].arguments == {"x-max-priority": 9}
    assert queues["b"].arguments == {"x-max-priority": 5}


def test_the_default_queue_may_be_a_quorum_queue() -> None:
    assert Queues(Settings({"task_default_queue_type": "quorum"})).default.arguments == {"x-queue-type": "quorum"}


def test_selected_queues_are_consumed() -> None:
    queues = Queues(Settings({"task_queues": [Queue("a"), Queue("b")]}))
    assert list(queues.consume_from) == ["a", "b"]
    queues.deselect("b")
    assert list(queues.consume_from) == ["a"]
    queues.select("b,c")
    queues.select_add("d")
    queues.deselect(["c"])
    assert list(queues.consume_from) == ["b", "d"]
