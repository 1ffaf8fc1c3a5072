"""Workflows that a client of either library makes, and what they come to.

What a task's links and errbacks do they write into the ledger, under the key ``<key>/<name of the workflow>``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tests.interop.talk import PATIENCE
from tests.interop.tasks import LIBRARY, app, library

if TYPE_CHECKING:
    from collections.abc import Callable

canvas: Any = importlib.import_module(f"{LIBRARY}.canvas")
group, chain, chord = library.group, library.chain, library.chord


class Makers:
    """Signatures of tasks in a queue."""

    def __init__(self, queue: str, key: str) -> None:
        self.queue = queue
        self.key = key

    def __call__(self, task: str, *args: Any, **kwargs: Any) -> Any:
        return app.tasks[f"tests.interop.tasks.{task}"].s(*args, **kwargs).set(queue=self.queue)

    def noted(self, *args: Any) -> Any:
        """Writes its argument down."""
        return self("noted", *args, key=self.key)

    def told(self) -> Any:
        """An errback that is sent."""
        return self("told", key=self.key)


def linked(sig: Any, callback: Any) -> Any:
    """The first signature with a link."""
    sig.link(callback)
    return sig


def with_errback(sig: Any, errback: Any) -> Any:
    """The first signature with an errback."""
    sig.link_error(errback)
    return sig


def stamped(sig: Any, **stamps: Any) -> Any:
    """The signature with stamps."""
    sig.stamp(**stamps)
    return sig


class ByKind(canvas.StampingVisitor):  # type: ignore[misc]
    """Stamps links otherwise than tasks."""

    def on_signature(self, sig: Any, **headers: Any) -> dict[str, Any]:
        return {"number": 7, "stamped_headers": ["number"]}

    def on_callback(self, callback: Any, **headers: Any) -> dict[str, Any]:
        return {"linked": True}


#: Name: what makes it, what it comes to, and what its links write down.
WORKFLOWS: dict[str, tuple[Callable[[Makers], Any], Any, list[Any]]] = {
    "link": (lambda s: linked(s("add", 1, 1), s.noted()), 2, [2]),
    "link to a chain": (lambda s: linked(s("add", 1, 1), s("add", 1) | s.noted()), 2, [3]),
    "link to a group": (lambda s: linked(s("add", 1, 1), group(s.noted(), s.noted())), 2, [2, 2]),
    "link of a chain": (lambda s: linked(s("add", 1, 1) | s("add", 1), s.noted()), 3, [3]),
    "link of a chord": (lambda s: linked(chord([s("add", 1, 1), s("add", 2, 2)], s("total")), s.noted()), 6, [6]),
    "partial and immutable": (lambda s: s("add", 1, 1) | s("add", 5, 5).set(immutable=True) | s("add", 1), 11, []),
    "chunks": (
        lambda s: group(
            part.set(queue=s.queue) for part in s("add").type.chunks([(1, 1), (2, 2), (3, 3)], 2).group().tasks
        ) | s("echo"),
        [[2, 4], [6]], [],
    ),
    "group after a chord": (
        lambda s: group(s("add", 1, 1), s("add", 2, 2)) | s("total") | group(s("add", 1), s("add", 2)) | s("echo"),
        [7, 8], [],
    ),
    "body that is a group": (
        lambda s: chord([s("add", 1, 1), s("add", 2, 2)], group(s("total"), s("echo"))), [6, [2, 4]], []
    ),
    "chord in a chord in a chain": (
        lambda s: s("add", 1, 1) | chord([chord([s("add", 1), s("add", 2)], s("total")), s("add", 0)], s("echo")),
        [7, 2], [],
    ),
    "replaced": (lambda s: s("replaced", s("add", 1, 1)), 2, []),
    "replaced by a chain in a chain": (
        lambda s: s("add", 1, 1) | s("replaced", s("add", 3, 3) | s("double")).set(immutable=True) | s("add", 1), 13, []
    ),
    "replaced by a group in a chain": (
        lambda s: chain(s("replaced", group(s("add", 1, 1), s("add", 2, 2))), s("total")), 6, []
    ),
    "replaced in a chord": (
        lambda s: chord([s("replaced", s("add", 1, 1) | s("double")), s("add", 2, 2)], s("echo")), [4, 4], []
    ),
    "link of a replaced task": (lambda s: linked(s("replaced", s("add", 1, 1)), s.noted()), 2, [2]),
    "stamped": (
        lambda s: stamped(linked(s("stamps"), s("stamps", key=s.key)), tenant="t"), {"tenant": "t"}, [{"tenant": "t"}]
    ),
    "stamped chain into a chord": (
        lambda s: stamped(s("add", 1, 1) | group(s("stamps"), s("stamps")) | s("echo"), tenant="t"),
        [{"tenant": "t"}] * 2, [],
    ),
    "stamped by a visitor": (
        lambda s: stamped(linked(s("stamps"), s("stamps", key=s.key)), visitor=ByKind()),
        {"number": 7}, [{"number": 7, "linked": True}],
    ),
    "stamped and replaced": (lambda s: stamped(s("replaced", s("stamps")), tenant="t"), {"tenant": "t"}, []),
    "errback": (lambda s: with_errback(s("fail", "KeyError"), s.told()), "KeyError", ["told"]),
    "errback of a chain": (
        lambda s: with_errback(s("add", 1, 1) | s("fail", "KeyError").set(immutable=True) | s("double"), s.told()),
        "KeyError", ["told"],
    ),
    "errback of a group": (
        lambda s: with_errback(group(s("fail", "KeyError"), s("add", 1, 1), s("fail", "KeyError")), s.told()),
        ["KeyError", 2, "KeyError"], ["told", "told"],
    ),
    "errback of a chord": (
        lambda s: chord([s("fail", "KeyError"), s("add", 1, 1)], with_errback(s("total"), s.told())),
        "ChordError", ["told"],
    ),
    "errback of a body": (
        lambda s: chord([s("add", 1, 1)], with_errback(s("fail", "KeyError").set(immutable=True), s.told())),
        "KeyError", ["told"],
    ),
    "errback of a replaced task": (
        lambda s: with_errback(s("replaced", s("fail", "KeyError")), s.told()), "KeyError", ["told"]
    ),
}  # fmt: skip


#: Those that workers of Celery cannot do: one sends the step that collects the group to the default queue, and gives a
#: replacement none of its stamps.
NOT_IN_CELERY = frozenset({"replaced by a group in a chain", "stamped and replaced"})


def values(names: list[str], queue: str, key: str) -> dict[str, Any]:
    """What some of them come to, in workers of a queue."""
    results = {name: WORKFLOWS[name][0](Makers(queue, f"{key}/{name}")).apply_async() for name in names}
    return {name: value_of(result) for name, result in results.items()}


def value_of(result: Any) -> Any:
    """The value of a result, or the name of its error."""
    if hasattr(result, "results"):
        return [value_of(each) for each in result.results]
    value = result.get(timeout=PATIENCE, propagate=False)
    return type(value).__name__ if isinstance(value, BaseException) else value
