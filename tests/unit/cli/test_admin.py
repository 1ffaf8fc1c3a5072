"""Commands around tasks and queues, on a broker in this process."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING

import click

from celeriac.backend.base import ResultRecord

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from celeriac import Celery

    Cli = Callable[..., tuple[int, str, str]]


def take(app: Celery, queue: str = "celery") -> list[dict[str, object]]:
    """Headers and bodies of the messages that wait."""
    with closing(app.broker_for_read.connect()) as session:
        session.consume([app.queues.get_or_create(queue)])
        found = session.fetch(limit=10, wait=0)
        session.ack_many(found)
    return [{**each.message.headers, "body": json.loads(each.message.body)} for each in found]


def test_call_publishes_and_prints_the_id(cli: Cli, app: Celery) -> None:
    code, out, err = cli("call", "proj.add", "-a", "[2, 3]", "-k", '{"z": 1}', app=app)
    assert (code, err) == (0, "")
    [message] = take(app)
    assert (message["task"], message["id"]) == ("proj.add", out.strip())
    assert message["body"][:2] == [[2, 3], {"z": 1}]  # type: ignore[index]


def test_call_sends_tasks_that_are_not_registered_to_any_queue(cli: Cli, app: Celery) -> None:
    assert cli("call", "elsewhere.job", "--queue", "other", app=app)[0] == 0
    assert [message["task"] for message in take(app, "other")] == ["elsewhere.job"]


def test_call_prints_json_for_scripts(cli: Cli, app: Celery) -> None:
    out = json.loads(cli("call", "proj.add", "--json", "--expires", "60", app=app)[1])
    [message] = take(app)
    assert out == {"task_id": message["id"], "task": "proj.add"}
    assert message["expires"]


def test_call_with_two_times_is_an_error_of_usage(cli: Cli, app: Celery) -> None:
    code, _, err = cli("call", "x", "--eta", "2030-01-01T00:00:00Z", "--countdown", "3", app=app)
    assert code == 2
    assert "--eta and --countdown" in err


# -------------------------------------------------------------------------------------------------- results


def store(app: Celery, status: str, result: object, traceback: str | None = None) -> None:
    app.backend.store_many([ResultRecord("id1", status, result, traceback, date_done="2030-01-01T00:00:00+00:00")])


def test_result_prints_the_value(cli: Cli, app: Celery) -> None:
    store(app, "SUCCESS", "fine")
    assert cli("result", "id1", app=app) == (0, "fine\n", "")


def test_result_of_a_failure_goes_to_stderr_and_exits_1(cli: Cli, app: Celery) -> None:
    store(app, "FAILURE", ValueError("nope"), "Traceback …")
    code, out, err = cli("result", "id1", app=app)
    assert (code, out) == (1, "")
    assert "task id1 ended as FAILURE: ValueError('nope')" in err
    assert cli("result", "id1", "--traceback", app=app) == (0, "Traceback …\n", "")


def test_result_prints_json_for_scripts(cli: Cli, app: Celery) -> None:
    store(app, "FAILURE", ValueError("nope"), "Traceback …")
    code, out, _ = cli("result", "id1", "--json", app=app)
    assert code == 1
    assert json.loads(out) == {
        "task_id": "id1",
        "status": "FAILURE",
        "ready": True,
        "result": {"type": "ValueError", "message": "nope"},
        "traceback": "Traceback …",
        "date_done": "2030-01-01T00:00:00+00:00",
    }


def test_result_that_does_not_come_in_time_exits_1(cli: Cli, app: Celery) -> None:
    code, _, err = cli("result", "unknown", "--timeout", "0.01", app=app)
    assert (code, err) == (1, "Error: task unknown is not ready after 0.01 seconds; its state is PENDING\n")
    out = cli("result", "unknown", "--timeout", "0.01", "--json", app=app)[1]
    assert json.loads(out) == {"task_id": "unknown", "status": "PENDING", "ready": False}


def test_result_of_an_unknown_task_name_is_an_error_of_usage(cli: Cli, app: Celery) -> None:
    code, _, err = cli("result", "id1", "-t", "proj.sub", app=app)
    assert code == 2
    assert "no task 'proj.sub'" in err


def test_result_without_a_backend_says_so(cli: Cli, app: Celery) -> None:
    app.conf.result_backend = "disabled://"
    code, _, err = cli("result", "id1", app=app)
    assert code == 1
    assert "No result backend is configured" in err


# --------------------------------------------------------------------------------------------------- queues


def test_purge_empties_the_chosen_queues(cli: Cli, app: Celery) -> None:
    for queue in ("a", "a", "b"):
        app.send_task("x", queue=queue)
    code, out, _ = cli("purge", "-f", "-Q", "a,b", "-X", "b", app=app)
    assert (code, out) == (0, "Purged 2 messages from 1 known task queue.\n")
    out = cli("purge", "-f", "-Q", "a,b", "--json", app=app)[1]
    assert json.loads(out) == {"queues": {"a": 0, "b": 1}, "total": 1}
    assert cli("purge", "-f", app=app)[1].startswith("No messages purged from ")


def test_purge_asks_first(cli: Cli, app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    app.send_task("x")
    monkeypatch.setattr("click.confirm", _refuse)
    code, out, err = cli("purge", app=app)
    assert (code, out) == (1, "")
    assert "all messages that wait in: celery" in err
    assert len(take(app)) == 1


def _refuse(*_: object, **__: object) -> None:
    raise click.Abort


def test_purge_of_nothing_is_an_error_of_usage(cli: Cli, app: Celery) -> None:
    assert cli("purge", "-f", "-X", "celery", app=app)[0] == 2


def test_list_tasks_leaves_out_the_built_in_ones(cli: Cli, app: Celery) -> None:
    assert cli("list", "tasks", app=app)[1] == "proj.add\n"
    names = json.loads(cli("list", "tasks", "--all", "--json", app=app)[1])
    assert "proj.add" in names
    assert any(name.startswith("celery.") for name in names)


def test_task_module_that_fails_is_shown_where_it_fails(cli: Cli, app: Celery, tmp_path: Path) -> None:
    (tmp_path / "bad_tasks.py").write_text("x = 1\nx.missing\n")
    app.conf.include = ("bad_tasks",)
    code, out, err = cli("list", "tasks", app=app)
    assert (code, out) == (1, "")
    assert err.startswith(
        "Error: Importing task modules failed: AttributeError: 'int' object has no attribute 'missing'"
    )
    assert 'bad_tasks.py", line 2' in err
    assert "/celeriac/" not in err


def test_list_queues_counts_what_waits(cli: Cli, app: Celery) -> None:
    app.send_task("x")
    assert cli("list", "queues", app=app)[1].split() == ["Queue", "Messages", "celery", "1"]
    assert json.loads(cli("list", "queues", "--json", app=app)[1]) == [{"name": "celery", "messages": 1}]


def test_list_bindings_prints_columns_of_28(cli: Cli, app: Celery) -> None:
    lines = cli("list", "bindings", app=app)[1].splitlines()
    assert lines[0] == f"{'Queue':<28}{'Exchange':<28}Routing Key"
    assert lines[1] == f"{'celery':<28}{'celery':<28}celery"
    assert json.loads(cli("list", "bindings", "--json", app=app)[1]) == [
        {"queue": "celery", "exchange": "celery", "routing_key": "celery"}
    ]


# --------------------------------------------------------------------------------------------------- report


def test_report_masks_passwords(cli: Cli, app: Celery) -> None:
    app.conf.broker_read_url = "redis://user:hushhush@127.0.0.1/0"
    code, out, _ = cli("report", app=app)
    assert code == 0
    assert "software -> celeriac:" in out
    assert "broker_read_url" in out
    assert "hushhush" not in out


def test_report_as_json_has_the_same_facts(cli: Cli, app: Celery) -> None:
    found = json.loads(cli("report", "--json", app=app)[1])
    assert (found["app"], found["transport"], found["results"]) == ("proj", app.broker.url, app.backend.url)
    assert "click" in found["packages"]
