"""The lease of a session: what it holds in the server, and what it returns for those that fell silent.

Every script is given the same six keys, which name the lease.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from celeriac.broker.base import RELAYED
from celeriac.broker.redis import scripts
from celeriac.exceptions import OperationalError, SessionLost
from celeriac.utils.dataclass import dataclass
from celeriac.utils.uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from celeriac.broker.redis.client import Client
    from celeriac.broker.redis.layout import Layout
    from celeriac.broker.redis.scripts import Script
    from celeriac.drivers.resp import RespConnection

logger = logging.getLogger("celeriac.broker.redis")

#: Messages in one call of a script, so that no call keeps other clients waiting for long.
PAGE = 1000
#: Seconds at most between searches for what Celery's workers left behind.
_RESTORE_INTERVAL = 60.0
_RELAYED = RELAYED.encode()


@dataclass(frozen=True)
class LeaseTimes:
    """Times of a lease.

    Attributes:
        lease: Seconds after which a silent session's messages return.
        sweep_interval: Seconds between searches for lapsed sessions.
        visibility_timeout: Seconds after which kombu takes a message as abandoned.
    """

    lease: float
    sweep_interval: float
    visibility_timeout: float


class Lease:
    """A session's lease.

    Args:
        client: The session's.
        layout: Names of keys.
        times: How long it lasts, and how often it looks after others.

    Attributes:
        token: Its name in the server.
        keys: The number of keys that every script is given, and the keys.
        held: Tags held, oldest first: the order in which `release` returns them.
        registered: The server knows it.
    """

    def __init__(self, client: Client, layout: Layout, times: LeaseTimes) -> None:
        self._client = client
        self._layout = layout
        self._times = times
        self.held: dict[bytes, None] = {}
        self.registered = False
        self._swept_at = self._restored_at = self._refreshed_at = self._renewed_at = float("-inf")
        self._names: Sequence[str] = ()
        self._take_token(uuid4().replace("-", ""))

    def _take_token(self, token: str) -> None:
        layout = self._layout
        self.token = token
        self.keys: tuple[Any, ...] = (
            6, layout.unacked, layout.unacked_index, layout.sessions, layout.session_prefix + token,
            layout.deliveries, layout.malformed,
        )  # fmt: skip

    # ------------------------------------------------------------------------------------------ begin

    def register(self) -> None:
        """Make it known to the server."""
        self._client.script(scripts.REGISTER, *self.keys, self.token, self._times.lease)
        # Acknowledgements do not wait for their reply, so that the server should know their script beforehand.
        self._client.command("SCRIPT", "LOAD", scripts.SETTLE.text)
        self.registered = True

    def take_over(self, old: Lease) -> bool:
        """Continue the lease of a session whose connection broke.

        Returns:
            True when it was still alive; else this one remains a new one.
        """
        if not old.registered or old._layout != self._layout:
            return False
        own = self.token
        self._take_token(old.token)
        self._end(old._client.connection)
        if not self._beat()[0]:
            self._take_token(own)
            return False
        self.held = old.held
        # Acknowledgements whose reply did not arrive; running them twice changes nothing.
        for script, arguments in old._client.unanswered():
            self._client.script(script, *arguments)
        # What was relayed may not have been told yet; `reclaim` is for what will not be.
        self.requeue([tag for tag in self._unheard() if not tag.startswith(_RELAYED)], front=True, charge=False)
        return True

    def _end(self, old: RespConnection) -> None:
        """Make sure that the server carries out nothing more of a broken connection.

        A claim that it has received but not begun would take messages nobody knows of, under a lease that goes on.
        """
        if old.client_id is None:
            return
        try:
            self._client.command("CLIENT", "KILL", "ID", old.client_id)
        except SessionLost:
            raise
        except OperationalError as error:
            logger.warning("A broken connection could not be ended for certain: %s", error)

    def lost(self) -> SessionLost:
        """The exception for a lease that ran out; closes the connection."""
        self._client.connection.close()
        return SessionLost(
            f"the session was silent for longer than its lease of {self._times.lease:g} s (or the server lost it); "
            "what it held belongs to others now"
        )

    # ---------------------------------------------------------------------------------- what it holds

    def _unheard(self) -> list[bytes]:
        """Tags of messages that it holds, and the session has not been told of."""
        return [tag for tag in self._client.command("HKEYS", self.keys[4]) if tag not in self.held]

    def let_go(self, tags: Iterable[bytes]) -> None:
        """What becomes of these is the server's knowledge now; before it was, they counted as held."""
        pop = self.held.pop
        for tag in tags:
            pop(tag, None)

    def requeue(self, tags: Sequence[bytes], *, front: bool, charge: bool) -> None:
        """Return messages to their queues."""
        side = "RPUSH" if front else "LPUSH"
        for start in range(0, len(tags), PAGE):
            page = tags[start : start + PAGE]
            self._client.script(scripts.REQUEUE, *self.keys, side, int(charge), *page)
            self.let_go(page)

    def move(self, script: Script, keys: tuple[Any, ...], items: Sequence[tuple[Any, ...]]) -> None:
        """Run a script that puts messages elsewhere, some at a time; the first word of each item is its tag."""
        for start in range(0, len(items), PAGE):
            page = items[start : start + PAGE]
            self._client.script(script, *keys, *(word for each in page for word in each))
            self.let_go(each[0] for each in page)

    def reclaim(self, prefix: bytes) -> None:
        """Return what was relayed to it, and the session has not been told of, by the beginning of its tags."""
        self.requeue([tag for tag in self._unheard() if tag.startswith(prefix)], front=True, charge=False)

    # ----------------------------------------------------------------------------------- what it sees to

    def see_to(self, names: Sequence[str]) -> None:
        """Say that it brings the delayed messages of these queues back, and no others; true while it lasts."""
        layout = self._layout
        self._client.commands([("SREM", layout.consumers(name), self.token) for name in self._names])
        self._names = names
        self.announce()

    def announce(self) -> None:
        """Say so again."""
        keys = [self._layout.consumers(name) for name in self._names]
        keep = max(60, int(4 * self._times.lease))
        self._client.commands(words for key in keys for words in (("SADD", key, self.token), ("EXPIRE", key, keep)))

    # -------------------------------------------------------------------------------------- extending

    def extend(self) -> tuple[bool, Sequence[int]]:
        """Extend it.

        Returns:
            Whether the bindings of queues should be renewed, which is due once in a while, and what `sweep` is to get.

        Raises:
            SessionLost: It had run out.
        """
        times, now = self._times, time.monotonic()
        # A tenth early rather than one whole heartbeat late.
        sweep = now - self._swept_at >= 0.9 * times.sweep_interval
        # What Celery's workers left behind lies there for the visibility timeout, which is long.
        restore = sweep and now - self._restored_at >= min(times.visibility_timeout / 4, _RESTORE_INTERVAL)
        refresh = now - self._refreshed_at >= times.visibility_timeout / 4
        alive, *found = self._beat(refresh=refresh, sweep=int(sweep) + int(restore))
        if not alive:
            raise self.lost()
        if refresh:
            self._refreshed_at = now
        if restore:
            self._restored_at = now
        if sweep:
            self._swept_at = now
        # Lasts for some leases: an idle session has better things to do than to say so with each heartbeat.
        renew = now - self._renewed_at >= 0.9 * times.lease
        if renew:
            self._renewed_at = now
        return renew, found if sweep else (0, 0)

    def _beat(self, *, refresh: bool = False, sweep: int = 0) -> list[int]:
        """Extend the lease; returns what the script does, and takes what it takes."""
        times = self._times
        answer: list[int] = self._client.script(
            scripts.HEARTBEAT, *self.keys, self.token, times.lease, int(refresh) if self.held or refresh else -1,
            sweep, times.visibility_timeout,
        )  # fmt: skip
        return answer

    def _stay_alive(self, beat: float) -> float:
        """Extend the lease in the middle of a long sweep, lest others sweep this session.

        Args:
            beat: When that was done last.
        """
        now = time.monotonic()
        if now - beat < self._times.lease / 3:
            return beat
        if not self._beat()[0]:
            raise self.lost()
        return now

    def sweep(self, lapsed: int, stale: int) -> int:
        """Return to their queues the messages of others that fell silent.

        Args:
            lapsed: Whether leases have run out.
            stale: Whether workers of Celery left something behind.

        Returns:
            How many messages.
        """
        layout, keys = self._layout, list(self.keys)
        keys[4] = layout.session_prefix
        returned, token, cursor = 0, b"", b"0"
        beat = time.monotonic()
        while lapsed:
            beat = self._stay_alive(beat)
            token, cursor, count = self._client.script(scripts.SWEEP, *keys, token, cursor, PAGE, self.token)
            returned += count
            if not token and not count:
                break
        while stale:
            beat = self._stay_alive(beat)
            count = self._client.script(
                scripts.RESTORE, 7, *keys[1:], layout.dead, self._times.visibility_timeout, PAGE,
                layout.prefix, layout.separator, layout.bindings(""), *layout.steps,
            )  # fmt: skip
            returned += count
            if not count:
                break
        if returned:
            logger.info("Returned %d messages of workers that fell silent to their queues", returned)
        return returned

    # -------------------------------------------------------------------------------------------- end

    def release(self) -> None:
        """Return what it holds, uncharged, and end it."""
        self.see_to(())
        self.requeue(list(self.held)[::-1], front=True, charge=False)
        if self.registered:
            self.requeue(self._unheard(), front=True, charge=False)
            self._client.script(scripts.RELEASE, *self.keys, self.token)
