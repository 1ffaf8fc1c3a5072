"""What the server tells a session by itself: that watched keys have changed, and messages of fanout exchanges."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from celeriac.broker.redis.consuming import read_broadcast
from celeriac.drivers.resp import Push, pack_command
from celeriac.exceptions import ImproperlyConfigured, OperationalError, SessionLost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celeriac.broker.redis.client import Client
    from celeriac.message import Delivery

logger = logging.getLogger("celeriac.broker.redis")

#: Seconds that acknowledgements may wait for another command to go with.
_PUT_OFF = 0.005
#: Seconds between looks at the queues on a server that cannot notify: at first, and at last.
_POLL_FIRST, _POLL_LAST = 0.005, 0.05


class News:
    """The news of a session.

    Args:
        client: The session's.
        session_id: The session's.

    Attributes:
        enabled: The server tells of changes of watched keys; else they are looked at again and again.
        quiet: Nothing was left to claim, and the server will tell when others add something; it does not tell of our
            own.
        broadcasts: Messages that came by pub/sub, and have not been fetched.
    """

    def __init__(self, client: Client, session_id: int) -> None:
        self._client = client
        self._connection = client.connection
        self.session_id = session_id
        self.enabled = self.quiet = False
        self.broadcasts: list[Delivery] = []
        self._patterns: Mapping[bytes, list[str]] = {}
        self._poll = _POLL_FIRST

    def enable(self) -> None:
        """Ask the server to notify, if it can."""
        self.enabled = self._connection.protocol >= 3 and self._track()
        if not self.enabled:
            logger.warning(
                "Redis at %s cannot notify of changed keys (CLIENT TRACKING, Redis 6 or later): an idle worker "
                "looks for messages every %g ms",
                self._connection.params.address,
                _POLL_LAST * 1000,
            )

    def _track(self) -> bool:
        try:
            # Opt-in: a claim reads the same keys, and a busy session would be told of every publish.
            self._client.command("CLIENT", "TRACKING", "ON", "OPTIN", "NOLOOP")
        except SessionLost:
            raise
        except OperationalError:
            return False
        return True

    def subscribe(self, patterns: Mapping[bytes, list[str]]) -> None:
        """Take the messages of some fanout exchanges, and no longer those of others.

        Args:
            patterns: Channel pattern to the queues that get what comes there.

        Raises:
            ImproperlyConfigured: The server cannot send them beside replies.
        """
        old, new = sorted(self._patterns.keys() - patterns.keys()), sorted(patterns.keys() - self._patterns.keys())
        self._patterns = patterns
        if new and self._connection.protocol < 3:
            raise ImproperlyConfigured(
                f"Redis at {self._connection.params.address} does not speak RESP3, without which a session "
                "cannot consume a queue of a fanout exchange; use Redis 6 or later"
            )
        commands = [("PUNSUBSCRIBE", *old)] if old else []
        commands += [("PSUBSCRIBE", *new)] if new else []
        if commands:
            # Confirmations are pushes and come before the reply to PING.
            self._client.run_all(b"".join(map(pack_command, [*commands, ("PING",)])), 1)

    def take(self) -> bool:
        """Take in what has come; True if there was news."""
        changed = False
        while (push := self._connection.next_push(self._client.take_reply)) is not None:
            changed = self._read(push) or changed
        return changed

    def _read(self, push: Push) -> bool:
        if push[0] == b"invalidate":
            self.quiet = False
            return True
        if push[0] == b"pmessage":
            self.broadcasts += read_broadcast(push, self._patterns, self.session_id)
            return True
        return False

    def wait(self, deadline: float, due: float) -> bool:
        """Wait for news, for a delayed message to be due, or for the deadline; False after `wake`.

        Args:
            deadline: In monotonic time.
            due: Seconds until a delayed message is due.
        """
        until = min(deadline, time.monotonic() + due)
        if not self.enabled:
            until = min(until, time.monotonic() + self._poll)
            self._poll = min(self._poll * 2, _POLL_LAST)
        while True:
            soon = min(until, time.monotonic() + _PUT_OFF) if self._client.has_unsent else until
            push = self._connection.wait_push(soon, self._client.take_reply)
            if push is None:
                self._client.flush()
                if self._connection.take_woken():
                    return False
                if time.monotonic() >= until:
                    return True
                continue
            if self._read(push):
                self._poll = _POLL_FIRST
                return True
