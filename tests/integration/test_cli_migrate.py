"""``celeriac migrate`` between brokers of every kind."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from celeriac import Celery
from celeriac.broker import open_broker
from celeriac.cli.main import run
from tests.support import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from celeriac.message import Delivery

    Migrate = Callable[..., tuple[int, list[str], str]]

PAIRS = [("redis", "amqp"), ("amqp", "redis"), ("redis", "sqlite"), ("sqlite", "postgresql"), ("postgresql", "amqp")]


@pytest.fixture
def broker_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """URL of a broker of its own, by its kind."""

    def find(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path}/broker.db"
        url: str = request.getfixturevalue(f"{kind}_url")
        return url

    return find


@pytest.fixture
def app(unique_name: str) -> Iterator[Celery]:
    with closing(Celery("mover", set_as_current=False)) as app:
        app.conf.task_default_queue = unique_name
        app.conf.result_backend = "disabled://"
        yield app


@pytest.fixture
def migrate(app: Celery, capsys: pytest.CaptureFixture[str]) -> Migrate:
    """Run the command; returns exit code, lines of stdout, and stderr."""

    def call(*argv: str) -> tuple[int, list[str], str]:
        capsys.readouterr()
        code = run(["migrate", "-t", "0.2", *argv], app)
        out, err = capsys.readouterr()
        return code, out.splitlines(), err

    return call


def send(url: str, *names: str, queue: str) -> list[str]:
    """Send a task of each name to a queue; returns the ids."""
    with closing(Celery("sender", broker=url, backend="disabled://", set_as_current=False)) as sender:
        return [sender.send_task(name, (1, "é"), queue=queue, countdown=None).id for name in names]


def received(url: str, queue: str, number: int) -> list[tuple[str, bytes]]:
    """Take messages; returns id and body of each."""
    app = Celery("receiver", broker=url, set_as_current=False)
    with closing(app), closing(open_broker(url).connect()) as session:
        session.consume([app.queues.get_or_create(queue)])
        found: list[Delivery] = []
        while len(found) < number and (batch := session.fetch(limit=number, wait=PATIENCE)):
            found += batch
        session.ack_many(found, confirm=True)
        assert session.fetch(limit=1, wait=0) == []
        return [(each.message.headers["id"], each.message.body) for each in found]


@pytest.mark.parametrize(("source", "destination"), PAIRS)
def test_messages_are_moved(
    migrate: Migrate, broker_url: Callable[[str], str], unique_name: str, source: str, destination: str
) -> None:
    there, here = broker_url(source), broker_url(destination)
    ids = send(there, "a", "b", "a", queue=unique_name)
    code, lines, _ = migrate(there, here, "-a")
    assert code == 0
    assert [line.split(": ")[1] for line in lines[:3]] == [f"{n}[{i}]" for n, i in zip("aba", ids, strict=True)]
    assert lines[0].startswith("Migrating task 1/3: ")
    assert lines[-1].startswith("Moved 3 messages to ")
    assert [task_id for task_id, _ in received(here, unique_name, 3)] == ids
    assert received(there, unique_name, 0) == []


def test_messages_are_copied_without_ack(migrate: Migrate, broker_url: Callable[[str], str], unique_name: str) -> None:
    there, here = broker_url("redis"), broker_url("amqp")
    ids = send(there, "a", "b", queue=unique_name)
    assert migrate(there, here)[1][-1].startswith("Copied 2 messages to ")
    copies, originals = received(here, unique_name, 2), received(there, unique_name, 2)
    assert sorted(copies) == sorted(originals)
    assert sorted(task_id for task_id, _ in originals) == sorted(ids)


def test_tasks_queues_and_number_are_chosen(
    migrate: Migrate, broker_url: Callable[[str], str], unique_name: str
) -> None:
    there, here = broker_url("redis"), broker_url("amqp")
    ids = send(there, "a", "b", "a", "a", queue=unique_name)
    code, _, _ = migrate(there, here, "-a", "-T", "a", "-n", "2", "-Q", f"{unique_name}:{unique_name}.new")
    assert code == 0
    assert [task_id for task_id, _ in received(here, f"{unique_name}.new", 2)] == [ids[0], ids[2]]
    assert sorted(task_id for task_id, _ in received(there, unique_name, 2)) == sorted([ids[1], ids[3]])


def test_broker_that_is_away_is_told(migrate: Migrate, broker_url: Callable[[str], str]) -> None:
    code, _, err = migrate(broker_url("redis"), "redis://127.0.0.1:1/0")
    assert code == 69
    assert "Could not connect to the message broker redis://127.0.0.1:1/0" in err
