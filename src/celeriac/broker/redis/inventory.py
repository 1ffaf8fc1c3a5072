"""What lies in a Redis broker, for those who ask: waiting and delayed messages, dead letters, notices.

Nothing here is on the path of a task.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from celeriac.broker.base import MAX_NOTICES
from celeriac.broker.envelope import with_eta
from celeriac.broker.redis import scripts
from celeriac.broker.redis.consuming import escape_glob, is_dead_letter_id, read_dead_letter

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from celeriac.broker.redis.client import Client
    from celeriac.broker.redis.layout import Layout
    from celeriac.message import DeadLetter

#: Messages in one call of a script, so that no call keeps other clients waiting for long.
_PAGE = 1000


class Inventory:
    """The queries of a session.

    Args:
        client: The session's.
        layout: Names of keys.
    """

    def __init__(self, client: Client, layout: Layout) -> None:
        self._client = client
        self._layout = layout

    # ------------------------------------------------------------------------------- waiting messages

    def purge(self, queue: str) -> int:
        """Drop every message of a queue, delayed ones too; returns how many."""
        keys = [self._layout.delayed(queue), *self._layout.lists(queue)]
        return int(self._client.script(scripts.PURGE, len(keys), *keys))

    def depths(self, queues: Sequence[str]) -> dict[str, int]:
        """Waiting messages by queue."""
        lists = [(queue, key) for queue in queues for key in self._layout.lists(queue)]
        counts = self._client.commands([("LLEN", key) for _, key in lists])
        found = dict.fromkeys(queues, 0)
        for (queue, _), count in zip(lists, counts, strict=True):
            found[queue] += count
        return found

    # ------------------------------------------------------------------------------- delayed messages

    def count_delayed(self, queues: Sequence[str]) -> dict[str, int]:
        """Delayed messages by queue."""
        counts = self._client.commands([("ZCARD", self._layout.delayed(queue)) for queue in queues])
        return dict(zip(queues, counts, strict=True))

    def release_delayed(self, queues: Sequence[str] | None) -> dict[str, int]:
        """Move delayed messages to their queues, with an ETA; returns how many by queue."""
        chosen = self._delayed_queues() if queues is None else list(queues)
        return {queue: count for queue in chosen if (count := self._release_delayed(queue))}

    def _delayed_queues(self) -> list[str]:
        prefix, cursor = self._layout.delayed(""), b"0"
        found: set[str] = set()
        while True:
            cursor, keys = self._client.command("SCAN", cursor, "MATCH", f"{escape_glob(prefix)}*", "COUNT", _PAGE)
            found |= {key.decode()[len(prefix) :] for key in keys}
            if cursor == b"0":
                return sorted(found)

    def _release_delayed(self, queue: str) -> int:
        layout, key, moved = self._layout, self._layout.delayed(queue), 0
        plain = f"{layout.prefix}{queue}".encode()
        while page := self._client.command("ZRANGE", key, 0, _PAGE - 1, "WITHSCORES"):
            arguments: list[str | bytes] = []
            # RESP3 has pairs, RESP2 a flat list.
            for member, due in page if type(page[0]) is list else zip(page[::2], page[1::2], strict=True):
                suffix, envelope = layout.read_delayed_member(member)
                arguments += (member, plain + suffix, with_eta(envelope, float(due)))
            moved += self._client.script(scripts.UNDELAY, 1, key, *arguments)
        return moved

    # ----------------------------------------------------------------------------------- dead letters

    def dead_letters(self, limit: int) -> list[DeadLetter]:
        """The newest dead letters, newest first."""
        entries = self._client.command("XREVRANGE", self._layout.dead, "+", "-", "COUNT", limit)
        return [read_dead_letter(entry) for entry in entries]

    def count_dead_letters(self) -> int:
        """All dead letters."""
        return int(self._client.command("XLEN", self._layout.dead))

    def remove_dead_letters(self, ids: Collection[str]) -> int:
        """Delete dead letters; returns how many were there."""
        known = [each for each in ids if is_dead_letter_id(each)]
        return int(self._client.command("XDEL", self._layout.dead, *known)) if known else 0

    # ---------------------------------------------------------------------------------------- notices

    def keep_notices(self, topic: str, notices: Sequence[str], seconds: float) -> None:
        """Keep texts for some seconds."""
        key, now = self._layout.notices(topic), time.time()
        commands: list[tuple[Any, ...]] = [
            ("ZADD", key, *(word for text in notices[start : start + _PAGE] for word in (now + seconds, text)))
            for start in range(0, len(notices), _PAGE)
        ]
        commands += [("ZREMRANGEBYSCORE", key, "-inf", now), ("ZREMRANGEBYRANK", key, 0, -MAX_NOTICES - 1)]
        self._client.commands(commands)

    def notices(self, topic: str) -> list[str]:
        """The texts kept under a topic, oldest first."""
        found = self._client.command("ZRANGEBYSCORE", self._layout.notices(topic), time.time(), "+inf")
        return [text.decode() for text in found]
