"""Prints events, one on a line, in the form that `celery events --dump` has."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

from celeriac.events.following import follow

if TYPE_CHECKING:
    import threading

__all__ = ["Dumper", "evdump", "humanize_type"]

#: Tasks whose names and arguments are remembered for their later events.
MAX_TASKS = 4096
_WORKER_TYPES = {"worker-offline": "shutdown", "worker-online": "started", "worker-heartbeat": "heartbeat"}


def humanize_type(type_: str) -> str:
    """A type of event in words.

    >>> humanize_type("worker-online"), humanize_type("task-received")
    ('started', 'task received')
    """
    return _WORKER_TYPES.get(type_) or type_.lower().replace("-", " ")


class Dumper:
    """Prints events.

    Args:
        out: Where to.
    """

    def __init__(self, out: TextIO | None = None) -> None:
        self.out = sys.stdout if out is None else out
        self._tasks: dict[str, str] = {}

    def say(self, text: str) -> None:
        """Print a line."""
        print(text, file=self.out, flush=True)

    def on_event(self, event: dict[str, Any]) -> None:
        """Print an event."""
        fields = dict(event)
        timestamp, hostname, type_ = fields.pop("timestamp", None), fields.pop("hostname", ""), fields.pop("type")
        moment = datetime.fromtimestamp(timestamp or 0.0, UTC)
        what = humanize_type(type_)
        if type_.startswith("task-") and "uuid" in fields:
            what = f"{what}: {self._describe(fields)}"
            self.say(f"{hostname} [{moment}] {what} {_join(fields)}")
        else:
            self.say(f"{hostname} [{moment}] {what}: {_join(fields)}")

    def _describe(self, fields: dict[str, Any]) -> str:
        """Name, id and arguments of a task, which only its first events have."""
        uuid = fields.pop("uuid")
        if fields.get("name") and "args" in fields:
            name, args, kwargs = (fields.pop(key, "") for key in ("name", "args", "kwargs"))
            self._tasks[uuid] = f"{name}({uuid}) args={args} kwargs={kwargs}"
            while len(self._tasks) > MAX_TASKS:
                del self._tasks[next(iter(self._tasks))]
        return self._tasks.get(uuid, f"?({uuid})")


def _join(fields: dict[str, Any]) -> str:
    return ", ".join(f"{name}={fields[name]}" for name in sorted(fields))


def evdump(app: Any, out: TextIO | None = None, stop: threading.Event | None = None) -> None:
    """Print the events of a broker until the process is told to end.

    Args:
        app: The application.
        out: Where to.
        stop: Ends it when it is set.
    """
    dumper = Dumper(out)
    dumper.say("-> evdump: starting capture...")

    def lost(exc: Exception, pause: float) -> None:
        dumper.say(f"-> evdump: the connection is lost ({exc}); trying again in {pause:g} s...")

    follow(app, {"*": dumper.on_event}, on_lost=lost, stop=stop)
