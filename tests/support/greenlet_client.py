"""``python -c "<patch>; import tests.support.greenlet_client"``: many greenlets of one process call and wait.

Told in the environment: ``CELERIAC_TEST_CLIENT``, settings as JSON. It prints the results, and how many sessions the
broker was asked for.
"""

from __future__ import annotations

import json
import os
import threading

from tests.support.zoo import make_app

#: Greenlets, and calls of each.
CALLERS, CALLS = 40, 3

app = make_app(json.loads(os.environ["CELERIAC_TEST_CLIENT"]), os.devnull)
add = app.tasks["add"]
found: dict[int, list[int]] = {}
sessions: set[int] = set()


def call(number: int) -> None:
    found[number] = [add.delay(number, n).get(timeout=120) for n in range(CALLS)]
    sessions.add(app.sessions.get().session_id)


# Patched, a thread is a greenlet.
callers = [threading.Thread(target=call, args=(number,)) for number in range(CALLERS)]
for caller in callers:
    caller.start()
for caller in callers:
    caller.join()
in_order = [found.get(number) for number in range(CALLERS)]
print(json.dumps({"found": in_order, "sessions": len(sessions)}))  # noqa: T201 - what it is for
app.close()
