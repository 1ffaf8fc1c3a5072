"""``celeriac amqp`` against RabbitMQ: every method, in one process of the tests."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from celeriac.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Callable

    Amqp = Callable[..., tuple[int, str, str]]


@pytest.fixture
def amqp(amqp_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Amqp:
    """Run one method, or the prompt with what is typed there; returns exit code, stdout and stderr."""
    monkeypatch.setenv("CELERY_BROKER_URL", amqp_url)

    def call(*argv: str, typed: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        capsys.readouterr()
        code = run(["amqp", *argv])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_messages_go_through_exchange_and_queue(amqp: Amqp, unique_name: str) -> None:
    queue, exchange = unique_name, f"{unique_name}.x"
    assert amqp("exchange.declare", exchange, "direct")[:2] == (0, "OK\n")
    assert amqp("queue.declare", queue)[1] == f"queue:{queue} messages:0 consumers:0\n"
    assert amqp("queue.bind", queue, exchange, "key")[1] == "OK\n"
    for text in ("one", "two"):
        assert amqp("basic.publish", text, exchange, "key")[1] == "OK\n"
    assert amqp("queue.declare", queue, "1")[1] == f"queue:{queue} messages:2 consumers:0\n"
    assert "body: one\n" in amqp("basic.get", queue)[1]
    assert "redelivered: True\n" in amqp("basic.get", queue, "1")[1]
    assert amqp("queue.purge", queue)[1] == "1 messages deleted.\n"
    assert amqp("basic.get", queue)[1] == "(empty)\n"
    assert amqp("queue.delete", queue)[1] == "0 messages deleted.\n"
    assert amqp("exchange.delete", exchange)[1] == "OK\n"


def test_refusals_are_one_line(amqp: Amqp, unique_name: str) -> None:
    code, out, err = amqp("queue.declare", unique_name, "1")
    assert (code, out) == (1, "")
    assert "404 NOT_FOUND" in err
    assert "Traceback" not in err


def test_prompt_goes_on_after_errors(amqp: Amqp, unique_name: str) -> None:
    typed = (
        f"queue.declare {unique_name}\nbasic.publish 'two words' '' {unique_name}\nbasic.get {unique_name}\n"
        f"basic.ack 1\nqueue.declare missing-{unique_name} 1\nfrob\n\nqueue.delete {unique_name}\nexit\nnever\n"
    )
    code, out, err = amqp(typed=typed)
    assert code == 0
    assert "body: two words" in out
    assert "404 NOT_FOUND" in err
    assert "There is no command 'frob'" in err
    assert out.endswith("0 messages deleted.\n")
    assert "never" not in err


def test_other_brokers_are_refused(amqp: Amqp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://:secret@localhost/0")
    code, _, err = amqp("queue.purge", "x")
    assert code == 1
    assert "redis://:**@localhost/0" in err
    assert "-b amqp://" in err
