from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from celeriac import Broadcast, Celery, Exchange, Queue, binding
from celeriac.broker.shapes import as_exchange, as_queue


def foreign_exchange(name: str = "media", **given: Any) -> Any:
    described = {"type": "topic", "durable": False, "auto_delete": True, "delivery_mode": None, "arguments": {"a": 1}}
    return SimpleNamespace(name=name, **{**described, **given})


def foreign_queue(**given: Any) -> Any:
    described: dict[str, Any] = {
        "name": "video", "exchange": foreign_exchange(), "routing_key": "media.video", "durable": True,
        "exclusive": False, "auto_delete": False, "queue_arguments": {"x-max-priority": 3}, "alias": None,
        "expires": 60.0, "bindings": (), "channel": None,
    }  # fmt: skip
    return SimpleNamespace(**{**described, **given})


def test_a_queue_is_known_by_its_attributes() -> None:
    other = SimpleNamespace(exchange=foreign_exchange("more"), routing_key="k", arguments=None)
    exchange = Exchange("media", "topic", durable=False, auto_delete=True, arguments={"a": 1})
    more = Exchange("more", "topic", durable=False, auto_delete=True, arguments={"a": 1})
    assert as_queue(foreign_queue(bindings=[other])) == Queue(
        "video", exchange, "media.video", (binding(more, "k"),), queue_arguments={"x-max-priority": 3}, expires=60.0
    )


def test_a_broadcast_is_one_here_too() -> None:
    kind = type("Broadcast", (SimpleNamespace,), {})
    found = as_queue(kind(**vars(foreign_queue(exchange=foreign_exchange(type="fanout"), alias="all", name="bcast.1"))))
    assert isinstance(found, Broadcast)
    assert found.exchange is not None
    assert (found.name, found.alias, found.exchange.type) == ("bcast.1", "all", "fanout")


def test_anything_else_stays_as_it_is() -> None:
    queue = Queue("mine")
    for each in (queue, "name", None, {"name": "a"}, object()):
        assert as_queue(each) is each
        assert as_exchange(each) is each


def test_an_app_takes_them_where_it_takes_its_own() -> None:
    app = Celery("shapes", set_as_current=False, task_queues=[foreign_queue()])
    assert app.queues["video"].routing_key == "media.video"
    named = Celery("shapes", set_as_current=False, task_queues={"video": foreign_queue()})
    assert named.queues["video"].exchange == app.queues["video"].exchange
    route = app.router.route({"queue": foreign_queue(name="audio"), "exchange": foreign_exchange()}, "task")
    assert route["queue"].name == "audio"
    assert app.router.destination(route).exchange == "media"
    assert [queue.name for queue in app.router.to_declare([foreign_queue(), foreign_exchange()])] == ["video", ""]
