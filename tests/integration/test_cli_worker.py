"""``celeriac worker`` as a process: start, ready, signals, exit codes, pid files, detaching."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from celeriac.platform.pidfile import read_pid
from tests.support import PATIENCE, wait_until
from tests.support.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

APP = """
import time
from celeriac import Celery

app = Celery("shop")

@app.task
def add(x, y):
    return x + y

@app.task
def fail():
    raise ValueError("sold out")

@app.task
def touch(path, seconds=0):
    open(path, "w").close()
    time.sleep(seconds)
"""


class Shop:
    """A project in a directory of its own.

    Args:
        directory: The directory.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "shop.py").write_text(APP)
        self.environment = {**os.environ, "XDG_STATE_HOME": str(directory / "state"), "PYTHONUNBUFFERED": "1"}

    def command(self, *argv: str) -> list[str]:
        return [sys.executable, "-m", "celeriac", *argv]

    def run(self, *argv: str, code: int = 0) -> str:
        """Run a command to its end; returns its stdout, or its stderr when it was to fail."""
        done = subprocess.run(
            self.command(*argv),
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    @contextmanager
    def worker(self, *argv: str) -> Iterator[subprocess.Popen[str]]:
        """A worker whose output goes to ``worker.log``; killed if it is still there."""
        log = self.directory / "worker.log"
        with (
            log.open("w") as output,
            subprocess.Popen(
                self.command(*argv),
                cwd=self.directory,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            ) as process,
        ):
            try:
                yield process
            finally:
                process.kill()

    @property
    def log(self) -> str:
        """What the worker has said."""
        return (self.directory / "worker.log").read_text()

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.log, what=f"{text!r} in the worker's log")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def run_the_main_job(shop: Shop, *options: str) -> None:
    with shop.worker("-A", "shop", *options, "worker", "-l", "INFO", "-c", "2") as process:
        shop.wait_for("ready.")
        ids = [shop.run("-A", "shop", *options, "call", "shop.add", "-a", f"[{n}, 1]").strip() for n in range(2)]
        assert [shop.run("-A", "shop", *options, "result", each, "--timeout", str(PATIENCE)) for each in ids] == [
            "1\n",
            "2\n",
        ]
        failed = shop.run("-A", "shop", *options, "call", "shop.fail").strip()
        error = shop.run("-A", "shop", *options, "result", failed, "--timeout", str(PATIENCE), code=1)
        assert "ended as FAILURE: ValueError('sold out')" in error
        process.terminate()
        assert process.wait(PATIENCE) == 0
    assert "worker: Warm shutdown (MainProcess)" in shop.log


def test_main_job_on_the_embedded_default(shop: Shop) -> None:
    run_the_main_job(shop)
    assert f"sqlite:///{shop.directory}/state" in shop.log
    assert "[tasks]\n  . shop.add\n  . shop.fail\n  . shop.touch\n" in shop.log


def test_main_job_on_redis(shop: Shop, redis_url: str) -> None:
    run_the_main_job(shop, "-b", redis_url, "--result-backend", redis_url)


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 1), (signal.SIGQUIT, 1)])
def test_signal_decides_the_exit_code(shop: Shop, pool: str, number: signal.Signals, code: int) -> None:
    with shop.worker("-A", "shop", "worker", "-l", "INFO", "-c", "1", "-P", pool) as process:
        shop.wait_for("ready.")
        process.send_signal(number)
        assert process.wait(PATIENCE) == code


def test_term_lets_a_running_task_finish(shop: Shop, tmp_path: Path) -> None:
    marker = tmp_path / "begun"
    with shop.worker("-A", "shop", "worker", "-l", "INFO", "-c", "1") as process:
        task_id = shop.run("-A", "shop", "call", "shop.touch", "-a", json.dumps([str(marker), 1])).strip()
        wait_until(marker.exists)
        process.terminate()
        assert process.wait(PATIENCE) == 0
    assert json.loads(shop.run("-A", "shop", "result", task_id, "--json"))["status"] == "SUCCESS"


def test_quiet_worker_prints_no_banner(shop: Shop) -> None:
    with shop.worker("-q", "-A", "shop", "worker", "-l", "INFO") as process:
        shop.wait_for("ready.")
        process.terminate()
        assert process.wait(PATIENCE) == 0
    assert "[config]" not in shop.log


def test_purge_of_the_worker_empties_its_queues_first(shop: Shop, tmp_path: Path) -> None:
    marker = tmp_path / "begun"
    shop.run("-A", "shop", "call", "shop.touch", "-a", json.dumps([str(marker)]))
    with shop.worker("-A", "shop", "worker", "-l", "INFO", "--purge") as process:
        shop.wait_for("ready.")
        process.terminate()
        assert process.wait(PATIENCE) == 0
    assert "purge: Erased 1 messages from the queue." in shop.log
    assert not marker.exists()


def test_second_worker_with_the_pid_file_exits_73(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "w.pid"
    with shop.worker("-A", "shop", "worker", "-l", "INFO", "--pidfile", str(path)) as process:
        shop.wait_for("ready.")
        assert read_pid(path) == process.pid
        assert "Seems we're already running?" in shop.run("-A", "shop", "worker", "--pidfile", str(path), code=73)
        process.terminate()
        assert process.wait(PATIENCE) == 0
    assert not path.exists()


def test_worker_with_the_pid_file_of_a_killed_one_starts(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "w.pid"
    for _ in range(2):
        with shop.worker("-A", "shop", "worker", "-l", "INFO", "--pidfile", str(path)) as process:
            shop.wait_for("ready.")
            assert read_pid(path) == process.pid
            process.kill()


def test_detached_worker_runs_until_it_is_told_to_stop(shop: Shop, tmp_path: Path) -> None:
    log, pid_file = tmp_path / "shop.log", tmp_path / "shop.pid"
    argv = ["worker", "-D", "-l", "INFO", "-c", "1", "-n", "w1@%h", "--logfile", "%n.log", "--pidfile", "shop.pid"]
    renamed = tmp_path / "w1.log"
    out = shop.run("-A", "shop", *argv)
    pid = int(out.split()[-1].rstrip("."))
    try:
        wait_until(lambda: renamed.exists() and "ready." in renamed.read_text(), what="a ready worker")
        assert not log.exists()
        assert read_pid(pid_file) == pid
        assert os.getsid(pid) != os.getsid(0)
        task_id = shop.run("-A", "shop", "call", "shop.add", "-a", "[20, 3]").strip()
        assert shop.run("-A", "shop", "result", task_id, "--timeout", str(PATIENCE)) == "23\n"
    finally:
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not pid_file.exists(), what="the end of the worker")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["-f", "/no/such/directory/x.log"], "The log file /no/such/directory/x.log cannot be written"),
        (["--pidfile", "/no/such/directory/x.pid"], "The pid file /no/such/directory/x.pid cannot be written"),
        (["--executable", "/no/such/python"], "Can't exec '/no/such/python"),
        (["--uid", "no-such-user"], "there is no user 'no-such-user'"),
    ],
)
def test_worker_that_cannot_be_detached_says_why(shop: Shop, argv: list[str], message: str) -> None:
    assert message in shop.run("-A", "shop", "worker", "-D", *argv, code=1)


def test_broker_that_is_away_exits_1_when_retrying_is_off(shop: Shop) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    error = shop.run("-A", "shop", "-b", url, "worker", "--", "broker.connection_retry=0", code=1)
    assert "Connection refused" in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["-A", "shpo", "worker"], 2, "Did you mean -A shop?"),
        (["-b", "foo://x", "-A", "shop", "worker"], 1, "unknown scheme 'foo'"),
        (["-b", "localhost:6379", "-A", "shop", "worker"], 1, "broker_url 'localhost:6379' is not a URL"),
        (["-A", "shop", "worker", "-Q", "x", "--", "task_create_missing_queues=0"], 1, "'x' is not in task_queues"),
        (["-A", "shop", "worker", "-X", "celery"], 1, "there is no queue to consume"),
        (["-A", "shop", "worker", "-I", "no_module"], 1, "no_module"),
        (["-A", "shop", "worker", "--", "worker.concurrency=x"], 1, "worker_concurrency is 'x'"),
    ],
)
def test_mistakes_are_one_clear_error(shop: Shop, argv: list[str], code: int, message: str) -> None:
    error = shop.run(*argv, code=code)
    assert message in error
    assert "Traceback" not in error


def test_multi_starts_restarts_and_stops_nodes(shop: Shop) -> None:
    files = ("--pidfile=%n.pid", "--logfile=logs/%n.log")
    pids = [shop.directory / f"celery{number}.pid" for number in (1, 2)]

    def ready(times: int) -> bool:
        logs = [shop.directory / "logs" / f"celery{number}.log" for number in (1, 2)]
        return all(log.exists() and log.read_text().count(" ready.") == times for log in logs)

    try:
        started = shop.run("multi", "start", "2", "-A", "shop", "-l", "INFO", "-c", "1", *files)
        assert started.count(": OK") == 2
        wait_until(lambda: ready(1))
        before = [read_pid(path) for path in pids]
        restarted = shop.run("multi", "restart", "2", "-A", "shop", "-l", "INFO", "-c", "1", *files)
        assert all(f"TERM -> {pid}" in restarted for pid in before)
        wait_until(lambda: ready(2))
        assert None not in (after := [read_pid(path) for path in pids])
        assert not set(before) & set(after)
        stopped = shop.run("multi", "stopwait", "2", *files)
        assert "> Waiting for 2 nodes ->" in stopped
        assert [read_pid(path) for path in pids] == [None, None]
    finally:
        shop.run("multi", "kill", "2", *files)


def test_lines_of_worker_and_tasks_are_json_where_that_is_asked_for(shop: Shop) -> None:
    with shop.worker("-A", "shop", "worker", "-l", "INFO", "-c", "1", "--log-format", "json"):
        shop.wait_for("ready.")
        for name, arguments in (("add", "[1, 2]"), ("fail", "[]")):
            shop.run("-A", "shop", "call", f"shop.{name}", "-a", arguments)
        shop.wait_for("sold out")
    lines = [
        json.loads(line) for line in (shop.directory / "worker.log").read_text().splitlines() if line.startswith("{")
    ]
    succeeded = next(line for line in lines if "succeeded" in line["message"])
    failed = next(line for line in lines if "raised unexpected" in line["message"])
    assert (succeeded["level"], failed["level"]) == ("INFO", "ERROR")
    assert "ValueError: sold out" in failed.get("exception", "") + failed["message"]


def test_worker_direct_consumes_a_queue_of_its_own(shop: Shop) -> None:
    with shop.worker("-A", "shop", "worker", "-l", "INFO", "-c", "1", "-n", "w1@here", "--", "worker.direct=true"):
        shop.wait_for("ready.")
        assert ".> w1@here.dq2      exchange=C.dq2(direct) key=w1@here" in (shop.directory / "worker.log").read_text()
        task_id = shop.run("-A", "shop", "call", "shop.add", "-a", "[1, 2]", "--queue", "w1@here.dq2").strip()
        assert shop.run("-A", "shop", "result", task_id, "--timeout", str(PATIENCE)) == "3\n"


def test_a_hung_up_worker_without_a_terminal_starts_anew_in_the_same_process(shop: Shop) -> None:
    log = shop.directory / "worker.log"
    pidfile = shop.directory / "worker.pid"

    def ready() -> int:
        return log.read_text().count(" ready.")

    with shop.worker("-A", "shop", "worker", "-l", "INFO", "-P", "solo", "--pidfile", str(pidfile)) as worker:
        wait_until(lambda: ready() == 1, what="the worker is ready")
        worker.send_signal(signal.SIGHUP)
        wait_until(lambda: ready() == 2, what="the worker is ready again")
        text = log.read_text()
        assert text.index("Warm shutdown") < text.index("Restarting celeriac worker (") < text.rindex(" ready.")
        assert read_pid(pidfile) == worker.pid
        assert shop.run("-A", "shop", "call", "shop.add", "-a", "[1, 2]")
        worker.terminate()
        assert worker.wait(PATIENCE) == 0


def test_a_hung_up_worker_with_a_terminal_stops_as_with_sigterm(shop: Shop) -> None:
    controller, terminal = os.openpty()
    command = shop.command("-A", "shop", "worker", "-l", "INFO", "-P", "solo", "-f", "worker.log")
    try:
        with subprocess.Popen(command, cwd=shop.directory, env=shop.environment, stdout=terminal) as worker:
            log = shop.directory / "worker.log"
            wait_until(lambda: log.exists() and " ready." in log.read_text(), what="the worker is ready")
            worker.send_signal(signal.SIGHUP)
            assert worker.wait(PATIENCE) == 0
        assert log.read_text().count(" ready.") == 1
    finally:
        os.close(controller)
        os.close(terminal)
