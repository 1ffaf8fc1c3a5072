"""How many persistent messages RabbitMQ confirms per second for a bare loop over Celeriac's driver.

Run as ``python -m bench.apps.amqp_floor one|batch QUEUE COUNT`` in Celeriac's environment.  The loop makes no message
and no task: it sends the same bytes again and again, so that a client that waits for confirms can hardly be faster.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from bench.apps.common import SETTINGS
from celeriac.drivers.amqp.link import Link
from celeriac.drivers.amqp.params import params_from_url

if TYPE_CHECKING:
    from celeriac.drivers.amqp import OutgoingMessage

#: Messages in one write.
PAGE = 100
#: A task message in everything the server looks at.
BODY = b"x" * 80
PROPERTIES = {
    "content_type": "application/json",
    "content_encoding": "utf-8",
    "delivery_mode": 2,
    "priority": 0,
    "correlation_id": "i" * 36,
    "reply_to": "r" * 36,
}
HEADERS = {
    **dict.fromkeys(("id", "root_id"), "i" * 36),
    **dict.fromkeys(("lang", "task", "argsrepr", "kwargsrepr", "origin"), "text of a header"),
    **dict.fromkeys(("shadow", "eta", "expires", "group", "group_index", "parent_id", "stamped_headers")),
    "retries": 0,
    "timelimit": [None, None],
    "ignore_result": True,
    "stamps": {},
}


def main(argv: list[str]) -> int:
    """Publish, and print the rate."""
    how, queue, count = argv[0], argv[1], int(argv[2])
    link = Link(params_from_url(SETTINGS.broker_url))
    link.connect(link.deadline())
    link.control(link.deadline()).queue_declare(queue)
    message: OutgoingMessage = ("", queue, BODY, PROPERTIES, HEADERS, True)
    link.publish(([message],), link.deadline(), confirm=True)
    before = time.perf_counter()
    if how == "one":
        for _ in range(count):
            link.publish(([message],), link.deadline(), confirm=True)
    else:
        link.publish(([message] * PAGE for _ in range(count // PAGE)), time.monotonic() + 60, confirm=True)
    print(count / (time.perf_counter() - before), flush=True)
    link.control(link.deadline()).queue_delete(queue)
    link.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
