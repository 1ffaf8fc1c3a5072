"""Workflows as plain data, what they come to, and the signatures that are made of them.

`expected` is a model of what the documentation says about workflows, in terms of values alone: no messages, ids or
results.  Every task returns its tag and the arguments it got, so that a value tells how it came about.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field, fields, replace
from itertools import count
from typing import TYPE_CHECKING, Any, Literal

from hypothesis import strategies as st

from celeriac import chain, chord, group, signature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celeriac import Celery

Kind = Literal["step", "retried", "fails", "replaced", "map", "starmap", "collected", "chain", "group", "chord"]

#: Exceptions that tasks raise.
ERRORS: dict[str, type[Exception]] = {"ValueError": ValueError, "KeyError": KeyError, "OSError": OSError}


@dataclass(frozen=True, repr=False)
class Plan:
    """A workflow.

    Attributes:
        kind: What it is; ``step``, ``retried``, ``fails`` and ``replaced`` are tasks.
        tag: Tells it from all others.
        args: Arguments of a task.
        immutable: The task ignores what it is called with.
        error: Name of the exception of a task that fails.
        parts: Steps of a chain, members of a group or of the header of a chord, the replacement of a task.
        body: Of a chord.
        links: Called with its result.
        errbacks: Tags of the errbacks called when it fails.
        piped: A chain is made with ``|`` instead of ``chain()``.
        by_wire: Its signature is written to JSON and read back.
    """

    kind: Kind
    tag: str = ""
    args: tuple[int, ...] = ()
    immutable: bool = False
    error: str = ""
    parts: tuple[Plan, ...] = ()
    body: Plan | None = None
    links: tuple[Plan, ...] = ()
    errbacks: tuple[str, ...] = ()
    piped: bool = False
    by_wire: bool = False

    def __repr__(self) -> str:
        told = ((each.name, getattr(self, each.name), each.default) for each in fields(self))
        return f"Plan({', '.join(f'{name}={value!r}' for name, value, default in told if value != default)})"


# ------------------------------------------------------------------------------------------------ signatures


def build(app: Celery, plan: Plan, key: str) -> Any:
    """The signature of a plan.

    Args:
        app: Application with the tasks of `tests.support.flow_app`.
        plan: The plan.
        key: Marks what its tasks write down.
    """
    sig = _bare(app, plan, key)
    for link in plan.links:
        sig.link(build(app, link, key))
    for tag in plan.errbacks:
        sig.link_error(app.tasks["errback"].s(tag=tag, key=key))
    return signature(json.loads(json.dumps(sig)), app=app) if plan.by_wire else sig


def _bare(app: Celery, plan: Plan, key: str) -> Any:
    parts = [build(app, part, key) for part in plan.parts]
    if plan.kind == "chain":
        if not plan.piped:
            return chain(*parts)
        joined = parts[0]
        for part in parts[1:]:
            joined = joined | part
        return joined
    if plan.kind == "group":
        return group(parts, app=app)
    if plan.kind == "chord":
        assert plan.body is not None
        return chord(parts, build(app, plan.body, key), app=app)
    if plan.kind in ("map", "starmap"):
        items: list[Any] = [list(plan.args)] * 2 if plan.kind == "starmap" else list(plan.args)
        plain = app.tasks["plain"]
        return plain.map(items) if plan.kind == "map" else plain.starmap(items)
    own: dict[str, Any] = {"tag": plan.tag, "key": key}
    if plan.kind == "fails":
        own["error"] = plan.error
    if plan.kind == "replaced":
        own["by"] = parts[0]
    made = app.tasks[plan.kind].s(*plan.args, **own)
    return made.set(immutable=True) if plan.immutable else made


# ------------------------------------------------------------------------------------------------ the model


@dataclass(frozen=True)
class Failed:
    """A task that failed, or was not run because of one that did; the name of that one's exception."""

    error: str


@dataclass(frozen=True)
class Many:
    """The end of a group."""

    ends: tuple[Any, ...]


@dataclass
class Expected:
    """What a workflow comes to.

    Attributes:
        end: A value, `Failed`, or `Many`.
        ran: How often tasks of each tag run to their end, or errbacks are called.
        errors: Names of the exceptions that are raised on the way.
    """

    end: Any = None
    ran: Counter[str] = field(default_factory=Counter)
    errors: set[str] = field(default_factory=set)


def expected(plan: Plan, args: tuple[Any, ...] = ()) -> Expected:
    """What a plan that is called with these arguments comes to."""
    found = Expected()
    found.end = _end(_settled(plan), args, found)
    return found


def _settled(plan: Plan) -> Plan:
    """The plan with the links and errbacks of workflows where they take effect, groups flat and chains unnested."""
    parts = tuple(_settled(part) for part in plan.parts)
    body = _settled(plan.body) if plan.body is not None else None
    if plan.kind in ("group", "chord"):
        parts = tuple(each for part in parts for each in (part.parts if part.kind == "group" else (part,)))
    if plan.kind == "chord" or plan.kind == "replaced":
        parts = tuple(_as_one(part) for part in parts)
    if plan.kind == "chain" and len(parts) > 1:
        parts = _joined(parts, piped=plan.piped)
    bare = replace(plan, parts=parts, body=body, links=(), errbacks=())
    if plan.kind not in ("group", "chord", "chain"):
        return replace(bare, links=tuple(map(_settled, plan.links)), errbacks=plan.errbacks)
    for link in plan.links:
        bare = _linked(bare, _settled(link))
    for tag in plan.errbacks:
        bare = _with_errback(bare, tag)
    return bare


def _joined(parts: tuple[Plan, ...], *, piped: bool) -> tuple[Plan, ...]:
    """The steps of a chain; a group of one task is that task, unless ``|`` begins with it, or a group alone does."""
    steps: list[Plan] = []
    for number, part in enumerate(parts):
        inner = part.parts if part.kind == "chain" else (part,)
        for step in inner:
            is_one = step.kind == "group" and len(step.parts) == 1 and step is inner[-1]
            is_body = len(steps) == 1 and steps[0].kind == "group" and (not piped or steps[0] is parts[0])
            steps.append(step.parts[0] if is_one and not is_body and not (piped and number == 0) else step)
    return tuple(each for step in steps for each in (step.parts if step.kind == "chain" else (step,)))


def _as_one(plan: Plan) -> Plan:
    """With a last step that makes one list of the results of a group."""
    if not _is_many(plan):
        return plan
    steps = plan.parts if plan.kind == "chain" else (plan,)
    return Plan("chain", parts=(*steps, Plan("collected")))


def _linked(plan: Plan, link: Plan) -> Plan:
    if plan.kind == "chain":
        return replace(plan, parts=(*plan.parts[:-1], _linked(plan.parts[-1], link)))
    if plan.kind == "group":
        return replace(plan, parts=(_linked(plan.parts[0], replace(link, immutable=True)), *plan.parts[1:]))
    if plan.kind == "chord":
        assert plan.body is not None
        return replace(plan, body=_linked(plan.body, link))
    return replace(plan, links=(*plan.links, link))


def _with_errback(plan: Plan, tag: str, *, is_header: bool = False) -> Plan:
    """With an errback; a group that something follows is the header of a chord, and has none of it."""
    if plan.kind == "chain":
        *most, last = plan.parts
        parts = [_with_errback(part, tag, is_header=True) for part in most]
        return replace(plan, parts=(*parts, _with_errback(last, tag, is_header=is_header)))
    if plan.kind == "group":
        return plan if is_header else replace(plan, parts=tuple(_with_errback(part, tag) for part in plan.parts))
    if plan.kind == "chord":
        assert plan.body is not None
        return replace(plan, body=_with_errback(plan.body, tag, is_header=is_header))
    return replace(plan, errbacks=(*plan.errbacks, tag))


def _end(plan: Plan, args: tuple[Any, ...], found: Expected, later: tuple[Plan, ...] = ()) -> Any:
    """The end of a plan; ``later`` are the steps behind it, which make a header of a group at its end."""
    if plan.kind == "chain":
        return _end_of_steps(plan.parts, args, found, later)
    if plan.kind == "group":
        members = () if plan.immutable else args
        ends = tuple(_end(part, members, found) for part in plan.parts)
        return ends[0] if len(ends) == 1 and isinstance(ends[0], Many) else Many(ends)
    if plan.kind == "chord":
        assert plan.body is not None
        header = Many(tuple(_end(part, () if plan.immutable else args, found) for part in plan.parts))
        return _end_of_steps((plan.body,), header, found, later)
    return _end_of_task(plan, args, found)


def _end_of_steps(steps: tuple[Plan, ...], before: Any, found: Expected, later: tuple[Plan, ...]) -> Any:
    """The end of a chain; ``before`` are its arguments, or the end of the header of which it is the body."""
    end = before
    for number, step in enumerate(steps):
        if isinstance(end, Many):
            values = _values(end)
            if isinstance(values, Failed):
                # The body of a chord does not run, and its errbacks are told.
                found.ran.update(_told((*steps[number:], *later)))
                return _unrun(steps[-1], values)
            end = (values,)
        end = _end(step, end, found, (*steps[number + 1 :], *later))
        if number + 1 == len(steps):
            break
        if isinstance(end, Failed):
            return _unrun(steps[-1], end)
        if not isinstance(end, Many):
            end = (end,)
    return end


def _values(end: Any) -> Any:
    """The value of an end, lists for groups; or the first failure."""
    if not isinstance(end, Many):
        return end
    values = [_values(each) for each in end.ends]
    return next((value for value in values if isinstance(value, Failed)), values)


def _told(steps: tuple[Plan, ...]) -> list[str]:
    """Errbacks of what would have run first."""
    first, *rest = steps
    if first.kind == "chain":
        return _told((*first.parts, *rest))
    if first.kind == "chord":
        assert first.body is not None
        return _told((first.body, *rest))
    if first.kind == "group":
        # With something behind it, it is a chord's header.
        return _told(tuple(rest)) if rest else [tag for part in first.parts for tag in _told((part,))]
    return list(first.errbacks)


def _unrun(plan: Plan, failure: Failed) -> Any:
    """The end of what does not run."""
    if plan.kind == "chain":
        return _unrun(plan.parts[-1], failure)
    if plan.kind == "chord":
        assert plan.body is not None
        return _unrun(plan.body, failure)
    if plan.kind == "group":
        ends = tuple(_unrun(part, failure) for part in plan.parts)
        return ends[0] if len(ends) == 1 and isinstance(ends[0], Many) else Many(ends)
    return failure


def _end_of_task(plan: Plan, args: tuple[Any, ...], found: Expected) -> Any:
    given = plan.args if plan.immutable else (*args, *plan.args)
    if plan.kind == "replaced":
        found.ran[plan.tag] += 1
        return _end(_in_place_of(plan), given, found)
    if plan.kind == "fails":
        found.ran.update([plan.tag, *plan.errbacks])
        found.errors.add(plan.error)
        return Failed(plan.error)
    if plan.kind == "collected":
        (value,) = given
    elif plan.kind == "map":
        value = [["plain", item] for item in plan.args]
    elif plan.kind == "starmap":
        value = [["plain", *plan.args]] * 2
    else:
        found.ran[plan.tag] += 1
        value = [plan.tag, *given]
    for link in plan.links:
        _end(link, (value,), found)
    return value


def _in_place_of(plan: Plan) -> Plan:
    """The replacement of a task, with its links and errbacks."""
    (by,) = plan.parts
    for link in plan.links:
        by = _linked(by, link)
    for tag in plan.errbacks:
        by = _with_errback(by, tag)
    return by


def _is_many(plan: Plan) -> bool:
    if plan.kind == "chain":
        return _is_many(plan.parts[-1])
    return plan.kind == "group" or (plan.kind == "chord" and plan.body is not None and _is_many(plan.body))


# ------------------------------------------------------------------------------------------------ what it came to


def end_of(result: Any, timeout: float) -> Any:
    """The end of a workflow that was called, as the model would say it; waits for all of it."""
    if hasattr(result, "results"):
        return Many(tuple(end_of(each, timeout) for each in result.results))
    value = result.get(timeout=timeout, propagate=False, follow_parents=False)
    return Failed(cause_of(value)) if isinstance(value, BaseException) else value


def cause_of(error: BaseException) -> str:
    """Name of an exception; that of a part which failed if it is a chord's."""
    name = type(error).__name__
    return re.findall(r"raised (\w+)\(", str(error))[-1] if name == "ChordError" else name


# ------------------------------------------------------------------------------------------------ random plans


def plans(size: int) -> st.SearchStrategy[Plan]:
    """Plans with up to about that many tasks."""
    return st.recursive(_task(), _workflow, max_leaves=size).map(_told_apart)


_numbers = st.lists(st.integers(0, 9), max_size=2).map(tuple)
_rarely = st.sampled_from([False, False, False, True])
_tasks: list[Kind] = ["step", "step", "step", "retried", "fails", "map", "starmap"]


@st.composite
def _task(draw: st.DrawFn) -> Plan:
    kind = draw(st.sampled_from(_tasks))
    error = draw(st.sampled_from(sorted(ERRORS))) if kind == "fails" else ""
    errbacks = ("",) if draw(_rarely) else ()
    link = Plan("step", args=draw(_numbers)) if draw(_rarely) else None
    return Plan(
        kind, args=draw(_numbers), immutable=draw(_rarely), error=error, links=(link,) if link else (),
        errbacks=errbacks, by_wire=draw(_rarely),
    )  # fmt: skip


@st.composite
def _workflow(draw: st.DrawFn, inner: st.SearchStrategy[Plan]) -> Plan:
    """A workflow of such plans, linked to such."""
    kind: Kind = draw(st.sampled_from(["chain", "chain", "group", "chord", "replaced"]))
    parts = st.lists(inner, min_size=1, max_size=1 if kind == "replaced" else 4)
    if kind in ("group", "chord"):
        # Groups of one group are left to other tests.
        parts = parts.filter(lambda some: len(some) > 1 or some[0].kind != "group")
    found = draw(parts)
    return Plan(
        kind, args=draw(_numbers) if kind == "replaced" else (), parts=tuple(found),
        body=draw(inner) if kind == "chord" else None,
        links=(draw(inner),) if draw(_rarely) else (), errbacks=("",) if draw(_rarely) else (),
        piped=kind == "chain" and len(found) > 1 and draw(st.booleans()), by_wire=draw(_rarely),
    )  # fmt: skip


def _told_apart(plan: Plan) -> Plan:
    """The plan, each of its tasks with a tag of its own."""
    return _numbered(plan, count(1))


def _numbered(plan: Plan, numbers: Iterator[int]) -> Plan:
    return replace(
        plan, tag=f"{plan.kind}{next(numbers)}",
        parts=tuple(_numbered(part, numbers) for part in plan.parts),
        body=None if plan.body is None else _numbered(plan.body, numbers),
        links=tuple(_numbered(link, numbers) for link in plan.links),
        errbacks=tuple(f"errback{next(numbers)}" for _ in plan.errbacks),
    )  # fmt: skip
