"""Every documented signal is sent in the process, by the sender and with the arguments that are documented.

One worker for each kind of pool lives through all of them; each test looks for one in what it wrote down.
"""

from __future__ import annotations

import functools
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from celeriac import signals
from celeriac.message import Destination, Message, Publication
from tests.support import PATIENCE, servers, wait_until
from tests.support.worker import Workshop

if TYPE_CHECKING:
    from collections.abc import Iterator

#: They share workers.
pytestmark = pytest.mark.xdist_group("signals")

NODE = "w0@test"


class Sent(NamedTuple):
    """How a signal is sent.

    Attributes:
        sender: Who sends it.
        given: Its arguments.
        place: In the worker's main process, or in a child.
    """

    sender: str
    given: str
    place: str


_LOG = "colorize format logfile logger loglevel"
EXPECTED = {
    "after_setup_logger": Sent("none", _LOG, "main"),
    "after_setup_task_logger": Sent("none", _LOG, "main"),
    "after_task_publish": Sent("retry", "body exchange headers routing_key", "child"),
    "beat_embedded_init": Sent("beat", "", "main"),
    "beat_init": Sent("beat", "", "main"),
    "before_task_publish": Sent("retry", "body declare exchange headers properties retry_policy routing_key", "child"),
    "celeryd_after_setup": Sent(NODE, "conf instance", "main"),
    "celeryd_init": Sent(NODE, "conf instance options", "main"),
    "heartbeat_sent": Sent("heart", "", "main"),
    "import_modules": Sent("app", "", "main"),
    "task_failure": Sent("task fail", "args einfo exception kwargs task_id traceback", "child"),
    "task_internal_error": Sent("task unfinished", "args einfo exception kwargs request task_id traceback", "child"),
    "task_postrun": Sent("task add", "args kwargs retval state task task_id", "child"),
    "task_prerun": Sent("task add", "args kwargs task task_id", "child"),
    "task_received": Sent("consumer", "request", "main"),
    "task_rejected": Sent("consumer", "exc message", "main"),
    "task_retry": Sent("task retry", "einfo reason request", "child"),
    "task_revoked": Sent("task add", "expired request signum terminated", "main"),
    "task_sent": Sent("retry", "args eta kwargs task task_id taskset", "child"),
    "task_success": Sent("task add", "result runtime", "child"),
    "task_unknown": Sent("consumer", "exc id message name", "main"),
    "worker_before_create_process": Sent("process", "", "child"),
    "worker_init": Sent("worker", "", "main"),
    "worker_process_init": Sent(NODE, "", "child"),
    "worker_process_shutdown": Sent(NODE, "exitcode pid", "child"),
    "worker_ready": Sent("worker", "", "main"),
    "worker_shutdown": Sent("worker", "", "main"),
    "worker_shutting_down": Sent(NODE, "exitcode how sig", "main"),
}
#: Sent elsewhere: by a command of the command line, by pools of greenlets, and instead of setting up logging.
ELSEWHERE = {
    "user_preload_options", "eventlet_pool_started", "eventlet_pool_preshutdown", "eventlet_pool_postshutdown",
    "eventlet_pool_apply", "setup_logging",
}  # fmt: skip


@pytest.fixture(scope="module", params=["prefork", "threads", "asyncio", "solo"])
def lived(
    request: pytest.FixtureRequest, redis_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Workshop]]:
    """The pool, and the workshop of a worker that lived through everything."""
    pool = request.param
    url = f"{redis_server}/2"
    with ExitStack() as stack:
        conf = {"broker_url": url, "result_backend": url, "task_default_queue": servers.unique("signals")}
        directory = tmp_path_factory.mktemp(f"signals-{pool}")
        workshop = Workshop(conf, directory, {"signals_in_full": True})
        stack.callback(workshop.close)
        worker = workshop.start(
            pool=pool, concurrency=1, beat=True, schedule_filename=str(directory / "schedule"), heartbeat_interval=0.2
        )
        _live(workshop)
        wait_until(lambda: workshop.ledger.count("sent heartbeat_sent"), what="a heartbeat")
        wait_until(lambda: workshop.ledger.count("sent beat_embedded_init"), what="beat ticks")
        # The last, because it ends the process that it runs in.
        workshop.app.send_task("unfinished")
        wait_until(lambda: workshop.ledger.count("sent task_internal_error"), what="the internal error")
        if pool == "solo":
            worker.wait()
        else:
            assert worker.stop() == 0
        yield pool, workshop


def _live(workshop: Workshop) -> None:
    """Have tasks end in all ways."""
    task = workshop.task
    added = task("add").delay(1, 2)
    assert added.get(timeout=PATIENCE) == 3
    task("fail").delay()
    task("retry").delay(1).get(timeout=PATIENCE)
    with pytest.warns(RuntimeWarning, match="in the past"):
        task("add").apply_async((1, 1), expires=-1)
    workshop.app.send_task("no.such.task")
    session = workshop.app.broker.connect()
    name = workshop.conf["task_default_queue"]
    try:
        session.publish_many([Publication(Message(b"{", "text/plain", "utf-8", {}, {}), Destination("", name))])
    finally:
        session.close()
    for signal in ("task_failure", "task_revoked", "task_unknown", "task_rejected"):
        wait_until(functools.partial(workshop.ledger.count, f"sent {signal}"), what=signal)


def test_every_signal_is_looked_for() -> None:
    assert EXPECTED.keys() | ELSEWHERE == set(signals.__all__) - {"Signal"}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_signal_is_sent_as_documented(lived: tuple[str, Workshop], name: str) -> None:
    pool, workshop = lived
    if pool == "solo" and name == "worker_before_create_process":
        assert not workshop.ledger.count(f"sent {name}")
        return
    if pool == "solo" and name == "worker_shutting_down":
        # It was ended by a task, not by a signal.
        return
    expected = EXPECTED[name]
    place = "main" if pool == "solo" else expected.place
    sent = [
        (each["sender"], " ".join(each["given"]), each["place"]) for each in workshop.ledger.records(f"sent {name}")
    ]
    assert (expected.sender, expected.given, place) in sent


def test_requests_tell_which_task_they_are_about(lived: tuple[str, Workshop]) -> None:
    ledger = lived[1].ledger
    for name in ("task_received", "task_revoked", "task_retry"):
        records: list[dict[str, Any]] = ledger.records(f"sent {name}")
        assert all(isinstance(record["id"], str) for record in records), name
    assert ledger.records("sent task_revoked")[0]["details"] == {"expired": True, "terminated": False}


def test_init_and_shutdown_are_sent_once_in_the_main_process(lived: tuple[str, Workshop]) -> None:
    _, workshop = lived
    for name in ("worker_init", "worker_ready", "celeryd_init", "celeryd_after_setup", "worker_shutdown"):
        assert workshop.ledger.count(f"sent {name}", place="main") == 1
        assert workshop.ledger.count(f"sent {name}", place="child") == 0
