"""What a worker that has little to do keeps in memory: a module loaded before the fork is there in each process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from celeriac import Celery
from tests.support import PATIENCE, servers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: What no process of a worker on Redis needs before it has a particular use for it.
HEAVY = {
    "bz2", "celeriac.app.bulk", "celeriac.beat", "celeriac.broker.amqp", "celeriac.broker.memory", "celeriac.canvas",
    "celeriac.control.client", "celeriac.dashboard", "celeriac.drivers.amqp", "celeriac.drivers.sqlite",
    "celeriac.events.receiver", "celeriac.events.state", "celeriac.platform.status_server", "celeriac.result",
    "celeriac.schedules",
    "celeriac.worker.state_file", "celeriac.worker.status", "dataclasses", "decimal", "email",
    "encodings.idna", "hashlib", "http",
    "ipaddress", "logging.handlers", "lzma", "msgspec", "multiprocessing", "optparse", "pathlib", "pydantic",
    "sqlite3", "tempfile", "typing_extensions", "unicodedata", "urllib.parse", "urllib.request",
    "xml", "yaml", "zoneinfo",
}  # fmt: skip
#: What the coordinator needs, and no child.
OF_THE_COORDINATOR = {
    "asyncio", "celeriac.control", "celeriac.events", "celeriac.worker.commands", "celeriac.worker.coordinator",
    "concurrent.futures", "random", "ssl", "subprocess",
}  # fmt: skip

APP = """
import json, sys
from celeriac import Celery
from celeriac.signals import worker_shutdown

app = Celery("idle", broker={url!r}, backend={url!r})
app.conf.task_default_queue = {queue!r}

@app.task
def loaded():
    return list(sys.modules)

@worker_shutdown.connect(weak=False)
def tell(**_):
    with open({told!r}, "w") as file:
        json.dump(list(sys.modules), file)
"""


@contextmanager
def running(directory: Path) -> Iterator[None]:
    """A worker of the command line, until it has been told to leave and has left."""
    command = [sys.executable, "-m", "celeriac", "-q", "-A", "idle_app", "worker", "-c", "1"]
    worker = subprocess.Popen(command, cwd=directory, env={**os.environ, "C_FORCE_ROOT": "1"})
    try:
        yield
        worker.terminate()
        assert worker.wait(PATIENCE) == 0
    finally:
        worker.kill()


def test_a_worker_with_little_to_do_loads_nothing_heavy(redis_url: str, tmp_path: Path) -> None:
    queue, told = servers.unique("idle"), tmp_path / "modules.json"
    text = APP.format(url=redis_url, queue=queue, told=str(told))
    (tmp_path / "idle_app.py").write_text(text)
    with Celery("client", broker=redis_url, backend=redis_url) as client, running(tmp_path):
        in_child = client.send_task("idle_app.loaded", queue=queue).get(timeout=PATIENCE)
    assert set(in_child) & (HEAVY | OF_THE_COORDINATOR) == set()
    assert set(json.loads(told.read_text())) & HEAVY == set()
