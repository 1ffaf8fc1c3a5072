"""The application of `tests.support.flows`: tasks that return the arguments they got.

``celeriac -A tests.support.flow_app worker`` reads its settings from the environment. ``python -m
tests.support.flow_app`` is a worker on a broker in the memory of its own process, with a client: it reads pickled plans
from standard input, and answers with what they came to.
"""

from __future__ import annotations

import json
import os
import pickle
import struct
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from celeriac import Celery
from celeriac.worker.assembly import Worker, WorkerOptions
from tests.support.flows import ERRORS, build, end_of
from tests.support.ledger import Ledger
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from tests.support.flows import Plan

VARIABLE = "CELERIAC_TEST_FLOW_APP"


def make_app(conf: dict[str, Any], directory: str) -> Celery:
    """The application.

    Args:
        conf: Settings.
        directory: Where tasks write down that they ran, in a file for each key.
    """
    app = Celery("flows", set_as_current=False, changes=conf)

    def note(tag: str, key: str) -> None:
        Ledger(Path(directory) / key).write("ran", tag=tag)

    @app.task(name="step", shared=False)
    def step(*args: Any, tag: str, key: str) -> Any:
        note(tag, key)
        return [tag, *args]

    @app.task(name="plain", shared=False)
    def plain(*args: Any) -> Any:
        return ["plain", *args]

    @app.task(name="retried", bind=True, max_retries=1, shared=False)
    def retried(self: Any, *args: Any, tag: str, key: str) -> Any:
        if not self.request.retries:
            raise self.retry(countdown=0)
        note(tag, key)
        return [tag, *args]

    @app.task(name="fails", shared=False)
    def fails(*args: Any, tag: str, key: str, error: str) -> None:
        note(tag, key)
        raise ERRORS[error](tag)

    @app.task(name="replaced", bind=True, shared=False)
    def replaced(self: Any, *args: Any, tag: str, key: str, by: Any) -> Any:
        note(tag, key)
        return self.replace(app.signature(by).clone(args))

    @app.task(name="errback", shared=False)
    def errback(task_id: str, *, tag: str, key: str) -> None:
        note(tag, key)

    return app


def ran(directory: str | Path, key: str) -> Counter[str]:
    """How often tasks of each tag ran."""
    return Counter(record["tag"] for record in Ledger(Path(directory) / key).records())


def run(app: Celery, plan: Plan, args: tuple[Any, ...], key: str) -> Any:
    """What a plan comes to when it is called."""
    return end_of(build(app, plan, key).apply_async(args), PATIENCE)


def serve(app: Celery, source: IO[bytes], sink: IO[bytes]) -> None:
    """Run plans, until there are no more."""
    while header := source.read(4):
        plan, args, key = pickle.loads(source.read(struct.unpack("!I", header)[0]))
        try:
            answer: Any = run(app, plan, args, key)
        except Exception as exc:
            answer = exc
        data = pickle.dumps(answer)
        sink.write(struct.pack("!I", len(data)) + data)
        sink.flush()
    os._exit(0)


def main() -> int:
    """The worker in the main thread, its client in another one."""
    here = make_app({"broker_url": "memory://", "result_backend": "memory://"}, sys.argv[1])
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    threading.Thread(target=serve, args=(here, sys.stdin.buffer, sink), daemon=True).start()
    return Worker(here, WorkerOptions(pool="solo", loglevel="WARNING")).start()


_told = os.environ.get(VARIABLE)
if _told is not None:
    _read = json.loads(_told)
    app = make_app(_read["conf"], _read["directory"])

if __name__ == "__main__":
    sys.exit(main())
