"""``call``, ``purge``, ``list`` and ``report`` as processes: brokers that are away, and what scripts read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from celeriac.broker import Queue, open_broker
from celeriac.message import Destination, Message, Publication
from tests.support import PATIENCE
from tests.support.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def celeriac(tmp_path: Path) -> Run:
    """Run ``python -m celeriac`` in an empty directory."""

    def run(*argv: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), **variables}
        command = [sys.executable, "-m", "celeriac", *argv]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=PATIENCE, input=""
        )

    return run


@pytest.mark.parametrize("argv", [["call", "x"], ["purge", "-f"], ["list", "queues"], ["list", "bindings"]])
@pytest.mark.parametrize("url", ["redis://:secret@127.0.0.1:{}/0", "amqp://guest:secret@127.0.0.1:{}//"])
def test_broker_that_is_away_exits_69(celeriac: Run, argv: list[str], url: str) -> None:
    done = celeriac("-b", url.format(free_port()), *argv)
    assert (done.returncode, done.stdout) == (69, "")
    assert done.stderr.startswith("Error: Could not connect to the message broker ")
    assert len(done.stderr.splitlines()) == 1
    assert "secret" not in done.stderr


def test_result_backend_that_is_away_exits_69(celeriac: Run) -> None:
    done = celeriac("--result-backend", f"redis://127.0.0.1:{free_port()}/0", "result", "x", "--timeout", "1")
    assert (done.returncode, done.stdout) == (69, "")
    assert done.stderr.startswith("Error: Could not connect to the result backend ")


def test_wrong_password_of_the_broker_is_told(celeriac: Run, amqp_url: str) -> None:
    done = celeriac("-b", amqp_url.replace(":guest@", ":wrong@"), "call", "x")
    assert done.returncode == 69
    assert "ACCESS_REFUSED" in done.stderr or "refused" in done.stderr
    assert "wrong" not in done.stderr


@pytest.mark.parametrize("broker", ["sqlite://", "redis", "amqp"])
def test_messages_are_counted_and_purged(
    celeriac: Run, request: pytest.FixtureRequest, broker: str, unique_name: str
) -> None:
    url = broker if broker == "sqlite://" else request.getfixturevalue(f"{broker}_url")
    variables = {"CELERY_BROKER_URL": url}
    for _ in range(3):
        assert celeriac("call", "x", "--queue", unique_name, **variables).returncode == 0
    done = celeriac("purge", "-f", "-Q", unique_name, "--json", **variables)
    assert json.loads(done.stdout) == {"queues": {unique_name: 3}, "total": 3}
    done = celeriac("purge", "-f", "-Q", unique_name, **variables)
    assert (done.returncode, done.stdout) == (0, "No messages purged from 1 queue.\n")


def test_delayed_messages_are_released(celeriac: Run, redis_url: str, unique_name: str) -> None:
    # Without an ETA of its own a message is delayed although no worker is there.
    queue = Queue(unique_name)
    message = Message(b"[[], {}, {}]", "application/json", "utf-8", {"id": "a", "task": "x"}, {})
    with closing(open_broker(redis_url).connect()) as session:
        session.publish_many([Publication(message, Destination("", queue.name, queue), time.time() + 100)])
    done = celeriac("-b", redis_url, "release", "-Q", unique_name, "--json")
    assert json.loads(done.stdout) == {"queues": {unique_name: 1}, "total": 1}
    done = celeriac("-b", redis_url, "release", "-Q", unique_name)
    assert (done.returncode, done.stdout) == (0, "Released 0 delayed messages to 0 queues.\n")


def test_other_brokers_have_nothing_to_release(celeriac: Run) -> None:
    done = celeriac("-b", "sqlite:///queue.db", "release")
    assert done.returncode == 0
    assert done.stdout.startswith("Nothing to release: sqlite:///")


def test_purge_of_a_queue_that_does_not_exist_finds_nothing(celeriac: Run, amqp_url: str, unique_name: str) -> None:
    done = celeriac("-b", amqp_url, "purge", "-f", "-Q", unique_name)
    assert (done.returncode, done.stdout, done.stderr) == (0, "No messages purged from 1 queue.\n", "")


def test_purge_without_a_terminal_deletes_nothing(celeriac: Run) -> None:
    celeriac("call", "x")
    assert celeriac("purge").returncode == 1
    assert json.loads(celeriac("list", "queues", "--json").stdout) == [{"name": "celery", "messages": 1}]


def test_list_bindings_declares_and_prints(celeriac: Run, redis_url: str) -> None:
    done = celeriac("-b", redis_url, "list", "bindings", "--json")
    assert json.loads(done.stdout) == [{"queue": "celery", "exchange": "celery", "routing_key": "celery"}]


def test_report_needs_no_server(celeriac: Run) -> None:
    done = celeriac("-b", f"redis://:secret@127.0.0.1:{free_port()}/0", "report", "--json")
    assert done.returncode == 0
    assert "secret" not in done.stdout
    assert json.loads(done.stdout)["celeriac"]


def test_program_is_installed_under_its_name(tmp_path: Path) -> None:
    program = os.path.join(os.path.dirname(sys.executable), "celeriac")  # noqa: PTH118, PTH120 - a symbolic link
    done = subprocess.run([program, "--version"], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout.split()[0]) == (0, "celeriac")
