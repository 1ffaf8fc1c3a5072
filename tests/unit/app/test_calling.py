"""What a call puts on the wire."""

from __future__ import annotations

import json
import re
import time
import zlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

from celeriac import Celery, signals
from celeriac.app.options import resolve_options
from celeriac.current import Context, pop_task, push_task
from celeriac.exceptions import AlwaysEagerIgnored, EncodeError, ImproperlyConfigured, OperationalError
from celeriac.result import AsyncResult, EagerResult
from tests.support import SLACK

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac.app import Task
    from celeriac.message import Delivery


HEADERS = [
    "lang", "task", "id", "shadow", "eta", "expires", "group", "group_index", "retries", "timelimit", "root_id",
    "parent_id", "argsrepr", "kwargsrepr", "origin", "ignore_result", "replaced_task_nesting", "stamped_headers",
    "stamps",
]  # fmt: skip


@pytest.fixture
def add(app: Celery) -> Task[..., Any]:
    @app.task(name="proj.add")
    def add(x: int, y: int = 0) -> int:
        return x + y

    return add


def body(delivery: Delivery) -> Any:
    return json.loads(delivery.message.body)


def test_delay_writes_protocol_2(add: Task[..., Any], sent: Callable[..., list[Delivery]]) -> None:
    result = add.delay(2, y=3)
    (delivery,) = sent()
    message = delivery.message
    assert list(message.headers) == HEADERS
    assert message.headers["task"] == "proj.add"
    assert message.headers["id"] == message.headers["root_id"] == result.id
    assert message.headers["argsrepr"] == "(2,)"
    assert message.headers["kwargsrepr"] == "{'y': 3}"
    assert message.headers["timelimit"] == [None, None]
    assert message.headers["origin"].startswith("gen")
    assert message.content_type == "application/json"
    assert message.content_encoding == "utf-8"
    assert message.properties["correlation_id"] == result.id
    assert message.properties["delivery_mode"] == 2
    assert body(delivery) == [[2], {"y": 3}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
    assert (delivery.exchange, delivery.routing_key) == ("", "celery")


def test_calls_do_not_share_headers(add: Task[..., Any], sent: Callable[..., list[Delivery]]) -> None:
    first, second = add.delay(1), add.delay(2)
    assert [d.message.headers["id"] for d in sent()] == [first.id, second.id]


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        ((), {}, "missing 1 required positional argument: 'x'"),
        ((1, 2, 3), {}, "takes from 1 to 2 positional arguments but 3 were given"),
        ((1,), {"x": 1}, "multiple values for argument 'x'"),
        ((1,), {"z": 1}, "unexpected keyword argument 'z'"),
    ],
)
def test_arguments_are_checked(
    add: Task[..., Any], sent: Callable[..., list[Delivery]], args: Any, kwargs: Any, text: str
) -> None:
    with pytest.raises(TypeError, match=text):
        add.apply_async(args, kwargs)
    assert sent() == []


@pytest.mark.parametrize(("args", "kwargs"), [("ab", {}), (7, {}), ((1,), [1])])
def test_arguments_of_other_types_are_refused(add: Task[..., Any], args: Any, kwargs: Any) -> None:
    with pytest.raises(TypeError, match="must be a"):
        add.apply_async(args, kwargs)


def test_typing_false_checks_nothing(app: Celery, sent: Callable[..., list[Delivery]]) -> None:
    @app.task(typing=False)
    def loose() -> None: ...

    loose.apply_async((1, 2, 3))
    assert body(sent()[0])[0] == [1, 2, 3]


def test_bound_tasks_do_not_count_themselves(app: Celery) -> None:
    @app.task(bind=True)
    def bound(self: Any, x: int) -> None: ...

    bound.delay(1)
    with pytest.raises(TypeError, match="takes 1 positional argument but 2 were given"):
        bound.apply_async((1, 2))


def test_countdown_becomes_an_eta_kept_by_the_broker(
    app: Celery, add: Task[..., Any], sent: Callable[..., list[Delivery]]
) -> None:
    published: list[Any] = []
    app.publisher.publish_many = lambda publications, **_: published.extend(publications)  # type: ignore[method-assign]
    before = time.time()
    add.apply_async((1,), countdown=10)
    (publication,) = published
    assert 9.5 < publication.not_before - before < 10 + SLACK
    eta = datetime.fromisoformat(publication.message.headers["eta"])
    assert eta.utcoffset() == timedelta(0)
    assert eta.timestamp() == pytest.approx(publication.not_before)


def test_a_naive_eta_is_utc(app: Celery, add: Task[..., Any]) -> None:
    published: list[Any] = []
    app.publisher.publish_many = lambda publications, **_: published.extend(publications)  # type: ignore[method-assign]
    add.apply_async((1,), eta=datetime(2030, 1, 2, 3))
    add.apply_async((1,), eta="2030-01-02T03:00:00")
    expected = datetime(2030, 1, 2, 3, tzinfo=UTC).timestamp()
    assert [p.not_before for p in published] == [expected, expected]
    assert published[0].message.headers["eta"] == "2030-01-02T03:00:00"


def test_an_eta_in_the_zone_of_the_app(app: Celery, add: Task[..., Any], sent: Callable[..., list[Delivery]]) -> None:
    app.conf.timezone = "Europe/Prague"
    add.apply_async((1,), expires=60)
    assert datetime.fromisoformat(sent()[0].message.headers["expires"]).utcoffset() != timedelta(0)


def test_countdown_out_of_range(add: Task[..., Any]) -> None:
    with pytest.raises(ValueError, match="out of range"):
        add.apply_async((1,), countdown=-(2**31) - 1)


def test_expires_is_a_header_and_a_property(add: Task[..., Any], sent: Callable[..., list[Delivery]]) -> None:
    add.apply_async((1,), expires=60)
    message = sent()[0].message
    assert message.properties["expiration"] == "60000"
    left = datetime.fromisoformat(message.headers["expires"]) - datetime.now(UTC)
    assert timedelta(seconds=60 - SLACK) < left <= timedelta(seconds=60)


def test_expires_in_the_past_warns(app: Celery, add: Task[..., Any]) -> None:
    published: list[Any] = []
    app.publisher.publish_many = lambda publications, **_: published.extend(publications)  # type: ignore[method-assign]
    with pytest.warns(RuntimeWarning, match="in the past"):
        add.apply_async((1,), expires=datetime.now(UTC) - timedelta(seconds=5))
    assert published[0].message.properties["expiration"] == "0"


def test_options_become_headers_and_properties(add: Task[..., Any], sent: Callable[..., list[Delivery]]) -> None:
    add.apply_async(
        (1,), task_id="id-1", queue="other", priority=3, shadow="short", headers={"tenant": "a"}, time_limit=9,
        soft_time_limit=5, reply_to="me", retries=2, group_id="g", group_index=4, root_id="r", parent_id="p",
        message_attributes={"k": "v"}, delivery_mode="transient", ignore_result=True, argsrepr="<hidden>",
    )  # fmt: skip
    (delivery,) = sent("other")
    headers, properties = delivery.message.headers, delivery.message.properties
    assert headers["id"] == "id-1"
    assert headers["shadow"] == "short"
    assert headers["tenant"] == "a"
    assert headers["timelimit"] == [9, 5]
    assert (headers["retries"], headers["group"], headers["group_index"]) == (2, "g", 4)
    assert (headers["root_id"], headers["parent_id"]) == ("r", "p")
    assert headers["argsrepr"] == "<hidden>"
    assert headers["ignore_result"] is True
    assert properties == {
        "correlation_id": "id-1", "reply_to": "me", "delivery_mode": 1, "priority": 3, "message_attributes": {"k": "v"},
    }  # fmt: skip


def test_soft_limit_beyond_the_hard_one_is_refused(add: Task[..., Any]) -> None:
    with pytest.raises(ValueError, match="must not exceed"):
        add.apply_async((1,), time_limit=1, soft_time_limit=2)


@pytest.mark.parametrize("limits", [{"time_limit": "x"}, {"soft_time_limit": [1]}, {"time_limit": True}])
def test_limits_that_are_no_numbers_are_refused_with_the_call_and_with_the_declaration(
    app: Celery, add: Task[..., Any], limits: dict[str, Any]
) -> None:
    (name,) = limits
    with pytest.raises(TypeError, match=f"^{name} of task 'proj.add' must be a number of seconds"):
        add.apply_async((1,), **limits)
    with pytest.raises(TypeError, match=f"^{name} of task 'proj.other' must be a number of seconds"):
        cast("Any", app).task(name="proj.other", **limits)(print)


def test_limits_that_make_no_sense_are_refused_with_the_declaration(app: Celery) -> None:
    with pytest.raises(ValueError, match="must not exceed"):
        app.task(name="proj.other", time_limit=1, soft_time_limit=2)(print)
    with pytest.raises(ValueError, match="not negative"):
        app.task(name="proj.other", time_limit=-1)(print)


@pytest.mark.parametrize(("name", "error"), [("", ValueError), (None, TypeError), (7, TypeError)])
def test_calls_need_the_name_of_a_task(app: Celery, name: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="give the name of a task"):
        app.send_task(name)


@pytest.mark.parametrize("option", ["router", "immediate"])
def test_unsupported_options_are_named(add: Task[..., Any], option: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=option):
        add.apply_async((1,), **{option: cast("Any", object())})


def test_links_are_embedded(add: Task[..., Any], sent: Callable[..., list[Delivery]]) -> None:
    add.apply_async((1,), link=add.s(2), link_error=[add.si(3)])
    embed = body(sent()[0])[2]
    assert embed["callbacks"] == [
        {"task": "proj.add", "args": [2], "kwargs": {}, "options": {}, "subtask_type": None, "immutable": False}
    ]
    assert embed["errbacks"][0]["immutable"] is True


def test_compression(add: Task[..., Any], sent: Callable[..., list[Delivery]]) -> None:
    add.apply_async((1,), compression="gzip")
    message = sent()[0].message
    assert message.headers["compression"] == "application/x-gzip"
    assert json.loads(zlib.decompress(message.body))[0] == [1]


def test_an_unknown_compression_is_named(add: Task[..., Any]) -> None:
    with pytest.raises(ImproperlyConfigured, match="squash"):
        add.apply_async((1,), compression="squash")


def test_serializer_option(add: Task[..., Any], sent: Callable[..., list[Delivery]]) -> None:
    add.apply_async((1,), serializer="pickle")
    message = sent()[0].message
    assert (message.content_type, message.content_encoding) == ("application/x-python-serialize", "binary")


def test_what_cannot_be_serialized_is_an_encode_error(add: Task[..., Any]) -> None:
    with pytest.raises(EncodeError):
        add.delay(object())


def test_protocol_1(app: Celery, add: Task[..., Any], sent: Callable[..., list[Delivery]]) -> None:
    app.conf.task_protocol = 1
    result = add.apply_async((1,), {"y": 2}, headers={"tenant": "a"})
    (delivery,) = sent()
    assert delivery.message.headers == {"tenant": "a"}
    assert body(delivery) == {
        "task": "proj.add", "id": result.id, "args": [1], "kwargs": {"y": 2}, "group": None, "group_index": None,
        "retries": 0, "eta": None, "expires": None, "utc": True, "callbacks": None, "errbacks": None,
        "timelimit": [None, None], "taskset": None, "chord": None,
    }  # fmt: skip


def test_a_call_inside_a_task_knows_its_parent(add: Task[..., Any], sent: Callable[..., list[Delivery]]) -> None:
    request = Context(id="parent", root_id="root", called_directly=False)
    token = push_task(add, request)
    try:
        result = add.delay(1)
        add.apply_async((2,), add_to_parent=False)
    finally:
        pop_task(token)
    headers = sent()[0].message.headers
    assert (headers["root_id"], headers["parent_id"]) == ("root", "parent")
    assert request.children == [result]


def test_a_task_without_trail_records_no_children(app: Celery, add: Task[..., Any]) -> None:
    add.trail = False
    request = Context(id="parent", called_directly=False)
    token = push_task(add, request)
    try:
        add.delay(1)
    finally:
        pop_task(token)
    assert request.children == []


def test_priority_is_inherited_when_asked_for(
    app: Celery, add: Task[..., Any], sent: Callable[..., list[Delivery]]
) -> None:
    app.conf.task_inherit_parent_priority = True
    request = Context(id="parent", called_directly=False, delivery_info={"priority": 7})
    token = push_task(add, request)
    try:
        add.delay(1)
        add.apply_async((1,), priority=2)
    finally:
        pop_task(token)
    assert sorted(d.message.properties["priority"] for d in sent()) == [2, 7]


def test_settings_changed_later_take_effect(
    app: Celery, add: Task[..., Any], sent: Callable[..., list[Delivery]]
) -> None:
    add.delay(1)
    sent()
    app.conf.task_default_queue = "changed"
    app.conf.task_default_priority = 4
    add.delay(1)
    (delivery,) = sent("changed")
    assert delivery.message.properties["priority"] == 4


def test_task_attributes_changed_later_take_effect(add: Task[..., Any], sent: Callable[..., list[Delivery]]) -> None:
    add.delay(1)
    sent()
    add.serializer = "pickle"
    add.queue = "mine"
    add.delay(1)
    assert sent("mine")[0].message.content_type == "application/x-python-serialize"


def test_send_task_needs_no_registration(app: Celery, sent: Callable[..., list[Delivery]]) -> None:
    result = app.send_task("elsewhere.do", (1,), {"a": 2}, queue="there")
    (delivery,) = sent("there")
    assert delivery.message.headers["task"] == "elsewhere.do"
    assert delivery.message.headers["ignore_result"] is None
    assert isinstance(result, AsyncResult)


def test_send_task_takes_the_options_of_a_registered_task(app: Celery, sent: Callable[..., list[Delivery]]) -> None:
    @app.task(name="proj.slow", queue="slow")
    def slow() -> None: ...

    app.send_task("proj.slow")
    assert len(sent("slow")) == 1


def test_send_task_is_never_eager(app: Celery, sent: Callable[..., list[Delivery]]) -> None:
    app.conf.task_always_eager = True
    with pytest.warns(AlwaysEagerIgnored):
        app.send_task("elsewhere.do")
    assert len(sent()) == 1


def test_always_eager_runs_in_place(app: Celery, add: Task[..., Any], sent: Callable[..., list[Delivery]]) -> None:
    app.conf.task_always_eager = True
    result = add.delay(1, 2)
    assert isinstance(result, EagerResult)
    assert result.get() == 3
    assert sent() == []


def test_always_eager_passes_arguments_through_the_serializer(app: Celery) -> None:
    @app.task
    def kind(x: Any) -> str:
        return type(x).__name__

    app.conf.task_always_eager = True
    assert kind.delay((1, 2)).get() == "list"


def test_ignored_results_return_at_once(app: Celery, sent: Callable[..., list[Delivery]]) -> None:
    @app.task(ignore_result=True)
    def quiet() -> None: ...

    assert quiet.delay().get() is None
    assert sent()[0].message.headers["ignore_result"] is True


def test_before_publish_receivers_may_change_the_message(
    add: Task[..., Any], sent: Callable[..., list[Delivery]]
) -> None:
    seen: dict[str, Any] = {}

    def receive(sender: Any, headers: Any, properties: Any, body: Any, **rest: Any) -> None:
        headers["trace"] = "t-1"
        properties["priority"] = 5
        seen.update(rest, body=body, sender=sender)

    signals.before_task_publish.connect(receive, sender="proj.add")
    try:
        add.delay(1)
    finally:
        signals.before_task_publish.disconnect(receive, sender="proj.add")
    message = sent()[0].message
    assert message.headers["trace"] == "t-1"
    assert message.properties["priority"] == 5
    assert (seen["sender"], seen["exchange"], seen["routing_key"]) == ("proj.add", "", "celery")
    assert seen["body"][0] == (1,)
    assert [queue.name for queue in seen["declare"]] == ["celery"]


def test_after_publish_is_announced(add: Task[..., Any]) -> None:
    seen: list[Any] = []

    def receive(sender: Any, headers: Any, body: Any, routing_key: Any, **_: Any) -> None:
        seen.append((sender, headers["id"], body[0], routing_key))

    signals.after_task_publish.connect(receive)
    try:
        result = add.delay(1)
    finally:
        signals.after_task_publish.disconnect(receive)
    assert seen == [("proj.add", result.id, (1,), "celery")]


def test_publish_many_takes_a_generator(app: Celery, add: Task[..., Any], sent: Callable[..., list[Delivery]]) -> None:
    results = app.publish_many((add.s(i) for i in range(25)), chunk=10)
    deliveries = sent()
    assert [body(d)[0] for d in deliveries] == [[i] for i in range(25)]
    assert [r.id for r in results] == [d.message.headers["id"] for d in deliveries]


def test_publish_many_reads_ahead_by_two_chunks_only(app: Celery, add: Task[..., Any]) -> None:
    taken = 0

    def calls() -> Any:
        nonlocal taken
        for i in range(100):
            taken += 1
            yield add.s(i)

    seen: list[int] = []
    publish = app.publisher.publish_many

    def spy(publications: Any, **options: Any) -> None:
        seen.append(taken)
        publish(publications, **options)

    app.publisher.publish_many = spy  # type: ignore[method-assign]
    assert app.publish_many(calls(), chunk=10, results=False) == 100
    # While one chunk is published, another waits, and a third is made.
    assert all(10 * number <= count <= 10 * (number + 2) for number, count in enumerate(seen, start=1))


def test_publish_many_publishes_nothing_after_a_chunk_that_failed(
    app: Celery, add: Task[..., Any], sent: Callable[..., list[Delivery]]
) -> None:
    publish, tried = app.publisher.publish_many, []

    def fail_at_the_second(publications: Any, **options: Any) -> None:
        tried.append(len(publications))
        if len(tried) == 2:
            raise OperationalError("no more")
        publish(publications, **options)

    app.publisher.publish_many = fail_at_the_second  # type: ignore[method-assign]
    with pytest.raises(OperationalError, match="no more"):
        app.publish_many((add.s(i) for i in range(100)), chunk=10)
    assert tried == [10, 10]
    assert [body(d)[0] for d in sent()] == [[i] for i in range(10)]


def test_publish_many_honours_options_of_each(
    app: Celery, add: Task[..., Any], sent: Callable[..., list[Delivery]]
) -> None:
    app.publish_many([add.s(1).set(queue="q1", task_id="a"), dict(add.s(2).set(priority=9))], results=False)
    assert sent("q1")[0].message.headers["id"] == "a"
    assert sent()[0].message.properties["priority"] == 9


def test_publish_many_checks_arguments(app: Celery, add: Task[..., Any], sent: Callable[..., list[Delivery]]) -> None:
    with pytest.raises(TypeError, match="3 were given"):
        app.publish_many([add.s(1, 2, 3)])
    assert sent() == []


def test_routers_see_the_arguments(app: Celery, add: Task[..., Any], sent: Callable[..., list[Delivery]]) -> None:
    def route(name: str, args: Any, kwargs: Any, options: Any, task: Any = None, **_: Any) -> Any:
        return {"queue": "big", "priority": 6, "serializer": "pickle"} if args and args[0] > 10 else None

    app.conf.task_routes = (route,)
    add.delay(1)
    add.delay(11)
    assert len(sent()) == 1
    message = sent("big")[0].message
    assert message.properties["priority"] == 6
    assert message.content_type == "application/x-python-serialize"


def test_shadow_name_hook(app: Celery, sent: Callable[..., list[Delivery]]) -> None:
    class Named(app.Task):  # type: ignore[misc, name-defined]
        def shadow_name(self, args: Any, kwargs: Any, options: Any) -> str:
            return f"call-{args[0]}"

    @app.task(base=Named)
    def work(x: int) -> None: ...

    work.delay(1)
    work.delay(2)
    assert [d.message.headers["shadow"] for d in sent()] == ["call-1", "call-2"]


@pytest.mark.parametrize(
    "options",
    [
        {"task_id": "i", "reply_to": "r"},
        {"group_id": "g", "group_index": 0},
        {"root_id": "a", "parent_id": "b", "add_to_parent": False},
        {"chain": [], "chord": {"task": "x"}},
    ],
)
def test_options_about_the_place_in_a_workflow_are_resolved_as_all_others(
    add: Task[..., Any], options: dict[str, Any]
) -> None:
    task: Any = add
    quick, _, _ = task.resolved_call((1,), {}, options)
    full = resolve_options(task.app, task.name, task, {**task.execution_options(), **options})
    assert quick._replace(template=quick.template._replace(form=None)) == full
    assert list(quick.template.headers) == list(full.template.headers)


def test_tracebacks_begin_in_the_code_of_the_user(app: Celery) -> None:
    @app.task
    def fail() -> None:
        raise ValueError("bad")

    lines = str(fail.apply().traceback).splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert __file__ in lines[1]
    assert lines[-1] == "ValueError: bad"


def test_run_times_are_logged_as_plain_decimals(app: Celery, caplog: pytest.LogCaptureFixture) -> None:
    @app.task
    def quick() -> int:
        return 1

    with caplog.at_level("INFO", "celeriac"):
        quick.apply()
    assert re.search(r"succeeded in \d+\.\d{6}s: 1$", caplog.text, re.MULTILINE)


def test_the_current_worker_task_is_not_one_that_another_called_in_place() -> None:
    with Celery("nested", broker="memory://", set_as_current=False) as app:

        @app.task(name="inner", shared=False)
        def inner() -> tuple[str, str]:
            return app.current_task.name, app.current_worker_task.name

        @app.task(name="outer", shared=False)
        def outer() -> tuple[str, str]:
            names: tuple[str, str] = inner()
            return names

        assert outer.apply().get() == ("inner", "outer")
        assert app.current_worker_task is None
