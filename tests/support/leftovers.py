"""What is left in brokers and result stores when everything should be done."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from celeriac.backend.keys import DUE_PREFIX
from celeriac.backend.kv.backend import JoiningKeyValueBackend
from celeriac.backend.kv.due import LISTS

if TYPE_CHECKING:
    from tests.support.worker import Workshop

_MESSAGES = "SELECT count(*) FROM celeriac_messages"
_CHORDS = "SELECT count(*) FROM celeriac_chords WHERE body IS NOT NULL"


def messages_left(workshop: Workshop, *queues: str) -> int:
    """Messages that wait, are delayed, or are held by a worker."""
    url = workshop.conf["broker_url"]
    if not url.startswith("redis"):
        return _count(url, _MESSAGES)
    session: Any = workshop.app.broker_for_read.connect()
    try:
        names = queues or (workshop.app.conf.task_default_queue,)
        return int(sum(session.depths(names).values()) + session._client.command("HLEN", "unacked"))
    finally:
        session.close()


def chords_due(workshop: Workshop) -> int:
    """Chords that are complete and not yet concluded."""
    url = workshop.conf["result_backend"]
    store: Any = workshop.app.backend
    if isinstance(store, JoiningKeyValueBackend):
        lists = store._read([f"{DUE_PREFIX}{number}" for number in range(LISTS)])
        return sum(len(json.loads(listed.data)) for listed in lists.values())
    if not url.startswith("redis"):
        return _count(url.removeprefix("db+"), _CHORDS)
    return int(store._command("ZCARD", "celeriac-chords"))


def _count(url: str, statement: str) -> int:
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            return int(connection.execute(statement).fetchone()[0])
    import psycopg

    with psycopg.connect(url) as connection:
        row = connection.execute(statement.encode()).fetchone()
        return int(row[0]) if row else 0
