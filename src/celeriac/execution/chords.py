"""Joining chords: the end of each task of a header is recorded, and whoever records the last one sends the body.

The store takes "the last part is there" and "the body is due" in one step, and leases the body to the worker that was
last; when that dies, `conclude_overdue` of another takes over after the lease.  So a body may be published twice, but
each publication has a token of its own, and `may_begin` lets the tasks of one of them run.
"""

from __future__ import annotations

import contextvars
import logging
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from celeriac import states
from celeriac.backend.base import ChordPart, ChordProgress
from celeriac.current import Context
from celeriac.exceptions import (
    BackendStoreError,
    ChordError,
    EncodeError,
    GraphMissing,
    OperationalError,
    SerializationError,
)
from celeriac.execution import follow_up
from celeriac.execution.patience import patiently
from celeriac.execution.results import store_records
from celeriac.serialization.einfo import ExceptionInfo
from celeriac.serialization.serializers import pack
from celeriac.utils.dataclass import dataclass
from celeriac.utils.uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from celeriac.backend.base import ResultRecord
    from celeriac.current import AppLike

logger = logging.getLogger("celeriac.worker.chords")

#: Header of messages of which only one publication may run: ``[what it is, token of the publication]``.
ONCE: Final = "celeriac_once"


@dataclass
class EndedPart:
    """A task of a header that has ended.

    Attributes:
        app: The application.
        chord_id: Id of the group that is the header.
        index: Its place in that.
        record: Its result, as it was stored or would have been.
        body: The chord's body, as messages of the header carry it.
        root_id: First task of the workflow.
        priority: For the body to inherit, or None.
    """

    app: AppLike
    chord_id: str
    index: int | None
    record: ResultRecord
    body: Mapping[str, Any]
    root_id: str | None
    priority: int | None = None


def ended_part(app: AppLike, request: Context, record: ResultRecord) -> EndedPart | None:
    """What the end of a task means to a chord; None when it is in the header of none."""
    if not request.chord or not request.group:
        return None
    priority = follow_up.inherited_priority(app, request)
    return EndedPart(app, request.group, request.group_index, record, request.chord, request.root_id, priority)


def ended_rest(
    app: AppLike, chain: Any, exc: BaseException, traceback: str | None, root_id: str | None
) -> list[EndedPart]:
    """The same for the steps of a chain that will not run."""
    return [
        EndedPart(
            app, options["group_id"], options.get("group_index"), follow_up.failed(options, exc, traceback),
            options["chord"], root_id,
        )
        for options in follow_up.leaves(app, chain)
        if options.get("chord") and options.get("group_id")
    ]  # fmt: skip


def record_parts(parts: Sequence[EndedPart], stop_waiting: Callable[[], bool] = lambda: False) -> None:
    """Record ends of tasks, and conclude the chords that are complete by that.

    Raises:
        OperationalError: The store is still out of reach and ``stop_waiting`` says to give up.
    """
    by_chord: dict[str, list[EndedPart]] = {}
    for part in parts:
        by_chord.setdefault(part.chord_id, []).append(part)
    for chord_id, ended in by_chord.items():
        last = ended[-1]
        told = {
            "body": last.body, "root_id": last.root_id, "parent_id": last.record.task_id, "priority": last.priority,
        }  # fmt: skip
        if _add(chord_id, ended, told, stop_waiting):
            _conclude_apart(last.app, chord_id, told)


def _add(chord_id: str, ended: Sequence[EndedPart], told: Mapping[str, Any], stop_waiting: Callable[[], bool]) -> bool:
    """Record parts; whether the caller is to conclude the chord."""
    app = ended[0].app
    parts = [ChordPart(each.record.task_id, each.index, each.record.status, each.record.result) for each in ended]
    what = f"record {len(parts)} part(s) of chord {chord_id} in {app.backend.url}"

    def add() -> bool:
        add_parts, lease = app.backend.add_chord_parts, app.conf.broker_lease
        progress = add_parts(chord_id, parts, None, lease=lease)
        if progress is ChordProgress.BODY_WANTED:
            progress = add_parts(chord_id, parts, _packed(app, told), lease=lease)
        return progress is ChordProgress.COMPLETE

    try:
        return patiently(add, what, stop_waiting)
    except (SerializationError, BackendStoreError) as exc:
        if len(ended) > 1:
            # Whatever is wrong with one must not keep back the others.
            return max(_add(chord_id, [each], told, stop_waiting) for each in ended)
        error = EncodeError(f"{parts[0].result!r:.200} cannot be stored: {exc}")
        parts[0].state, parts[0].result = states.FAILURE, error
        return patiently(add, what, stop_waiting)


def conclude_overdue(app: AppLike) -> int:
    """Conclude chords that their worker left complete but unconcluded; returns how many."""
    if not app.backend.capabilities.chords:
        return 0
    found = app.backend.take_chords(lease=app.conf.broker_lease)
    for chord_id, body in found:
        logger.warning("Chord %s was complete but its body was not sent in time: sending it now", chord_id)
        _conclude_apart(app, chord_id, _unpacked(app, body))
    return len(found)


def _conclude_apart(app: AppLike, chord_id: str, told: Mapping[str, Any]) -> None:
    """Conclude a chord, not as part of whatever task happens to be running in this thread."""
    try:
        contextvars.Context().run(_conclude, app, chord_id, told)
    except OperationalError as exc:
        logger.error("Chord %s cannot be concluded now, a worker will try again: %s", chord_id, exc)
    except Exception:
        logger.exception("Chord %s cannot be concluded", chord_id)


def _conclude(app: AppLike, chord_id: str, told: Mapping[str, Any]) -> None:
    from celeriac.canvas import graphs

    backend = app.backend
    parts = backend.load_chord(chord_id)
    if parts is None:
        backend.close_chord(chord_id)
        return
    place = {key: told[key] for key in ("root_id", "parent_id", "priority") if told.get(key) is not None}
    try:
        body = graphs.body_of(app, told["body"])
    except (GraphMissing, NotImplementedError, SerializationError) as exc:
        fail_body(app, chord_id, told["body"], ChordError(f"The body cannot be read: {exc!r}"), place)
        backend.close_chord(chord_id)
        return
    failed = next((part for part in parts if part.state in states.PROPAGATE_STATES), None)
    if failed is None:
        conclude_with(app, chord_id, body, _arranged(app, chord_id, parts), place)
    else:
        error = ChordError(f"Dependency {failed.task_id} raised {failed.result!r}")
        error.__cause__ = failed.result if isinstance(failed.result, BaseException) else None
        fail_body(app, chord_id, body, error, place)
    backend.close_chord(chord_id)


def _arranged(app: AppLike, chord_id: str, parts: Sequence[ChordPart]) -> list[Any]:
    """The values for the body; in nested lists where a client of Celery saved that the header has groups in it."""
    saved = app.backend.load_group(chord_id)
    if saved is None:
        return [part.result for part in parts]
    values = {part.task_id: part.result for part in parts}

    def value(result: Any) -> Any:
        (task_id, _), members = result
        return values.get(task_id) if members is None else [value(member) for member in members]

    arranged: list[Any] = value(saved)
    return arranged


def conclude_joined(app: AppLike, request: Context, chord_id: str, body: Any, results: Sequence[Any]) -> None:
    """Conclude a chord from the results of its header, which are ready.

    Args:
        app: The application.
        request: Of the task that found them ready.
        chord_id: Id of the group that is the header.
        body: The body.
        results: Of the tasks of the header.
    """
    from celeriac.result import allow_join_result

    place = {"root_id": request.root_id, "parent_id": request.id}
    with allow_join_result():
        try:
            values = [each.get(timeout=app.conf.result_chord_join_timeout) for each in results]
        except Exception as exc:
            failed = next((each.id for each in _all_of(results) if each.failed()), None)
            reason = f"Join error: {exc!r}" if failed is None else f"Dependency {failed} raised {exc!r}"
            error = ChordError(reason)
            error.__cause__ = exc
            fail_body(app, chord_id, body, error, place)
            return
    conclude_with(app, chord_id, body, values, place)


def _all_of(results: Sequence[Any]) -> Iterator[Any]:
    for result in results:
        members = getattr(result, "results", None)
        yield from (result,) if members is None else _all_of(members)


def conclude_with(app: AppLike, chord_id: str, body: Any, values: list[Any], place: Mapping[str, Any]) -> None:
    """Send the body of a chord.

    Args:
        app: The application.
        chord_id: Id of the group that is the header.
        body: The body.
        values: Its first argument.
        place: ``root_id``, ``parent_id`` and ``priority``.
    """
    signature = _copy_of(body)
    signature._app = app
    _mark(signature, (f"{chord_id}/{number}" for number in count()), uuid4())
    try:
        signature.apply_async((values,), **place)
    except OperationalError:
        raise
    except Exception as exc:
        logger.exception("Chord %s: its body %s cannot be sent", chord_id, signature.get("task"))
        error = ChordError(f"Callback error: {exc!r}")
        error.__cause__ = exc
        fail_body(app, chord_id, body, error, place)


def _copy_of(signature: Any) -> Any:
    from celeriac.canvas.signature import as_signature

    return as_signature(signature).clone()


def fail_body(app: AppLike, chord_id: str, body: Any, error: ChordError, place: Mapping[str, Any]) -> None:
    """Let the body of a chord fail without running, with all that would have come after it.

    Args:
        app: The application.
        chord_id: Id of the group that is the header.
        body: The body.
        error: Why; the members of a group get its cause, as in Celery.
        place: ``root_id`` and ``parent_id``.
    """
    exc: BaseException = error
    if body.get("subtask_type") == "group" and error.__cause__ is not None:
        exc = error.__cause__
    logger.error("Chord %s: its body %s will not run: %r", chord_id, body.get("task"), error)
    traceback = ExceptionInfo.from_exception(error).traceback
    records = follow_up.failed_rest(app, [body], exc, traceback)
    if records:
        store_records(app.backend, records)
    token, slots = uuid4(), count()
    for request in _failing(app, body, place):
        for raw in request.errbacks or ():
            slot = f"{chord_id}/errback/{next(slots)}"
            if follow_up.is_called_in_place(app, raw):
                # Claimed first: a crash right between the two loses the call, any other leaves it at one.
                if app.backend.claim(slot, token) == token:
                    follow_up.call_in_place(app, raw, request, exc, traceback)
                continue
            errback = _copy_of(raw)
            errback._app = app
            _mark(errback, iter([slot, *(f"{slot}/{number}" for number in range(1, 100))]), token)
            errback.apply_async((request.id,), **{**place, "parent_id": request.id})
    record_parts(ended_rest(app, [body], exc, traceback, place.get("root_id")))


def _failing(app: AppLike, body: Any, place: Mapping[str, Any]) -> Iterator[Context]:
    """Requests of the tasks whose errbacks are called when a body fails: its first step, or the members of a group."""
    from celeriac.canvas.signature import maybe_signature

    signature = maybe_signature(body, app=app)
    kind = signature.subtask_type
    if kind == "chain":
        steps = signature.unchain_tasks()
        if steps:
            yield from _failing(app, steps[0], place)
    elif kind == "group":
        for member in signature.tasks:
            yield from _failing(app, member, place)
    elif kind == "chord":
        yield from _failing(app, _body_within(app, signature.body), place)
    else:
        options = signature.options
        yield Context(
            id=options.get("task_id"), task=signature.task, args=signature.args, kwargs=signature.kwargs,
            errbacks=follow_up.as_list(options.get("link_error")), root_id=place.get("root_id"),
            parent_id=place.get("parent_id"), called_directly=False, group=options.get("group_id"),
        )  # fmt: skip


def _body_within(app: AppLike, body: Any) -> Any:
    """The body of a chord that is itself a body; what stands for it, if it cannot be read."""
    from celeriac.canvas import graphs

    try:
        return patiently(lambda: graphs.body_of(app, body), f"read the body of a chord from {app.backend.url}")
    except (GraphMissing, NotImplementedError, SerializationError) as exc:
        logger.error("Only the errbacks of the last task of a body are called: %s", exc)
        return body


def _mark(signature: Any, slots: Iterator[str], token: str) -> None:
    """Say in the first messages of a workflow that they are of one publication."""
    kind, kwargs = signature.subtask_type, signature.kwargs
    if kind == "chain":
        if kwargs["tasks"]:
            _mark(kwargs["tasks"][0], slots, token)
    elif kind == "group":
        for member in kwargs["tasks"]:
            _mark(member, slots, token)
    elif kind == "chord":
        for member in signature.tasks or [signature.body]:
            _mark(member, slots, token)
    else:
        signature.options["headers"] = {**(signature.options.get("headers") or {}), ONCE: [next(slots), token]}


def may_begin(app: AppLike, headers: Mapping[str, Any], *, redelivered: bool) -> bool:
    """Whether a task is to run that was published as part of a chord's conclusion.

    One publication of each may, and of its messages those that were never delivered before: if there are several, a
    client that was not sure sent it again.
    """
    once = headers.get(ONCE)
    if not (isinstance(once, list | tuple) and len(once) == 2 and all(isinstance(each, str) for each in once)):
        return True
    slot, token = once
    mine = f"{token} {uuid4()}"
    holder = app.backend.claim(slot, mine)
    if holder == mine or (redelivered and holder.partition(" ")[0] == token):
        return True
    logger.warning(
        "Task %s[%s] of chord %s was published twice: this copy is dropped",
        headers.get("task"), headers.get("id"), slot.partition("/")[0],
    )  # fmt: skip
    return False


def _packed(app: AppLike, told: Mapping[str, Any]) -> bytes:
    """For the store: any serializer that may be read, the one of tasks first."""
    own = app.serializers.by_name(app.conf.task_serializer)
    others = map(app.serializers.by_content_type, sorted(app.accept_content))
    try:
        return pack(own, told)
    except SerializationError:
        for serializer in filter(None, others):
            with suppress(SerializationError):
                return pack(serializer, told)
        raise


def _unpacked(app: AppLike, data: bytes) -> Mapping[str, Any]:
    told: Mapping[str, Any] = app.serializers.unpack(data, app.accept_content)
    return told
