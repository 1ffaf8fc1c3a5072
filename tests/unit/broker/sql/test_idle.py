"""What an idle session asks of its database."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.broker import Queue, open_broker
from celeriac.message import Destination, Message, Publication

if TYPE_CHECKING:
    from pathlib import Path


class Waited(Exception):
    """The session has waited often enough."""


def test_an_idle_session_asks_one_question_between_two_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session: Any = open_broker(f"sqlite:///{tmp_path}/queue.db").connect()
    try:
        session.consume([Queue("a"), Queue("b")])
        asked: list[str] = []
        waits: list[int] = []
        query = session._store.query

        def ask(statement: str, parameters: Any = ()) -> Any:
            asked.append(statement)
            return query(statement, parameters)

        def wait(seconds: float) -> bool:
            waits.append(len(asked))
            if len(waits) == 5:
                raise Waited
            return False

        monkeypatch.setattr(session._store, "query", ask)
        monkeypatch.setattr(session._store, "wait", wait)
        with pytest.raises(Waited):
            session.fetch(limit=1, wait=1e6)
        assert [later - earlier for earlier, later in itertools.pairwise(waits)] == [1, 1, 1, 1]
    finally:
        session.close()


def test_what_comes_while_it_waits_is_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = open_broker(f"sqlite:///{tmp_path}/queue.db")
    session: Any = broker.connect()
    other = broker.connect()
    try:
        session.consume([Queue("a")])

        def wait(seconds: float) -> bool:
            message = Message(b"news", "text/plain", "utf-8", {}, {})
            other.publish_many([Publication(message, Destination("", "a"))])
            return False

        monkeypatch.setattr(session._store, "wait", wait)
        assert [delivery.message.body for delivery in session.fetch(limit=5, wait=1e6)] == [b"news"]
    finally:
        session.close()
        other.close()
