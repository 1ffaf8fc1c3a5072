"""``python -m tests.interop.client``: a process that calls tasks and awaits results for a test, in either library.

It reads pickled ``(function, args, kwargs)`` from standard input, each after its length, and answers likewise.
"""

from __future__ import annotations

import importlib
import os
import pickle
import struct
import sys
import threading
import time
import traceback
from datetime import datetime, timezone
from typing import IO, Any

from tests.interop.talk import PATIENCE, Failure, Outcome, Sig
from tests.interop.tasks import VALUES, app, library

PLAIN = (str, int, float, bytes, bool, type(None))
FIELDS = ("name", "args", "kwargs", "worker", "retries", "queue")


def send(task: str, *args: Any, **options: Any) -> str:
    """Call a task with these arguments; returns its id."""
    kwargs = options.pop("kwargs", None) or {}
    return str(app.tasks[name_of(task)].apply_async(args, kwargs, **convert(options)).id)


def send_by_name(task: str, *args: Any, **options: Any) -> str:
    """Call a task that this process need not know."""
    return str(app.send_task(task, args, **convert(options)).id)


def send_many(task: str, count: int, **options: Any) -> list[str]:
    """Call a task with 0, 1, 2 and so on."""
    return [send(task, number, **options) for number in range(count)]


def send_copies(task: str, count: int, *args: Any, **options: Any) -> list[str]:
    """Call a task several times."""
    return [send(task, *args, **options) for _ in range(count)]


def send_value(kind: str, **options: Any) -> str:
    """Call ``echo`` with a value of a kind."""
    return send("echo", VALUES[kind], **options)


def control(method: str, *args: Any, **options: Any) -> Any:
    """Tell workers what to do; returns what they answer."""
    return getattr(app.control, method)(*args, **options)


def inspect(nodes: list[str], question: str, *args: Any) -> Any:
    """Ask workers a question; returns their answers."""
    return getattr(app.control.inspect(destination=nodes, timeout=PATIENCE), question)(*args)


def outcome(task_id: str, timeout: float = PATIENCE) -> Outcome:
    """Await the end of a task."""
    result = app.AsyncResult(task_id)
    value = result.get(timeout=timeout, propagate=False)
    found = Outcome(result.state, traceback=result.traceback)
    if isinstance(value, BaseException):
        found.error = describe(value)
        try:
            result.get(timeout=timeout)
        except BaseException as exc:
            found.raised = type(exc).__name__
    else:
        found.value = plain(value)
    found.fields = {name: plain(getattr(result, name)) for name in FIELDS}
    found.fields["date_done"] = plain(result.date_done)
    # Celery makes a group of several links.
    children = result.children or ()
    found.fields["children"] = [each.id for child in children for each in getattr(child, "results", [child])]
    return found


def outcomes(task_ids: list[str], timeout: float = PATIENCE) -> list[Any]:
    """Values of tasks that succeed."""
    return [app.AsyncResult(task_id).get(timeout=timeout) for task_id in task_ids]


def state(task_id: str) -> tuple[str, Any]:
    """State and info of a task now."""
    result = app.AsyncResult(task_id)
    info = result.info
    return result.state, describe(info) if isinstance(info, BaseException) else info


def forget(task_id: str) -> None:
    """Delete a result."""
    app.AsyncResult(task_id).forget()


def chain(*steps: Sig, **options: Any) -> str:
    """Call a chain; returns the id of its last task."""
    return str(library.chain(*(convert(step) for step in steps)).apply_async(**convert(options)).id)


def group(*members: Sig, **options: Any) -> tuple[str, list[str]]:
    """Call a group; returns its id and those of its members; the group is saved."""
    result = library.group([convert(member) for member in members]).apply_async(**options)
    result.save()
    return str(result.id), [str(child.id) for child in result.results]


def chain_into_group(first: Sig, *members: Sig) -> tuple[str, list[str]]:
    """Call a task and then a group with its result; returns the group's id and those of its members."""
    result = (convert(first) | library.group([convert(member) for member in members])).apply_async()
    return str(result.id), [str(child.id) for child in result.results]


def starmap(task: str, it: list[Any], **options: Any) -> str:
    """Call a task for many arguments in one message."""
    return str(app.tasks[name_of(task)].starmap(it).set(**options).apply_async().id)


def group_values(group_id: str, timeout: float = PATIENCE) -> list[Any]:
    """Results of a saved group."""
    return list(app.GroupResult.restore(group_id).get(timeout=timeout))


def chord(header: list[Sig], body: Sig, **options: Any) -> tuple[str, list[str]]:
    """Call a chord; returns the ids of the body and of the header's members."""
    members = [convert(member) for member in header]
    result = library.chord(members)(convert(body), **options)
    return str(result.id), [str(child.id) for child in result.parent.results]


def send_chords(count: int, members: int, queue: str) -> dict[str, int]:
    """Call chords of additions; returns the ids of their bodies, and what these come to."""
    sent = {}
    for number in range(count):
        header = [Sig("add", (number, each), options={"queue": queue}) for each in range(members)]
        body, _ = chord(header, Sig("total", options={"queue": queue}))
        sent[body] = sum(number + each for each in range(members))
    return sent


def nested(first: str, second: str) -> list[Any]:
    """Results of workflows with chords at several depths, their tasks by turns in two queues."""

    def s(task: str, queue: str, *args: Any) -> Any:
        return app.tasks[name_of(task)].s(*args).set(queue=queue)

    def a(*args: Any) -> Any:
        return s("add", first, *args)

    def b(*args: Any) -> Any:
        return s("add", second, *args)

    group, chord = library.group, library.chord
    whole = [
        a(1, 1) | group(b(1), a(2)) | s("total", second) | s("double", first),
        chord([a(1, 1), b(1, 1) | group(a(1), b(2))], s("echo", second)),
        chord([chord([a(1, 1), b(2, 2)], s("echo", first)), b(1, 1)], s("echo", second)),
    ]
    return [each.apply_async().get(timeout=PATIENCE) for each in whole]


def workflows(names: list[str], queue: str, key: str) -> dict[str, Any]:
    """What some of the workflows of `tests.interop.workflows` come to in workers of a queue."""
    found: dict[str, Any] = importlib.import_module("tests.interop.workflows").values(names, queue, key)
    return found


def name_of(task: str) -> str:
    """The full name of a task."""
    return task if "." in task else f"tests.interop.tasks.{task}"


def convert(value: Any) -> Any:
    """Signatures of the library at hand in the place of `Sig`."""
    if isinstance(value, Sig):
        return app.signature(
            name_of(value.task), args=value.args, kwargs=value.kwargs, options=convert(value.options),
            immutable=value.immutable,
        )  # fmt: skip
    if isinstance(value, dict):
        return {key: convert(each) for key, each in value.items()}
    if isinstance(value, list):
        return [convert(each) for each in value]
    return value


def plain(value: Any) -> Any:
    """Times with an offset of the standard library, in the place of whichever package's class it is."""
    if isinstance(value, datetime):
        offset = value.utcoffset()
        return value if offset is None else value.replace(tzinfo=timezone(offset))
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return value


def describe(exc: BaseException) -> Failure:
    """An exception in plain values."""
    cls = type(exc)
    args = tuple(arg if isinstance(arg, PLAIN) else repr(arg) for arg in exc.args)
    bases = [base.__name__ for base in cls.__mro__]
    return Failure(cls.__qualname__, cls.__module__, args, str(exc), bases)


heard: list[dict[str, Any]] = []


def listen() -> None:
    """Receive events from now on; `events_of` gives them."""
    receiving = threading.Event()

    def probe() -> None:
        with app.events.default_dispatcher() as dispatcher:
            dispatcher.send("probe-sent")

    # Celery imports what it needs when it needs it, and two threads that do so at once may wait for each other.
    probe()
    make_receiver = app.events.Receiver

    def run() -> None:
        with app.connection_for_read() as connection:
            make_receiver(connection, handlers={"*": heard.append}).capture(limit=None, timeout=None, wakeup=False)

    threading.Thread(target=run, daemon=True).start()
    deadline = time.monotonic() + PATIENCE
    while not any(event["type"] == "probe-sent" for event in heard):
        assert time.monotonic() < deadline, "no event came"
        probe()
        receiving.wait(0.1)


def events_of(uuid: str) -> list[dict[str, Any]]:
    """Events about a task, or of a worker, so far."""
    return [dict(event) for event in heard if uuid in (event.get("uuid"), event.get("hostname"))]


def picture() -> dict[str, Any]:
    """What `State` makes of what was heard: states of tasks, and of workers."""
    state = app.events.State()
    for event in heard:
        state.event(dict(event))
    return {
        "tasks": {
            uuid: (task.name, task.state, task.worker and task.worker.hostname) for uuid, task in state.itertasks()
        },
        "alive": sorted(str(worker.hostname) for worker in state.alive_workers()),
    }


def ask_crontab(fields: list[str], last: datetime, now: datetime, zone: str) -> list[Any]:
    """What a crontab says of itself: its text and whether it is due, or why it is none."""
    schedules = importlib.import_module(f"{library.__name__}.schedules")
    app.conf.timezone = zone
    try:
        found = schedules.crontab(*fields, nowfun=lambda: now, app=app)
    except Exception as exc:
        return [type(exc).__name__, str(exc)]
    is_due, wait = found.is_due(last)
    return [repr(found), round(found.remaining_estimate(last).total_seconds()), is_due, round(wait)]


def answer(request: bytes) -> bytes:
    """Do what is asked for; an exception is answered as its traceback."""
    function, args, kwargs = pickle.loads(request)
    try:
        return pickle.dumps((True, globals()[function](*args, **kwargs)))
    except Exception:
        return pickle.dumps((False, traceback.format_exc()))


def main() -> None:
    """Serve until standard input ends."""
    source: IO[bytes] = sys.stdin.buffer
    # Whatever prints must not disturb the answers.
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while header := source.read(4):
        reply = answer(source.read(struct.unpack("!I", header)[0]))
        sink.write(struct.pack("!I", len(reply)) + reply)
        sink.flush()


if __name__ == "__main__":
    main()
