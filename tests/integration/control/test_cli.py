"""``celeriac status``, ``inspect`` and ``control``, talking to a running worker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from celeriac.cli.main import run
from celeriac.exceptions import TaskRevokedError
from tests.integration.control.test_commands import NODE, busy
from tests.support import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.worker import Workshop

    Cli = Callable[..., tuple[int, str, str]]

ANSWERED = ("-d", NODE, "-t", str(int(PATIENCE)))


@pytest.fixture
def cli(shop: Workshop, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command line for the app of the workshop; returns exit code, stdout and stderr."""

    def call(*argv: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run(argv, shop.app)
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_status_names_the_workers(cli: Cli) -> None:
    assert cli("status", *ANSWERED) == (0, f"->  {NODE}: OK\n\n1 node online.\n", "")
    assert cli("-q", "status", *ANSWERED) == (0, f" {NODE}: OK\n", "")
    code, out, _ = cli("status", "--json", *ANSWERED)
    assert (code, json.loads(out)) == (0, {NODE: {"ok": "pong"}})


def test_answers_are_shown_to_people_and_to_scripts(cli: Cli) -> None:
    assert cli("inspect", *ANSWERED, "ping") == (0, f"->  {NODE}: OK\n        pong\n\n1 node online.\n", "")
    assert cli("inspect", *ANSWERED, "scheduled")[1].startswith(f"->  {NODE}: OK\n    ")
    _, out, _ = cli("inspect", *ANSWERED, "registered", "rate_limit")
    assert "\n    * limited [rate_limit=5/s]\n" in out
    _, out, _ = cli("inspect", *ANSWERED, "clock")
    assert out.startswith(f'->  {NODE}: OK\n    {{\n        "clock": ')
    _, out, _ = cli("inspect", "--json", *ANSWERED, "stats")
    assert json.loads(out)[NODE]["pool"]["max-concurrency"] == 2
    _, out, _ = cli("control", "--json", *ANSWERED, "rate_limit", "nosuch", "1/s")
    assert json.loads(out) == [{NODE: {"error": "unknown task"}}]
    assert cli("control", *ANSWERED, "rate_limit", "nosuch", "1/s")[1] == f"->  {NODE}: ERROR\n        unknown task\n"


def test_nobody_answers(cli: Cli) -> None:
    for command in (("status",), ("inspect", "ping"), ("control", "enable_events")):
        code, out, err = cli(*command, "-d", "nobody@nowhere", "-t", "0.2")
        assert (code, out, err) == (69, "", "Error: No nodes replied within time constraint\n")


def test_commands_are_listed_and_slips_explained(cli: Cli) -> None:
    _, out, _ = cli("inspect", "--list")
    assert "query_task [id1 [id2 [... [idN]]]]" in out
    assert "hello" not in out
    assert "prefetch_limit" in out
    _, out, _ = cli("control", "--list")
    assert "widen [N=1]" in out
    code, _, err = cli("inspect", "nosuch")
    assert code == 2
    assert "Command nosuch not recognized. Available inspect commands: active," in err
    code, _, err = cli("control", "ping")
    assert code == 2
    assert "Available control commands: add_consumer," in err
    assert "Command 'ping' takes no arguments" in cli("inspect", "ping", "x")[2]
    assert "Command 'rate_limit' takes arguments: <task_name>" in cli("control", "rate_limit", "a", "1/s", "x")[2]
    assert "n of command 'pool_grow' is 'x'" in cli("control", "pool_grow", "x")[2]
    assert "'x' is no stamp: write name=value" in cli("control", "revoke_by_stamped_headers", "x")[2]


def test_tasks_are_revoked_and_terminated(cli: Cli, shop: Workshop, request: pytest.FixtureRequest) -> None:
    gate = shop.gate(f"gate-{request.node.name}")
    ended, other = busy(shop, gate)
    try:
        revoked = shop.task("work").delay()
        code, out, _ = cli("control", *ANSWERED, "revoke", revoked.id)
        assert (code, out) == (0, f"->  {NODE}: OK\n        tasks {{{revoked.id!r}}} flagged as revoked\n")
        code, out, _ = cli("control", *ANSWERED, "terminate", "SIGKILL", ended.id)
        assert (code, out) == (0, f"->  {NODE}: OK\n        terminate: {ended.id}\n")
        for result in (revoked, ended):
            with pytest.raises(TaskRevokedError):
                result.get(timeout=PATIENCE)
        stamps = ("a=1", "b=2")
        _, out, _ = cli("control", *ANSWERED, "revoke_by_stamped_headers", *stamps)
        assert "flagged as revoked, but not terminated" in out
    finally:
        gate.touch()
    assert other.get(timeout=PATIENCE) == other.id


def test_a_command_of_ones_own(cli: Cli) -> None:
    assert cli("control", *ANSWERED, "widen", "0") == (0, f"->  {NODE}: OK\n        wider\n", "")
    code, out, _ = cli("inspect", *ANSWERED, "--json", "limit_of_prefetch")
    assert (code, json.loads(out)[NODE]["hostname"]) == (0, NODE)
