"""The application that client and worker share in the tests of calling, routing and workflows.

``celeriac -A tests.support.client_app worker`` reads its settings from the environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from celeriac import Broadcast, Celery, Queue
from celeriac.exceptions import Reject
from tests.support.ledger import Ledger
from tests.support.worker import ROOT, RunningWorker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

VARIABLE = "CELERIAC_TEST_CLIENT_APP"


def make_app(conf: dict[str, Any], ledger_path: str) -> Celery:
    """The application.

    Args:
        conf: Settings; ``broadcast`` names a `Broadcast` queue beside the default one.
        ledger_path: Where tasks write down that they ran.
    """
    settings = dict(conf)
    broadcast = settings.pop("broadcast", None)
    if broadcast is not None:
        settings["task_queues"] = [Queue(settings["task_default_queue"]), Broadcast(broadcast)]
    app = Celery("client", set_as_current=False, changes=settings)
    ledger = Ledger(ledger_path)
    _declare_places(app, ledger)
    _declare_sums(app, ledger)
    return app


def _declare_places(app: Celery, ledger: Ledger) -> None:
    """Tasks that tell where they ran, and how they came there."""

    def where(self: Any, key: Any = None) -> dict[str, Any]:
        info = self.request.delivery_info
        found = {
            "host": self.request.hostname,
            "exchange": info["exchange"],
            "routing_key": info["routing_key"],
            "priority": info.get("priority"),
        }
        ledger.write("where", id=self.request.id, key=key, name=self.name, **found)
        return found

    for name in ("where", "images.resize", "images.crop", "video.cut"):
        app.task(name=name, bind=True)(where)

    @app.task(name="echo")
    def echo(value: Any) -> Any:
        return value


def _declare_sums(app: Celery, ledger: Ledger) -> None:  # noqa: C901 - a list of declarations
    """Tasks of workflows."""

    @app.task(name="add")
    def add(x: Any, y: Any) -> Any:
        return x + y

    @app.task(name="double")
    def double(x: Any) -> Any:
        return 2 * x

    @app.task(name="listed")
    def listed(values: Any) -> Any:
        return values

    @app.task(name="total")
    def total(values: Any) -> Any:
        return sum(values)

    @app.task(name="growing", bind=True)
    def growing(self: Any, value: Any, lazy: bool = False) -> Any:
        """Adds tasks to its chord."""
        added = self.add_to_chord(app.tasks["double"].s(value), lazy=lazy)
        if lazy:
            added.delay()
        return value

    @app.task(name="failed_in_place")
    def failed_in_place(request: Any, exc: BaseException, traceback: Any, *, key: Any = None) -> None:
        ledger.write("failed", id=request.id, key=key, error=repr(exc))

    @app.task(name="count", ignore_result=True)
    def count(key: str) -> None:
        ledger.write("count", key=key)

    @app.task(name="note", bind=True)
    def note(self: Any, value: Any, key: Any = None) -> Any:
        request = self.request
        ledger.write(
            "note", id=request.id, value=value, key=key, root=request.root_id, parent=request.parent_id,
            group=request.group, index=request.group_index,
        )  # fmt: skip
        return value

    @app.task(name="stamps", bind=True)
    def stamps(self: Any, *args: Any, key: Any = None, times: int = 0) -> Any:
        if self.request.retries < times:
            raise self.retry(countdown=0)
        ledger.write("stamps", id=self.request.id, key=key, stamps=self.request.stamps)
        return self.request.stamps

    _declare_failures(app, ledger)


def _declare_failures(app: Celery, ledger: Ledger) -> None:
    """Tasks of workflows that do not end well, or elsewhere."""

    @app.task(name="failing")
    def failing(*args: Any) -> None:
        raise ValueError("on purpose")

    @app.task(name="trying", bind=True, max_retries=3)
    def trying(self: Any, value: Any, times: int) -> Any:
        if self.request.retries < times:
            raise self.retry(countdown=0)
        return value

    @app.task(name="dying", bind=True, max_deliveries=1, reject_on_worker_lost=False)
    def dying(self: Any, *args: Any) -> None:
        os._exit(3)

    @app.task(name="rejecting")
    def rejecting(*args: Any) -> None:
        raise Reject("on purpose", requeue=False)

    @app.task(name="failed", bind=True)
    def failed(self: Any, task_id: str, *, key: Any = None) -> None:
        ledger.write("failed", id=task_id, key=key, stamps=self.request.stamps)

    @app.task(name="replacing", bind=True)
    def replacing(self: Any, *args: Any) -> Any:
        """Replaced by what its last argument says, with the result of a task before in front."""
        *before, sig = args
        sig = app.signature(sig)
        return self.replace(sig.clone(tuple(before)) if before else sig)

    @app.task(name="starting", bind=True)
    def starting(self: Any, *sigs: Any) -> Any:
        """Sends workflows, and returns their ids."""
        return [app.signature(sig).apply_async().id for sig in sigs]


class Site:
    """One application with its ledger and the workers started for it.

    Args:
        conf: Settings of client and workers.
        directory: For the ledger and logs.
    """

    def __init__(self, conf: dict[str, Any], directory: Path) -> None:
        self.conf = conf
        self.directory = directory
        self.ledger = Ledger(directory / "ledger")
        self.app = make_app(conf, str(self.ledger.path))
        self.workers: list[RunningWorker] = []

    def task(self, name: str) -> Any:
        """A task by name."""
        return self.app.tasks[name]

    def start(self, *arguments: str, wait: bool = True, name: str | None = None) -> RunningWorker:
        """Start a worker with these arguments; its node name is ``w<number>@test``."""
        number = len(self.workers)
        log_path = self.directory / f"worker{number}.log"
        told = json.dumps({"conf": self.conf, "ledger": str(self.ledger.path)})
        node = name or f"w{number}@test"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "celeriac", "-A", "tests.support.client_app", "worker", "-l", "INFO",
                 "-n", node, "-c", "2", *arguments],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "C_FORCE_ROOT": "1", VARIABLE: told},
            )  # fmt: skip
        worker = RunningWorker(process, log_path)
        self.workers.append(worker)
        return worker.wait_ready() if wait else worker

    def close(self) -> None:
        """Kill what still runs."""
        for worker in self.workers:
            worker.kill()
        self.app.close()


@contextmanager
def site_at_work(conf: Mapping[str, Any], directory: Path) -> Iterator[Site]:
    """A client and one worker of two children, for tests that leave it as it was."""
    site = Site(dict(conf), directory)
    try:
        worker = site.start()
        yield site
        assert worker.alive, worker.log[-4000:]
    finally:
        site.close()


_told = os.environ.get(VARIABLE)
if _told is not None:
    _read = json.loads(_told)
    app = make_app(_read["conf"], _read["ledger"])
