"""From options of ``celeriac worker`` to the options of a `Worker`; no worker is started."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

import click
import pytest

from celeriac.cli import daemon
from celeriac.cli import worker as module
from celeriac.exceptions import SecurityError
from celeriac.utils.nodenames import gethostname

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from celeriac import Celery
    from celeriac.worker.assembly import WorkerOptions

    Cli = Callable[..., tuple[int, str, str]]


class FakeWorker:
    """Remembers what it was made with."""

    made: ClassVar[list[WorkerOptions]] = []
    is_hung_up = False

    def __init__(self, app: Celery, options: WorkerOptions) -> None:
        self.made.append(options)

    def start(self) -> int:
        return 7


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> list[WorkerOptions]:
    """Options of the workers that were started."""
    monkeypatch.setattr(FakeWorker, "made", [])
    monkeypatch.setattr(module, "Worker", FakeWorker)
    monkeypatch.setattr(daemon, "check_privileges", lambda accept: None)
    return FakeWorker.made


def test_exit_code_is_the_one_of_the_worker(cli: Cli, app: Celery) -> None:
    assert cli("worker", app=app) == (7, "", "")


@pytest.mark.parametrize(
    ("argv", "field", "value"),
    [
        (["-l", "info"], "loglevel", "INFO"),
        (["-c", "3"], "concurrency", 3),
        (["-c", "auto"], "concurrency", None),
        (["-c", "0"], "concurrency", None),
        (["-P", "threads"], "pool", "threads"),
        (["-Q", "a,b"], "queues", ["a", "b"]),
        (["-X", "a"], "exclude_queues", ["a"]),
        (["-I", "m1,m2"], "include", ["m1", "m2"]),
        (["--prefetch-multiplier", "9"], "prefetch_multiplier", 9),
        (["--prefetch-multiplier", "0"], "prefetch_multiplier", None),
        (["--time-limit", "2.5"], "time_limit", 2.5),
        (["--soft-time-limit", "1"], "soft_time_limit", 1.0),
        (["--max-tasks-per-child", "5"], "max_tasks_per_child", 5),
        (["--max-memory-per-child", "9000"], "max_memory_per_child", 9000),
        (["--purge"], "purge", True),
        (["--discard"], "purge", True),
        (["-n", "w1"], "hostname", "celery@w1"),
        (["-n", "w1@%h"], "hostname", f"w1@{gethostname()}"),
        (["-f", "%n-%i.log", "-n", "w1@h"], "logfile", "w1-0.log"),
    ],
)
def test_option_reaches_the_worker(
    cli: Cli, app: Celery, started: list[WorkerOptions], argv: list[str], field: str, value: Any
) -> None:
    assert cli("worker", *argv, app=app)[0] == 7
    assert getattr(started[0], field) == value


def test_global_options_reach_the_worker(cli: Cli, app: Celery, started: list[WorkerOptions]) -> None:
    cli("-q", "-C", "worker", app=app)
    assert (started[0].quiet, started[0].no_color) == (True, True)


def test_options_are_read_from_the_environment(
    cli: Cli, app: Celery, started: list[WorkerOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERY_WORKER_CONCURRENCY", "6")
    cli("worker", app=app)
    assert started[0].concurrency == 6


def test_settings_follow_two_dashes(cli: Cli, app: Celery) -> None:
    cli("worker", "--", "worker.prefetch_multiplier=10", ".max_tasks_per_child=3", "broker_lease=(int)60", app=app)
    conf = app.conf
    assert (conf.worker_prefetch_multiplier, conf.worker_max_tasks_per_child, conf.broker_lease) == (10, 3, 60)


@pytest.mark.parametrize("argument", ["nonsense.name=1", "worker.prefetch_multiplier=many", "word"])
def test_wrong_setting_is_an_error_of_usage(cli: Cli, app: Celery, argument: str) -> None:
    code, _, err = cli("worker", "--", argument, app=app)
    assert code == 2
    assert "Unable to parse extra configuration from command line.\nReason: " in err


def test_disable_prefetch_and_start_method_are_settings(cli: Cli, app: Celery) -> None:
    cli("worker", "--disable-prefetch", "--pool-start-method", "fork", app=app)
    assert (app.conf.worker_disable_prefetch, app.conf.worker_pool_start_method) == (True, "fork")


@pytest.mark.parametrize("flag", ["-E", "--task-events", "--events"])
def test_events_are_options(cli: Cli, app: Celery, started: list[WorkerOptions], flag: str) -> None:
    assert cli("worker", flag, "--heartbeat-interval", "3", "--without-heartbeat", app=app)[0] == 7
    (options,) = started
    assert (options.task_events, options.heartbeat_interval, options.without_heartbeat) == (True, 3.0, True)


def test_turning_off_what_is_not_there_is_accepted(cli: Cli, app: Celery) -> None:
    assert cli("worker", "--without-gossip", "--without-mingle", "-Ofair", app=app)[0] == 7


@pytest.mark.parametrize("argv", [["-c", "x"], ["--time-limit", "0"], ["-l", "loud"], ["-f", "%z.log"], ["--nope"]])
def test_wrong_value_is_an_error_of_usage(cli: Cli, app: Celery, argv: list[str]) -> None:
    code, out, err = cli("worker", *argv, app=app)
    assert (code, out) == (2, "")
    assert "Traceback" not in err


def test_daemon_options_have_settings(
    cli: Cli, app: Celery, started: list[WorkerOptions], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.conf.worker_logfile = "%n.log"
    app.conf.worker_pidfile = "%n.pid"
    held: list[str] = []

    def start(self: FakeWorker) -> int:
        held.append((tmp_path / "w1.pid").read_text())
        return 0

    monkeypatch.setattr(FakeWorker, "start", start)
    assert cli("worker", "-n", "w1@h", app=app)[0] == 0
    assert started[0].logfile == "w1.log"
    assert held == [f"{os.getpid()}\n"]
    assert not (tmp_path / "w1.pid").exists()


def test_pid_file_of_a_running_process_exits_73(cli: Cli, app: Celery, tmp_path: Path) -> None:
    (tmp_path / "w.pid").write_text(f"{os.getppid()}\n")
    code, _, err = cli("worker", "--pidfile", "w.pid", app=app)
    assert code == 73
    assert err == f"ERROR: Pidfile (w.pid) already exists.\nSeems we're already running? (pid: {os.getppid()})\n"


def test_refused_privileges_exit_1(cli: Cli, app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(accept: Any) -> None:
        raise SecurityError("no pickles for root")

    monkeypatch.setattr(daemon, "check_privileges", refuse)
    assert cli("worker", app=app) == (1, "", "Error: no pickles for root\n")


def test_detach_of_a_bound_app_is_refused(cli: Cli, app: Celery) -> None:
    code, _, err = cli("worker", "-D", app=app)
    assert code == 2
    assert "celeriac -A module worker --detach" in err


def test_worker_without_an_app_is_noted(cli: Cli, started: list[WorkerOptions]) -> None:
    assert "Note: no application is named" in cli("worker")[2]
    assert cli("-q", "worker")[2] == ""


def test_options_of_the_app_are_listed_in_the_help(cli: Cli, app: Celery) -> None:
    app.user_options["worker"].add(click.Option(["--canary"], is_flag=True, help="Sing."))
    assert "--canary" in cli("worker", "--help", app=app)[1]


def test_options_of_beat_need_beat(cli: Cli, app: Celery) -> None:
    code, _, err = cli("worker", "-s", "schedule", app=app)
    assert (code, "give that too" in err) == (2, True)
    code, _, err = cli("worker", "-B", "--scheduler", "no.where", app=app)
    assert (code, "cannot be imported" in err) == (1, True)
