"""`Inspect`: asking workers about themselves (``app.control.inspect()``)."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from celeriac.control.conversation import DEFAULT_TIMEOUT
from celeriac.exceptions import DuplicateNodenameWarning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from celeriac.control.client import Control

__all__ = ["Inspect"]


class Inspect:
    """Questions to workers.

    Each method returns ``{node: answer}``, None when nobody answered in time, or the answer alone when one node was
    named by a string. A node that fails to answer a question says ``{"error": ...}``.

    Args:
        control: What sends them.
        destination: Names of nodes; with a single name as a string, answers come without it. None is all.
        timeout: Seconds to wait for answers.
        callback: Called with each answer.
        limit: Wait for no more than so many answers.
        pattern: Ask the nodes whose names match.
        matcher: ``glob`` or ``pcre``: what ``pattern`` is.
    """

    def __init__(
        self,
        control: Control,
        *,
        destination: str | Iterable[str] | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        callback: Callable[[Any], None] | None = None,
        limit: int | None = None,
        pattern: str | None = None,
        matcher: str | None = None,
    ) -> None:
        self._control = control
        self.destination = destination
        self.timeout = timeout
        self.callback = callback
        self.limit = limit
        self.pattern = pattern
        self.matcher = matcher

    def request(self, command: str, **arguments: Any) -> Any:
        """Ask anything, such as a command of your own.

        Args:
            command: Its name.
            **arguments: Its arguments.
        """
        return self._ask(command, arguments, self.destination)

    def _ask(self, command: str, arguments: Mapping[str, Any], destination: str | Iterable[str] | None) -> Any:
        single = destination if isinstance(destination, str) else None
        replies = self._control.broadcast(
            command, arguments, destination=[single] if single is not None else destination, reply=True,
            timeout=self.timeout, limit=self.limit, callback=self.callback, pattern=self.pattern, matcher=self.matcher,
        )  # fmt: skip
        if not replies:
            return None
        found = _merge(replies)
        return found.get(single) if single is not None else found

    # ------------------------------------------------------------------ nodes

    def ping(self, destination: str | Iterable[str] | None = None) -> Any:
        """``{"ok": "pong"}`` of each.

        Args:
            destination: Names of nodes; None is those of this object.
        """
        return self._ask("ping", {}, self.destination if destination is None else destination)

    def stats(self) -> Any:
        """Process id, up-time, pool, broker, use of resources, and tasks run by name."""
        return self.request("stats")

    def report(self) -> Any:
        """Versions and settings, for a bug report: ``{"ok": text}``."""
        return self.request("report")

    def clock(self) -> Any:
        """The logical clock: ``{"clock": number}``."""
        return self.request("clock")

    def conf(self, with_defaults: bool = False) -> Any:
        """Settings, without secrets.

        Args:
            with_defaults: Those that nobody set, too.
        """
        return self.request("conf", with_defaults=with_defaults)

    def active_queues(self) -> Any:
        """The queues consumed, as a list of mappings."""
        return self.request("active_queues")

    def hello(self, from_node: str, revoked: Any = None) -> Any:
        """Exchange revoked tasks, as workers of Celery do when they start.

        Args:
            from_node: Name of the node that asks.
            revoked: Ids of tasks that it knows to be revoked.
        """
        return self.request("hello", from_node=from_node, revoked=revoked)

    # ------------------------------------------------------------------ tasks

    def active(self, safe: bool | None = None) -> Any:
        """Tasks that run, as a list of mappings.

        Args:
            safe: Without effect, as in Celery.
        """
        return self.request("active", safe=safe)

    def reserved(self, safe: bool | None = None) -> Any:
        """Tasks that wait in the worker for a free slot, as a list of mappings.

        Args:
            safe: Without effect, as in Celery.
        """
        return self.request("reserved", safe=safe)

    def scheduled(self, safe: bool | None = None) -> Any:
        """Tasks that wait in the worker for their time: ``[{"eta": ..., "priority": 6, "request": {...}}, ...]``.

        Those that are due later are kept by the broker, and no worker knows of them.

        Args:
            safe: Without effect, as in Celery.
        """
        return self.request("scheduled", safe=safe)

    def revoked(self) -> Any:
        """Ids of revoked tasks, as a list."""
        return self.request("revoked")

    def registered(self, *taskinfoitems: str) -> Any:
        """Names of the tasks it can run, sorted.

        Args:
            *taskinfoitems: Attributes to show after the name of those that have them, such as ``rate_limit``.
        """
        return self.request("registered", taskinfoitems=taskinfoitems)

    registered_tasks = registered

    def query_task(self, *ids: str | Iterable[str]) -> Any:
        """Where tasks are: ``{id: ["active" | "reserved" | "scheduled" | "ready", {...}]}``; others are left out.

        Args:
            *ids: Their ids.
        """
        flat = [one for given in ids for one in ([given] if isinstance(given, str) else given)]
        return self.request("query_task", ids=flat)

    # ------------------------------------------------------------------ memory

    def memsample(self) -> Any:
        """Memory that the worker's own process uses, as text; `memdump` shows how it changed."""
        return self.request("memsample")

    def memdump(self, samples: int = 10) -> Any:
        """The last samples taken by `memsample`, as text.

        Args:
            samples: How many.
        """
        return self.request("memdump", samples=samples)

    def objgraph(self, type: str = "Request", n: int = 200, max_depth: int = 10) -> Any:
        """Draw what refers to objects of a type, on the worker's host: ``{"filename": ...}``.

        Args:
            type: Name of the type.
            n: Objects at most.
            max_depth: Steps back at most.
        """
        return self.request("objgraph", num=n, max_depth=max_depth, type=type)


def _merge(replies: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Replies as one mapping of nodes; two nodes of one name are warned of."""
    found: dict[str, Any] = {}
    twice: set[str] = set()
    for reply in replies:
        twice |= found.keys() & reply.keys()
        found.update(reply)
    if twice:
        warnings.warn(
            f"more than one worker is called {', '.join(sorted(twice))}: give each a name of its own with -n",
            DuplicateNodenameWarning,
            stacklevel=4,
        )
    return found
