from __future__ import annotations

import copy
import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery, Signature, chain, chord, group, maybe_signature, signature
from celeriac.serialization.serializers import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celeriac import Task


@pytest.fixture
def app(unique_name: str) -> Iterator[Celery]:
    with Celery("p", broker=f"memory://{unique_name}", backend="memory://") as app:
        yield app


@pytest.fixture
def add(app: Celery) -> Task[..., Any]:
    @app.task(name="p.add")
    def add(x: int, y: int, z: int = 0) -> int:
        return x + y + z

    return add


PLAIN: dict[str, Any] = {
    "task": "p.add",
    "args": [2, 2],
    "kwargs": {},
    "options": {},
    "subtask_type": None,
    "immutable": False,
}


def wire(value: Any) -> Any:
    return json.loads(registry.dumps(value, "json")[2])


def test_serialized_forms(add: Task[..., Any]) -> None:
    assert list(add.s(2, 2)) == list(PLAIN)
    assert wire(add.s(2, 2)) == PLAIN
    assert wire(add.si(2, 2)) == {**PLAIN, "immutable": True}
    assert wire(add.s(2, 2).set(countdown=3, queue="q"))["options"] == {"countdown": 3, "queue": "q"}
    assert wire(add.signature((2, 2), countdown=10))["options"] == {"countdown": 10}


def test_the_short_forms_make_what_the_long_one_makes(add: Task[..., Any]) -> None:
    short, long = add.s(2, y=2), Signature(add, (2,), {"y": 2}, app=add.app)
    assert (type(short), short, list(short), vars(short)) == (type(long), long, list(long), vars(long))
    assert add.signature([2], {"y": 2}, {"queue": "q"}) == add.signature(args=(2,), kwargs={"y": 2}, queue="q")
    assert add.signature([2], {"y": 2}) == short
    assert add.signature() == add.s() == Signature(add)


def test_frozen_form(app: Celery, add: Task[..., Any]) -> None:
    sig = add.s(2, 2)
    result = sig.freeze()
    assert sig.options == {"task_id": result.id, "reply_to": app.thread_oid}
    assert sig.freeze("other").id == result.id
    other = add.s(1)
    other.freeze("x", group_id="g", root_id="r", parent_id="p", group_index=0, chord={"task": "c"})
    assert other.options == {
        "task_id": "x", "reply_to": app.thread_oid, "group_id": "g", "root_id": "r", "parent_id": "p",
        "group_index": 0, "chord": {"task": "c"},
    }  # fmt: skip
    assert (other.id, other.root_id, other.parent_id) == ("x", "r", "p")


def test_partial_arguments_go_in_front(add: Task[..., Any]) -> None:
    sig = add.s(4, z=1)
    assert sig(2) == 7
    assert sig.apply((2,), {"z": 5}).get() == 11
    assert sig.clone((2,), {"z": 9}, queue="q") == {
        "task": "p.add", "args": (2, 4), "kwargs": {"z": 9}, "options": {"queue": "q"}, "subtask_type": None,
        "immutable": False,
    }  # fmt: skip


def test_immutable_signatures_ignore_arguments_but_not_options(add: Task[..., Any]) -> None:
    sig = add.si(1, 2)
    assert sig(9) == 3
    assert sig.clone((9,), queue="q").options == {"queue": "q"}


def test_clones_share_nothing(add: Task[..., Any]) -> None:
    sig = add.s(1, y=[1]).set(link=[{"task": "x"}])
    for other in (sig.clone(), copy.deepcopy(sig)):
        other.options["link"].append(1)
        other.kwargs["y"].append(2)
    assert sig.options == {"link": [{"task": "x"}]}
    assert sig.kwargs == {"y": [1]}


def test_replace_is_wholesale(add: Task[..., Any]) -> None:
    assert add.s(1).set(queue="q").replace(args=(5,), options={}).options == {}
    assert add.s(1).replace(args=(5,)).args == (5,)


def test_links_are_added_once(add: Task[..., Any]) -> None:
    sig, callback = add.s(1, 1), add.s(2)
    assert sig.link(callback) is callback
    sig.link(callback)
    assert sig.on_error(add.si(3, 3)) is sig
    assert len(sig.options["link"]) == len(sig.options["link_error"]) == 1
    callback.link(add.s(5))
    assert [s.args for s in sig.flatten_links()] == [(1, 1), (2,), (5,)]


def test_rebuilding(app: Celery, add: Task[..., Any]) -> None:
    sig = signature(PLAIN)
    assert isinstance(sig, Signature)
    assert sig.type is add
    assert sig() == 4
    assert signature(sig) == sig
    assert signature(sig) is not sig
    assert signature("p.add", args=(1, 2)).apply().get() == 3
    assert signature(add, (1, 2)).name == "p.add"
    assert pickle.loads(pickle.dumps(sig)) == sig


def test_maybe_signature(app: Celery) -> None:
    assert maybe_signature(None) is None
    sig = maybe_signature(PLAIN, app=app)
    assert sig.app is app
    assert maybe_signature(sig) is sig
    assert maybe_signature(sig, clone=True) is not sig


def test_unregistered_tasks_are_sent_by_name(app: Celery) -> None:
    result = signature("elsewhere.do", args=(1,), app=app).apply_async(queue="q", expires=None)
    session: Any = app.broker.connect()
    session.consume([app.queues.get_or_create("q")])
    assert session.fetch(limit=1, wait=0)[0].message.headers["id"] == result.id
    session.close()


def test_options_that_stay(add: Task[..., Any]) -> None:
    sig = add.s().set(group_id="g", stamp="a", stamped_headers=["stamp"])
    merged = sig.clone(group_id="h", stamp="b", stamped_headers=[], queue="q").options
    assert merged == {"group_id": "g", "stamp": "a", "stamped_headers": ["stamp"], "queue": "q"}


def test_custom_types() -> None:
    @Signature.register_type("custom")
    class Custom(Signature):
        @classmethod
        def from_dict(cls, d: Any, app: Any = None) -> Custom:
            return Custom(d, app=app)

    try:
        assert type(signature({**PLAIN, "subtask_type": "custom"})) is Custom
    finally:
        del Signature.TYPES["custom"]


def test_texts(add: Task[..., Any]) -> None:
    assert repr(add.s(2, y=3)) == "p.add(2, y=3)"
    assert add.s(2).reprcall(1) == "p.add(1, 2)"


def test_the_operator_of_chains_refuses_what_is_no_signature(add: Task[..., Any]) -> None:
    with pytest.raises(TypeError, match="only signatures can be joined"):
        add.s(1, 2) | dict(add.s(3))
    with pytest.raises(TypeError, match="only signatures can be joined"):
        dict(add.s(1, 2)) | add.s(3)
    with pytest.raises(TypeError, match="unsupported operand"):
        add.s(1, 2) | 3


def test_a_type_that_nobody_registered_is_refused() -> None:
    with pytest.raises(NotImplementedError, match=r"'spiral'.*not built yet; known are"):
        signature({"task": "p.spiral", "args": [], "kwargs": {}, "options": {}, "subtask_type": "spiral"})


@pytest.mark.parametrize("wrong", [5, "p.add"])
def test_what_is_no_signature_is_named(add: Task[..., Any], wrong: Any) -> None:
    makers: list[Callable[[], Any]] = [
        lambda: group(wrong), lambda: chain(add.s(1, 1), wrong), lambda: chord(wrong, add.s()),
        lambda: chord([add.s(1, 1)], wrong), lambda: chord([wrong], add.s()),
    ]  # fmt: skip
    for make in makers:
        with pytest.raises(TypeError, match=f"A signature is expected, got {wrong!r}"):
            make()


def test_a_task_in_place_of_its_signature_is_named(add: Task[..., Any]) -> None:
    with pytest.raises(TypeError, match=r"p\.add.*use task\.s"):
        group(add)


def test_a_signature_is_of_a_task_or_a_name() -> None:
    with pytest.raises(TypeError, match="got 5"):
        signature(5)


def test_options_that_are_lists(app: Celery) -> None:
    sig = app.signature("x.add")
    assert sig.append_to_list_option("link", "a") == sig.append_to_list_option("link", "a") == "a"
    sig.extend_list_option("link", ["b", "c"])
    sig.extend_list_option("link_error", "d")
    assert sig.options == {"link": ["a", "b", "c"], "link_error": ["d"]}


def test_a_signature_of_nothing_names_no_task(app: Celery) -> None:
    nothing = signature(None, app=app)
    assert (dict(nothing)["task"], repr(nothing)) == (None, "None()")
    with pytest.raises(TypeError, match=r"send_task\(None\)"):
        nothing.delay()


def test_election_says_that_nobody_is_elected(app: Celery) -> None:
    with pytest.raises(NotImplementedError, match="do not gossip"):
        app.signature("x.add").election()
