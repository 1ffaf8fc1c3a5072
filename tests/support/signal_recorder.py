"""Receivers of every signal of a worker, which write down who sent it, with what, and in which process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from celeriac import Celery, signals

if TYPE_CHECKING:
    from tests.support.ledger import Ledger

#: The name under which each kind of sender is written down.
_NAMES = {
    "Worker": "worker",
    "Coordinator": "consumer",
    "EventReporter": "heart",
    "NewProcess": "process",
    "Service": "beat",
    "NoneType": "none",
}


def install(app: Celery, ledger: Ledger) -> None:
    """Connect receivers.

    Args:
        app: The application; it gets a task whose end is an internal error, and a periodic one.
        ledger: Where they write.
    """
    main = os.getpid()

    def connect(name: str) -> None:
        def receiver(sender: Any = None, signal: Any = None, **given: Any) -> None:
            request = given.get("request")
            place = "main" if os.getpid() == main else "child"
            ledger.write(
                f"sent {name}", sender=_describe(sender), given=sorted(given), place=place,
                id=getattr(request, "id", None) if request is not None else given.get("task_id"),
                details={key: given[key] for key in ("expired", "terminated", "how", "state") if key in given},
            )  # fmt: skip

        getattr(signals, name).connect(receiver, weak=False)

    for name in signals.__all__:
        # One that returns, even None, would have no logging set up.
        if name not in ("Signal", "setup_logging"):
            connect(name)

    class Unfinished(app.Task):  # type: ignore[misc, name-defined]
        """Its handler fails as no handler may."""

        abstract = True

        def after_return(self, *args: Any) -> None:
            raise MemoryError("in a handler")

    @app.task(name="unfinished", base=Unfinished, max_deliveries=1, acks_late=False, shared=False)
    def unfinished() -> None:
        return None


def _describe(sender: Any) -> str:
    if isinstance(sender, str):
        return sender
    if isinstance(sender, Celery):
        return "app"
    kind = type(sender).__name__
    return _NAMES.get(kind) or f"task {getattr(sender, 'name', kind)}"
