"""The application of these tests, written once and loaded by both libraries.

``INTEROP_LIBRARY`` names the library (``celery`` or ``celeriac``), ``INTEROP_CONF`` holds the settings as JSON, and
``INTEROP_LEDGER`` is the path of the file in which tasks write down that they ran.
"""

# The decorators are of either library: neither has types here.
# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import importlib
import json
import os
import time
from datetime import UTC, date, datetime, timedelta, timezone
from datetime import time as clock_time
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.support.ledger import Ledger

LIBRARY = os.environ.get("INTEROP_LIBRARY", "celeriac")
library: Any = importlib.import_module(LIBRARY)
exceptions: Any = importlib.import_module(f"{LIBRARY}.exceptions")
ledger = Ledger(os.environ.get("INTEROP_LEDGER", os.devnull))

CONF: dict[str, Any] = {
    "accept_content": ["json", "pickle", "yaml", "msgpack"],
    "result_accept_content": ["json", "pickle", "yaml", "msgpack"],
    "worker_enable_remote_control": False,
    "broker_connection_retry_on_startup": True,
}

app: Any = library.Celery("interop")
app.conf.update({**CONF, **json.loads(os.environ.get("INTEROP_CONF", "{}"))})
if app.conf.task_serializer == "auth":
    app.setup_security()

#: One value of every kind that the JSON of both libraries carries.
VALUES: dict[str, Any] = {
    "none": None,
    "bool": True,
    "int": -(2**53),
    "big int": 2**70,
    "float": 0.1,
    "text": "na\u00efve \u2603 \U0001f600",
    "list": [1, [2, [3]]],
    "dict": {"a": {"b": [None]}, "": 0},
    "datetime utc": datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
    "datetime offset": datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=-3, minutes=-30))),
    "datetime naive": datetime(2026, 1, 2, 3, 4, 5),
    "date": date(2026, 1, 2),
    "time": clock_time(3, 4, 5, 6),
    "decimal": Decimal("1.50"),
    "uuid": UUID("11111111-2222-4333-8444-555555555555"),
    "bytes utf-8": b"plain",
    "bytes": b"\xff\x00\xfe",
    "nested": [{"when": datetime(2026, 1, 2, tzinfo=UTC), "how much": [Decimal(1)]}],
}


class CustomError(Exception):
    """An exception that both sides know."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code, self.text = code, text


class AwkwardError(Exception):
    """An exception whose constructor does not take its `args`."""

    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}", code)


class Outer:
    """A namespace."""

    class NestedError(ValueError):
        """An exception with a qualified name."""


def note(what: str, request: Any, **fields: Any) -> None:
    """Write down who runs what."""
    ledger.write(what, id=request.id, library=LIBRARY, node=request.hostname, retries=request.retries, **fields)


@app.task(bind=True)
def echo(self: Any, value: Any = None, **more: Any) -> Any:
    """Return what was given."""
    note("echo", self.request)
    return {"value": value, **more} if more else value


@app.task
def add(x: Any, y: Any) -> Any:
    """Add two values."""
    return x + y


@app.task(bind=True)
def nap(self: Any, value: Any, seconds: float) -> Any:
    """Take some time."""
    note("nap", self.request)
    time.sleep(seconds)
    return value


@app.task(bind=True)
def double(self: Any, value: Any) -> Any:
    """Double a value, and write that down."""
    note("double", self.request, value=value)
    return value * 2


@app.task
def typed(kind: str) -> Any:
    """One of `VALUES`."""
    return VALUES[kind]


@app.task(bind=True)
def about(self: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """What the request says about the call."""
    request = self.request
    names = ("id", "root_id", "parent_id", "group", "group_index", "retries", "eta", "expires", "shadow", "lang")
    found = {name: getattr(request, name, None) for name in names}
    limits = list(request.timelimit or (None, None))
    info = dict(request.delivery_info or {})
    return {
        **found,
        "args": list(args),
        "kwargs": kwargs,
        "headers": request.headers,
        "timelimit": limits,
        "argsrepr": getattr(request, "argsrepr", None),
        "ignore_result": request.ignore_result,
        "delivery_info": info,
        "correlation_id": request.correlation_id,
        "reply_to": request.reply_to,
        "library": LIBRARY,
    }


ERRORS: dict[str, Any] = {
    "ValueError": lambda: ValueError("bad", 3),
    "KeyError": lambda: KeyError("k"),
    "OSError": lambda: OSError(2, "No such thing"),
    "UnicodeDecodeError": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
    "CustomError": lambda: CustomError(7, "custom"),
    "AwkwardError": lambda: AwkwardError(code=8),
    "NestedError": lambda: Outer.NestedError("nested"),
    "with object": lambda: ValueError(object),
    "MaxRetriesExceededError": lambda: exceptions.MaxRetriesExceededError("no more"),
    "SoftTimeLimitExceeded": lambda: exceptions.SoftTimeLimitExceeded("soft"),
    "NotRegistered": lambda: exceptions.NotRegistered("nothing"),
    "TaskRevokedError": lambda: exceptions.TaskRevokedError("revoked"),
    "ImproperlyConfigured": lambda: exceptions.ImproperlyConfigured("wrong"),
}


@app.task(bind=True)
def fail(self: Any, kind: str) -> None:
    """Raise one of `ERRORS`."""
    note("fail", self.request)
    raise ERRORS[kind]()


@app.task(bind=True, max_retries=5)
def retry(self: Any, times: int, countdown: float = 0) -> list[Any]:
    """Retry a number of times; returns the ids seen by the last attempt."""
    request = self.request
    note("retry", request)
    if request.retries < times:
        raise self.retry(countdown=countdown, exc=ValueError("not yet"))
    return [request.id, request.root_id, request.retries]


@app.task(bind=True, max_retries=1)
def exhaust(self: Any) -> None:
    """Retry without an exception, more often than allowed."""
    note("exhaust", self.request)
    # A child of Celery stores RETRY after it has published the next attempt: run at once by another child, that
    # attempt would be done first and its FAILURE be overwritten.
    raise self.retry(countdown=2)


@app.task(bind=True, autoretry_for=(CustomError,), retry_backoff=1, retry_backoff_max=1, retry_jitter=False)
def flaky(self: Any, times: int) -> int:
    """Fail a number of times, to be retried after one second each."""
    note("flaky", self.request)
    if self.request.retries < times:
        raise CustomError(self.request.retries, "again")
    return int(self.request.retries)


@app.task(bind=True)
def gated(self: Any, gate: str, meta: Any = None) -> str:
    """Tell of progress, and wait until a file exists."""
    note("begin", self.request)
    self.update_state(state="PROGRESS", meta=meta)
    while not Path(gate).exists():
        time.sleep(0.005)
    note("end", self.request)
    return "done"


@app.task(bind=True, soft_time_limit=1)
def soft(self: Any) -> None:
    """Run into the soft time limit."""
    note("soft", self.request)
    time.sleep(600)


@app.task(bind=True, ignore_result=True)
def ignored(self: Any, value: Any) -> Any:
    """A task whose result is not kept."""
    note("ignored", self.request)
    return value


@app.task(bind=True)
def timed(self: Any, seconds: float) -> None:
    """Takes a while, and says so at both ends."""
    note("start", self.request)
    time.sleep(seconds)
    note("end", self.request)


@app.task(bind=True)
def errback(self: Any, task_id: str) -> None:
    """A link for errors that takes the id of the failed task."""
    note("errback", self.request, failed=task_id)


@app.task
def errback_in_place(request: Any, exc: BaseException, traceback: Any) -> None:
    """A link for errors that is called in the worker of the failed task."""
    ledger.write("errback in place", id=request.id, error=type(exc).__name__, traceback=bool(traceback))


@app.task(bind=True)
def total(self: Any, values: Any) -> Any:
    """Add many values."""
    note("total", self.request)
    return sum(values)


@app.task(bind=True)
def noted(self: Any, value: Any, key: str) -> Any:
    """A link that writes down what it got."""
    note("noted", self.request, key=key, value=value)
    return value


@app.task(bind=True)
def told(self: Any, task_id: str, *, key: str) -> None:
    """A link for errors that writes down that it ran."""
    note("noted", self.request, key=key, value="told")


@app.task(bind=True)
def stamps(self: Any, before: Any = None, key: str | None = None) -> Any:
    """The stamps of the request, written down for a key."""
    found = self.request.stamps
    if key is not None:
        note("noted", self.request, key=key, value=found)
    return found


@app.task(bind=True)
def replaced(self: Any, by: Any) -> Any:
    """Let another signature take its place."""
    return self.replace(app.signature(by))
