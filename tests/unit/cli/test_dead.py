"""``celeriac dead``, on a broker in this process."""

from __future__ import annotations

import io
import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac import Celery
    from celeriac.message import DeadLetter

    Cli = Callable[..., tuple[int, str, str]]


def set_aside(app: Celery, *names: str, queue: str = "celery", reason: str = "not registered") -> list[DeadLetter]:
    """Send a task of each name and set its message aside; returns the dead letters, oldest first."""
    for name in names:
        app.send_task(name, (1,), queue=queue)
    with closing(app.broker_for_read.connect()) as session:
        session.consume([app.queues.get_or_create(queue)])
        session.dead_letter_many([(each, reason) for each in session.fetch(limit=100, wait=0)])
        return session.dead_letters(limit=len(names))[::-1]


def left(app: Celery) -> list[str]:
    """Names of tasks among the dead letters, oldest first."""
    with closing(app.broker_for_read.connect()) as session:
        return [letter.message.headers["task"] for letter in session.dead_letters()][::-1]


def waiting(app: Celery, queue: str = "celery") -> list[Any]:
    """Ids of the tasks that wait, and how often each was delivered."""
    with closing(app.broker_for_read.connect()) as session:
        session.consume([app.queues.get_or_create(queue)])
        return [(each.message.headers["id"], each.deliveries) for each in session.fetch(limit=100, wait=0)]


def test_dead_letters_are_listed_with_their_reason(cli: Cli, app: Celery) -> None:
    first, second = set_aside(app, "mail.send", "report")
    code, out, err = cli("dead", "list", app=app)
    assert (code, err) == (0, "")
    assert out.index(f"report[{second.message.headers['id']}]") < out.index("mail.send[")
    assert out.count("    not registered") == 2
    listed = json.loads(cli("dead", "list", "--json", "--task", "mail.*", app=app)[1])
    assert [(each["id"], each["task"], each["queue"]) for each in listed] == [(first.id, "mail.send", "celery")]


def test_more_than_the_limit_is_told(cli: Cli, app: Celery) -> None:
    set_aside(app, "a", "b", "c")
    _, out, err = cli("dead", "list", "-n", "1", app=app)
    assert "c[" in out
    assert "a[" not in out
    assert err == "2 more; --limit shows them.\n"


def test_no_dead_letter_is_told(cli: Cli, app: Celery) -> None:
    assert cli("dead", "list", app=app) == (0, "", "There are no such dead letters.\n")
    code, _, err = cli("dead", "show", "nothing", app=app)
    assert code == 1
    assert "there is no dead letter 'nothing'" in err


@pytest.mark.parametrize("by", ["dead letter", "task"])
def test_one_is_shown_whole(cli: Cli, app: Celery, by: str) -> None:
    (letter,) = set_aside(app, "mail.send")
    which = letter.id if by == "dead letter" else letter.message.headers["id"]
    out = cli("dead", "show", which, app=app)[1]
    assert "reason: not registered\n" in out
    assert "body: [[1], {}, " in out
    shown = json.loads(cli("dead", "show", which, "--json", app=app)[1])
    assert json.loads(shown["body"])[0] == [1]
    assert shown["headers"]["task"] == "mail.send"


def test_replayed_messages_wait_anew(cli: Cli, app: Celery) -> None:
    letters = set_aside(app, "a", "b", "c")
    code, out, _ = cli("dead", "replay", letters[0].id, letters[2].message.headers["id"], app=app)
    assert code == 0
    assert out.endswith("2 put back.\n")
    assert left(app) == ["b"]
    assert waiting(app) == [(letters[number].message.headers["id"], 1) for number in (0, 2)]


def test_replay_to_another_queue(cli: Cli, app: Celery) -> None:
    (letter,) = set_aside(app, "a")
    out = json.loads(cli("dead", "replay", "--all", "--to", "other", "--json", app=app)[1])
    assert out == {"replayed": [letter.id], "left": 0}
    assert [task_id for task_id, _ in waiting(app, "other")] == [letter.message.headers["id"]]


@pytest.mark.parametrize(
    ("options", "after"),
    [
        (["--task", "mail.*"], ["report", "lost"]),
        (["--queue", "slow"], ["mail.send", "report"]),
        (["--reason", "delivered"], ["mail.send", "report"]),
        (["--all"], []),
        (["--task", "nothing"], ["mail.send", "report", "lost"]),
    ],
)
def test_those_that_match_are_purged(cli: Cli, app: Celery, options: list[str], after: list[str]) -> None:
    set_aside(app, "mail.send", "report")
    set_aside(app, "lost", queue="slow", reason="delivered 6 times")
    number = 3 - len(after)
    assert json.loads(cli("dead", "purge", "-f", "--json", *options, app=app)[1]) == {"purged": number}
    assert left(app) == after


def test_purging_asks_first(cli: Cli, app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    set_aside(app, "a")
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    code, _, err = cli("dead", "purge", "--all", app=app)
    assert code == 1
    assert "Delete 1 dead letters for good?" in err
    assert left(app) == ["a"]


@pytest.mark.parametrize("verb", ["replay", "purge"])
def test_which_ones_has_to_be_said(cli: Cli, app: Celery, verb: str) -> None:
    code, _, err = cli("dead", verb, app=app)
    assert code == 2
    assert "say which" in err
