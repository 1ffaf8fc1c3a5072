"""Runs one client action of a benchmark app in the peer's own environment and prints its cost as JSON.

Started by the harness as ``python -m bench.client APP ACTION ARGUMENTS``; it starts no worker itself.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.apps.common import Client


def main(argv: list[str]) -> int:
    """Run the action named on the command line."""
    app, action, arguments = argv[0], argv[1], json.loads(argv[2])
    client: Client = importlib.import_module(app).client
    before = arguments.pop("warm", 0)
    if before:
        client.send_range(arguments["start"] + arguments["count"], before)
    wall, cpu = time.perf_counter_ns(), time.process_time_ns()
    value = _ACTIONS[action](client, **arguments)
    cost = {
        "wall": (time.perf_counter_ns() - wall) / 1e9,
        "cpu": (time.process_time_ns() - cpu) / 1e9,
        "value": value,
        "bulk_call": client.bulk_call,
    }
    print(json.dumps(cost), flush=True)
    return 0


def _verify(client: Client, *, tokens: list[str]) -> int:
    return sum(isinstance(client.fetch(token), int) for token in tokens)


_ACTIONS: dict[str, Any] = {
    "prepare": lambda client: client.prepare(),
    "send": lambda client, start, count: client.send_range(start, count),
    "fill": lambda client, start, count: client.fill(start, count),
    "hold": lambda client, index, seconds: client.send_hold(index, seconds),
    "sleep": lambda client, start, count, seconds: client.send_sleeps(start, count, seconds),
    "bulk": lambda client, start, count: client.send_bulk(start, count),
    "delayed": lambda client, index, count, seconds: client.send_delayed_range(index, count, seconds),
    "round_trips": lambda client, start, count: client.round_trips(start, count),
    "workflow": lambda client, kind, times, arguments: client.workflow(kind, times, arguments),
    "submit_group": lambda client, size: client.submit_group(size),
    "verify": _verify,
    "rows": lambda client: client.rows(),
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
