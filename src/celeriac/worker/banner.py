"""The banner a worker prints when it starts: who it is, what it talks to, what it consumes."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from celeriac.broker.topology import Queue

_ART = (
    " --------------",
    "--- ***** -----",
    "-- ******* ----",
    "- *** --- * ---",
    "- ** ----------",
    "- ** ----------",
    "- ** ----------",
    "- ** ----------",
    "- *** --- * ---",
    "-- ******* ----",
    "--- ***** -----",
    " --------------",
)


def render_banner(
    *,
    hostname: str,
    version: str,
    app: str,
    transport: str,
    results: str,
    concurrency: str,
    events: str,
    queues: Sequence[Queue],
    tasks: Iterable[str] = (),
) -> str:
    """Text of the banner.

    Args:
        hostname: Node name.
        version: Version of Celeriac.
        app: ``<main>:<id>``.
        transport: Broker URL without its password.
        results: Result backend URL without its password.
        concurrency: ``<n> (<pool>)``.
        events: ``ON`` or ``OFF …``.
        queues: Queues consumed.
        tasks: Task names to list; none leaves the section out.
    """
    system = os.uname()
    lines = [
        f"{hostname} v{version} (celeriac)",
        "",
        f"{system.sysname}-{system.release}-{system.machine} {time.strftime('%Y-%m-%d %H:%M:%S')}",
        "",
        "[config]",
        f".> app:         {app}",
        f".> transport:   {transport}",
        f".> results:     {results}",
        f".> concurrency: {concurrency}",
        f".> task events: {events}",
        "",
        "[queues]",
    ]
    lines += [_queue_line(queue) for queue in sorted(queues, key=lambda queue: queue.name)]
    art = [*_ART, *[""] * (len(lines) - len(_ART))]
    text = "\n".join(f"{left:<15} {right}".rstrip() for left, right in zip(art, lines, strict=True))
    names = sorted(tasks)
    if names:
        text += "\n\n[tasks]\n" + "\n".join(f"  . {name}" for name in names)
    return f"\n{text}\n"


def _queue_line(queue: Queue) -> str:
    exchange = queue.exchange
    name, kind = (exchange.name, exchange.type) if exchange is not None else ("", "direct")
    return f".> {queue.name:<16} exchange={name}({kind}) key={queue.routing_key}"
