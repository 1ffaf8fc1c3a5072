"""Stamps; order of visits and forms as observed from Celery 5.7."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery, Signature, StampingVisitor, group, signature

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.canvas.conftest import Sent


class Recorder(StampingVisitor):
    """Stamps each part with what it is, and writes down the visits."""

    def __init__(self) -> None:
        self.log: list[tuple[str, list[str]]] = []

    def on_signature(self, sig: Signature, **headers: Any) -> dict[str, Any]:
        self.log.append(("signature", sorted(headers)))
        return {"number": len(self.log), "stamped_headers": ["number"], "shadow": "x"}

    def on_group_start(self, group: Signature, **headers: Any) -> dict[str, Any]:
        self.log.append(("group start", sorted(headers)))
        return {"in_group": True}

    def on_group_end(self, group: Signature, **headers: Any) -> None:
        self.log.append(("group end", sorted(headers)))

    def on_chain_start(self, chain: Signature, **headers: Any) -> dict[str, Any]:
        self.log.append(("chain start", sorted(headers)))
        return {"in_chain": True}

    def on_chain_end(self, chain: Signature, **headers: Any) -> None:
        self.log.append(("chain end", sorted(headers)))

    def on_callback(self, callback: Signature, **headers: Any) -> dict[str, Any]:
        self.log.append(("callback", sorted(headers)))
        return {"on_callback": True}

    def on_errback(self, errback: Signature, **headers: Any) -> dict[str, Any]:
        self.log.append(("errback", sorted(headers)))
        return {"on_errback": True}


@pytest.fixture
def s(app: Celery) -> Callable[..., Signature]:
    """Signatures of ``p.add``."""
    return app.tasks["p.add"].s


def test_stamps_are_options_named_in_a_list(s: Any) -> None:
    assert s(1).stamp(a="v", b=[1, 2]).options == {"a": "v", "b": [1, 2], "stamped_headers": ["a", "b"]}


def test_later_stamps_replace_or_append(s: Any) -> None:
    assert s(1).stamp(a="v").stamp(a="w", b="x").options == {"a": "w", "b": "x", "stamped_headers": ["a", "b"]}
    appended = s(1).stamp(a="v").stamp(a="w", append_stamps=True).stamp(a=["v", "x"], append_stamps=True)
    assert appended.options == {"a": ["v", "w", "x"], "stamped_headers": ["a"]}


def test_links_are_stamped_too(s: Any) -> None:
    sig = s(1).set(link=dict(s(2)), link_error=[s(3)]).stamp(a="v")
    stamped = {"a": "v", "stamped_headers": ["a"]}
    (link,), (errback,) = sig.options["link"], sig.options["link_error"]
    assert (link.options, errback.options) == (stamped, stamped)


def test_options_of_a_call_do_not_change_stamps(s: Any) -> None:
    assert s(1).stamp(a="v").clone(a="w", b=1).options == {"a": "v", "b": 1, "stamped_headers": ["a"]}


def test_visitor_sees_links_before_their_task(s: Any) -> None:
    visitor, sig = Recorder(), s(1)
    sig.link(s(2))
    sig.link_error(s(3))
    sig.stamp(visitor)
    assert visitor.log == [
        ("callback", []), ("signature", ["on_callback", "stamped_headers"]),
        ("errback", []), ("signature", ["on_errback", "stamped_headers"]),
        ("signature", []),
    ]  # fmt: skip
    assert sig.options["stamped_headers"] == ["number"]
    assert sig.options["shadow"] == "x"
    assert sig.options["link"][0].options["stamped_headers"] == ["on_callback", "number"]


def test_visitor_goes_through_chains_and_groups(s: Any) -> None:
    visitor = Recorder()
    whole = (s(1, 1) | group(s(2), s(3))).stamp(visitor, tenant="t")
    inside = ["in_chain", "stamped_headers", "tenant"]
    deeper = ["in_chain", "in_group", "stamped_headers", "tenant"]
    assert visitor.log == [
        ("chain start", ["tenant"]), ("signature", inside), ("group start", inside), ("signature", deeper),
        ("signature", deeper), ("group end", deeper), ("chain end", inside),
    ]  # fmt: skip
    names = [each.options["stamped_headers"] for each in (whole.tasks[0], *whole.tasks[1].tasks)]
    assert names == [["tenant", "in_chain", "number"], *[["tenant", "in_chain", "in_group", "number"]] * 2]
    assert whole.options == {}


def test_visitor_may_stamp_nothing(s: Any) -> None:
    class Nothing(StampingVisitor):
        def on_signature(self, sig: Signature, **headers: Any) -> None:
            return None

    assert s(1).stamp(Nothing()).options == {}
    with pytest.raises(TypeError, match="abstract"):
        StampingVisitor()  # type: ignore[abstract]


def test_stamps_travel_as_headers(s: Any, sent: Callable[[], Sent]) -> None:
    (s(1, 1) | s(2)).stamp(tenant="t", ids={7}).apply_async()
    ((headers, body),) = sent()
    assert headers["stamped_headers"] == ["tenant", "ids"]
    assert headers["stamps"] == {"tenant": "t", "ids": [7]}
    again = signature(body[2]["chain"][0])
    assert (again.options["tenant"], again.options["ids"]) == ("t", [7])


def test_stamps_of_an_eager_task_are_lists(app: Celery) -> None:
    @app.task(name="p.stamps", bind=True, shared=False)
    def stamps(self: Any) -> Any:
        return self.request.stamps

    assert stamps.s().stamp(a="v", b=[1, 2]).apply().get() == {"a": ["v"], "b": [1, 2]}
