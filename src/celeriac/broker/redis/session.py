"""One session with a Redis broker: publishing, claiming under a lease, settling.

Commands and replies are `client`'s, names of keys `layout`'s, and everything atomic is in `scripts`.
"""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, Any

from celeriac.broker.base import MAX_NOTICES, RELAYED, next_session_id
from celeriac.broker.bindings import check_sizes
from celeriac.broker.envelope import with_eta
from celeriac.broker.once import check_taken
from celeriac.broker.redis import scripts
from celeriac.broker.redis.client import Client
from celeriac.broker.redis.consuming import (
    Broadcast,
    Consumption,
    escape_glob,
    is_dead_letter_id,
    read_broadcast,
    read_claims,
    read_dead_letter,
)
from celeriac.broker.redis.publishing import Outbox, Publishing
from celeriac.broker.redis.relaying import Relays, read_relayed
from celeriac.drivers.resp import Push, ReplyError, RespConnection, pack_command
from celeriac.exceptions import (
    CeleryError,
    ImproperlyConfigured,
    OperationalError,
    PublishTimeout,
    SessionClosed,
    SessionLost,
    Unroutable,
)
from celeriac.utils.dataclass import dataclass
from celeriac.utils.uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from celeriac.broker.base import RelayAddress
    from celeriac.broker.redis.layout import Layout
    from celeriac.broker.redis.scripts import Script
    from celeriac.broker.topology import Exchange, Queue
    from celeriac.message import DeadLetter, Delivery, Message, Publication

logger = logging.getLogger("celeriac.broker.redis")

#: Messages in one call of a script, so that no call keeps other clients waiting for long.
PAGE = 1000
#: Seconds that acknowledgements may wait for another command to go with.
_PUT_OFF = 0.005
#: Seconds at most between searches for what Celery's workers left behind.
_RESTORE_INTERVAL = 60.0
#: Seconds between looks at the queues on a server that cannot notify: at first, and at last.
_POLL_FIRST, _POLL_LAST = 0.005, 0.05
_RELAYED = RELAYED.encode()


@dataclass(frozen=True)
class SessionSettings:
    """What a session is told.

    Attributes:
        lease: Seconds after which a silent session's messages return.
        sweep_interval: Seconds between searches for lapsed sessions.
        publish_timeout: Seconds for one publish.
        max_body_size: Largest body in bytes.
        visibility_timeout: Seconds after which kombu takes a message as abandoned.
        queue_order: ``round_robin``, ``sorted`` or ``priority`` (the order given).
    """

    lease: float
    sweep_interval: float
    publish_timeout: float
    max_body_size: int
    visibility_timeout: float
    queue_order: str


class RedisSession:
    """A session.

    Args:
        connection: An open connection, which becomes the session's own.
        layout: Names of keys.
        settings: What it is told.
    """

    def __init__(self, connection: RespConnection, layout: Layout, settings: SessionSettings) -> None:
        self.session_id = next_session_id()
        self._connection = connection
        self._client = Client(connection)
        self._layout = layout
        self._settings = settings
        self._token = uuid4().replace("-", "")
        self._keys = self._make_keys()
        self._publishing = Publishing(layout)
        self._relays = Relays(layout)
        self._consumption: Consumption | None = None
        self._broadcasts: list[Delivery] = []
        self._registered = self._closed = False
        #: The server tells of changes of watched keys; else they are looked at again and again.
        self._notified = False
        self._was_full = False
        #: Nothing was left to claim, and the server will tell when others add something; it does not tell of our own.
        self._quiet = False
        self._poll = _POLL_FIRST
        #: Tags held, oldest first: the order in which `close` returns them.
        self._held: dict[bytes, None] = {}
        self._swept_at = self._restored_at = self._refreshed_at = self._renewed_at = float("-inf")
        connection.enable_wake()

    def _make_keys(self) -> tuple[Any, ...]:
        layout = self._layout
        return (
            6, layout.unacked, layout.unacked_index, layout.sessions, layout.session_prefix + self._token,
            layout.deliveries, layout.malformed,
        )  # fmt: skip

    def take_over(self, old: RedisSession) -> bool:
        """Continue the lease of a session whose connection broke.

        Returns:
            True when it was still alive; else this session remains a new one.
        """
        if not old._registered or old._layout != self._layout:
            return False
        token, self._token = self._token, old._token
        self._keys = self._make_keys()
        self._end(old._connection)
        if not self._beat()[0]:
            self._token = token
            self._keys = self._make_keys()
            return False
        self.session_id, self._held = old.session_id, old._held
        # Acknowledgements whose reply did not arrive; running them twice changes nothing.
        for script, arguments in old._client.unanswered():
            self._client.script(script, *arguments)
        # What was relayed may not have been told yet; `reclaim` is for what will not be.
        self._requeue([tag for tag in self._unheard() if not tag.startswith(_RELAYED)], front=True, charge=False)
        return True

    def _unheard(self) -> list[bytes]:
        """Tags of messages that this session holds, and has not been told of."""
        known = self._held
        return [tag for tag in self._client.command("HKEYS", self._keys[4]) if tag not in known]

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

    def _check_open(self) -> None:
        if self._closed:
            raise SessionClosed("the session with the Redis broker was closed; open another one")

    def _lost(self) -> SessionLost:
        self._connection.close()
        return SessionLost(
            f"the session was silent for longer than its lease of {self._settings.lease:g} s (or the server lost it); "
            "what it held belongs to others now"
        )

    # ------------------------------------------------------------------------------------- publishing

    def declare(self, queues: Sequence[Queue]) -> None:
        self._check_open()
        self._send(b"".join(packed := [c for queue in queues for c in self._publishing.declare(queue)]), len(packed))

    def _send(self, data: bytes, count: int, deadline: float | None = None) -> list[Any]:
        """Run packed commands none of which may fail."""
        if not count:
            return []
        replies = self._client.run(data, count, deadline)
        for reply in replies:
            if isinstance(reply, ReplyError) and reply.code != "NOSCRIPT":
                raise self._client.refused(reply, "a command")
        return replies

    def publish_many(self, items: Sequence[Publication], *, timeout: float | None = None) -> None:
        self._check_open()
        self._quiet = False
        deadline = time.monotonic() + (self._settings.publish_timeout if timeout is None else timeout)
        items = items if isinstance(items, list) else list(items)
        check_sizes(items, self._settings.max_body_size)
        position = 0
        while position < len(items):
            outbox = Outbox()
            position = self._publishing.add(outbox, items, position)
            try:
                replies = self._send(b"".join(outbox.data), len(outbox.data), deadline)
                if outbox.scripts:
                    self._check_scripts(outbox, replies)
            except SessionLost as error:
                if isinstance(error.__cause__, TimeoutError):
                    raise PublishTimeout(
                        f"publishing {len(items)} messages did not end in time: {error}; "
                        "each of them may or may not have been accepted"
                    ) from error
                raise

    def relay(
        self, item: Publication, address: RelayAddress, tag: str, *, ended: Sequence[bytes] = (), timeout: float
    ) -> bytes | None:
        self._check_open()
        deadline = time.monotonic() + timeout
        arguments = self._relays.arguments(item, address, tag)
        if arguments is None:
            return None
        check_sizes([item], self._settings.max_body_size)
        held = self._client.script(scripts.RELAY, *arguments, *ended, deadline=deadline)
        envelope: bytes = arguments[-3]
        return envelope if held else b""

    def _check_scripts(self, outbox: Outbox, replies: Sequence[Any]) -> None:
        for position, (script, arguments, routed) in outbox.scripts.items():
            reached = self._client.known(script, replies[position], arguments)
            if routed is not None and routed.once is not None:
                check_taken(routed.once, reached)
            if not reached and routed is not None and routed.mandatory:
                destination = routed.destination
                raise Unroutable(
                    f"the redis broker has no queue bound to exchange {destination.exchange!r} for routing "
                    f"key {destination.routing_key!r}; declare a queue with this binding first"
                )

    # -------------------------------------------------------------------------------------- consuming

    def consume(self, queues: Sequence[Queue]) -> None:
        self._quiet = False
        self.declare(queues)
        self._register()
        before = self._consumption.patterns if self._consumption else {}
        self._withdraw()
        self._consumption = Consumption(queues, self._layout, self._settings.queue_order)
        self._announce()
        self._subscribe(before.keys(), self._consumption.patterns.keys())

    def _announce(self) -> None:
        """Say that this session brings the delayed messages of its queues back; true while its lease lasts."""
        names = self._consumption.names if self._consumption else ()
        keys = [self._layout.consumers(name) for name in names]
        keep = max(60, int(4 * self._settings.lease))
        packed = [pack_command(words) for key in keys for words in (("SADD", key, self._token), ("EXPIRE", key, keep))]
        self._send(b"".join(packed), len(packed))

    def _withdraw(self) -> None:
        """Take that back."""
        names = self._consumption.names if self._consumption else ()
        packed = [pack_command(("SREM", self._layout.consumers(name), self._token)) for name in names]
        self._send(b"".join(packed), len(packed))

    def _register(self) -> None:
        if self._registered:
            return
        self._client.script(scripts.REGISTER, *self._keys, self._token, self._settings.lease)
        # Acknowledgements do not wait for their reply, so that the server should know their script beforehand.
        self._client.command("SCRIPT", "LOAD", scripts.SETTLE.text)
        self._registered = True
        self._warn_of_eviction()
        self._notified = self._connection.protocol >= 3 and self._track()
        if not self._notified:
            logger.warning(
                "Redis at %s cannot notify of changed keys (CLIENT TRACKING, Redis 6 or later): an idle worker "
                "looks for messages every %g ms",
                self._connection.params.address,
                _POLL_LAST * 1000,
            )

    def _warn_of_eviction(self) -> None:
        """Say so when the server is free to drop messages."""
        try:
            text = self._client.command("INFO", "memory")
        except SessionLost:
            raise
        except OperationalError:
            # Not permitted: then nothing is known, and nothing to be said.
            return
        facts = dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)
        policy = facts.get("maxmemory_policy", "noeviction")
        if policy != "noeviction" and facts.get("maxmemory", "0") != "0":
            logger.warning(
                "Redis at %s may delete messages when it runs out of memory (maxmemory-policy %s); "
                "set maxmemory-policy noeviction",
                self._connection.params.address,
                policy,
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

    def _subscribe(self, before: Iterable[bytes], wanted: Iterable[bytes]) -> None:
        old, new = sorted(set(before) - set(wanted)), sorted(set(wanted) - set(before))
        if new and self._connection.protocol < 3:
            raise ImproperlyConfigured(
                f"Redis at {self._connection.params.address} does not speak RESP3, without which a session "
                "cannot consume a queue of a fanout exchange; use Redis 6 or later"
            )
        commands = [("PUNSUBSCRIBE", *old)] if old else []
        commands += [("PSUBSCRIBE", *new)] if new else []
        if commands:
            # Confirmations are pushes and come before the reply to PING.
            self._send(b"".join(map(pack_command, [*commands, ("PING",)])), 1)

    def fetch(self, *, limit: int, wait: float) -> list[Delivery]:
        self._check_open()
        deadline = time.monotonic() + wait
        # A session that is kept busy does not ask for notifications, which would come for nothing.
        watch = wait > 0 and not self._was_full
        while True:
            found, due = self._claim(limit, watch=watch)
            found += self._broadcasts
            self._broadcasts = []
            changed = self._read_pushes()
            self._was_full = len(found) >= limit
            if found or time.monotonic() >= deadline:
                return self._settle_unacknowledged(found)
            if watch and not changed and not self._broadcasts and not self._wait(deadline, due):
                return []
            watch = True

    def relay_address(self) -> RelayAddress | None:
        consumption = self._consumption
        # Of queues without acknowledgement a session holds nothing, and a publish puts off the end of expiring ones.
        if consumption is None or consumption.unacknowledged or self._publishing.any_expires(consumption.names):
            return None
        return self._token, tuple(consumption.names)

    def read_relayed(self, queue: str, tag: str, envelope: bytes) -> Delivery:
        return read_relayed(queue, tag, envelope, self.session_id)

    def adopt(self, deliveries: Sequence[Delivery]) -> None:
        self._held.update(dict.fromkeys(self._mine(deliveries)))

    def reclaim(self, prefix: str) -> None:
        self._check_open()
        self._quiet = False
        start = prefix.encode()
        self._requeue([tag for tag in self._unheard() if tag.startswith(start)], front=True, charge=False)

    def _claim(self, limit: int, *, watch: bool) -> tuple[list[Delivery], float]:
        """Claim what is there; returns it and the seconds until a delayed message is due."""
        consumption = self._consumption
        if consumption is None or not consumption.names or (watch and self._quiet):
            return [], float("inf")
        consumption.turn += 1
        count = len(consumption.names)
        keys = (6 + len(consumption.claim_keys), *self._keys[1:], *consumption.claim_keys)
        arguments = (
            *keys, self._token, limit, count, consumption.steps, consumption.turn % count if not consumption.ordered
            else 0, int(consumption.ordered), self._settings.lease, *consumption.claim_arguments,
        )  # fmt: skip
        data = pack_command(("EVALSHA", scripts.CLAIM.sha, *arguments))
        if watch and self._notified:
            # Reading the keys is what makes the server tell of their next change.
            reply, _, left = self._client.run(data + consumption.watch, 3)
            failed = isinstance(reply, ReplyError)
            self._quiet = left == 0 and not failed
            if left and not failed and len(reply) == 1:
                # What is left is delayed, or came in between.
                (reply,) = self._client.run(data, 1)
        else:
            self._quiet = False
            (reply,) = self._client.run(data, 1)
        reply = self._client.known(scripts.CLAIM, reply, arguments)
        if len(reply) == 1:
            if reply[0] == scripts.NOT_ALIVE:
                raise self._lost()
            return [], reply[0] / 1000 if reply[0] >= 0 else float("inf")
        found = read_claims(reply, consumption.names, self.session_id)
        for delivery in found:
            self._held[delivery.tag] = None
        return found, 0.0

    def _read_pushes(self) -> bool:
        """Take in what the server sent by itself; True if a watched key has changed."""
        changed = False
        while (push := self._connection.next_push(self._client.take_reply)) is not None:
            changed = self._read_push(push) or changed
        return changed

    def _read_push(self, push: Push) -> bool:
        if push[0] == b"invalidate":
            self._quiet = False
            return True
        if push[0] == b"pmessage" and self._consumption is not None:
            self._broadcasts += read_broadcast(push, self._consumption.patterns, self.session_id)
            return True
        return False

    def _wait(self, deadline: float, due: float) -> bool:
        """Wait for news, for a delayed message to be due, or for the deadline; False after `wake`."""
        until = min(deadline, time.monotonic() + due)
        if not self._notified:
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
            if self._read_push(push):
                self._poll = _POLL_FIRST
                return True

    def _settle_unacknowledged(self, found: list[Delivery]) -> list[Delivery]:
        consumption = self._consumption
        if consumption is not None and consumption.unacknowledged:
            self.ack_many([each for each in found if each.queue in consumption.unacknowledged])
        return found

    # --------------------------------------------------------------------------------------- settling

    def _mine(self, deliveries: Iterable[Delivery]) -> list[bytes]:
        """The tags of this session's deliveries."""
        ours = self.session_id
        return [each.tag for each in deliveries if each.session_id == ours and type(each.tag) is bytes]

    def _let_go(self, tags: Iterable[bytes]) -> None:
        """What becomes of these is the server's knowledge now; before it was, they counted as held."""
        pop = self._held.pop
        for tag in tags:
            pop(tag, None)

    def ack_many(self, deliveries: Sequence[Delivery], *, confirm: bool = False) -> None:
        self._check_open()
        tags = self._mine(deliveries)
        if not tags:
            return
        if confirm:
            believed = sum(tag in self._held for tag in tags)
            if self._client.script(scripts.SETTLE, *self._keys, *tags) < believed:
                raise self._lost()
        else:
            self._client.script_later(scripts.SETTLE, *self._keys, *tags)
        self._let_go(tags)

    def flush(self) -> None:
        self._client.flush()

    def reject_many(self, deliveries: Sequence[Delivery]) -> None:
        self._check_open()
        if tags := self._mine(deliveries):
            self._client.script(scripts.SETTLE, *self._keys, *tags)
            self._let_go(tags)

    def requeue_many(self, deliveries: Sequence[Delivery], *, charge: bool = True) -> None:
        self._check_open()
        self._quiet = False
        for each in self._mine_broadcast(deliveries):
            self._client.command("LPUSH", f"{self._layout.prefix}{each.queue}", each.tag.envelope)
        tags = self._mine(deliveries)
        # As if never handed out: in front, the oldest last, because the last one pushed is consumed first.
        self._requeue(tags if charge else tags[::-1], front=not charge, charge=charge)

    def _requeue(self, tags: Sequence[bytes], *, front: bool, charge: bool) -> None:
        side = "RPUSH" if front else "LPUSH"
        for start in range(0, len(tags), PAGE):
            page = tags[start : start + PAGE]
            self._client.script(scripts.REQUEUE, *self._keys, side, int(charge), *page)
            self._let_go(page)

    def _mine_broadcast(self, deliveries: Iterable[Delivery]) -> list[Delivery]:
        return [each for each in deliveries if type(each.tag) is Broadcast and each.session_id == self.session_id]

    def defer_many(self, items: Sequence[tuple[Delivery, float]]) -> None:
        self._check_open()
        self._quiet = False
        layout, arguments = self._layout, []
        due = {id(delivery): not_before for delivery, not_before in items}
        for each in self._mine_broadcast(delivery for delivery, _ in items):
            self._client.command("ZADD", layout.delayed(each.queue), due[id(each)], b"0:" + each.tag.envelope)
        for delivery, not_before in items:
            for tag in self._mine([delivery]):
                plain = f"{layout.prefix}{delivery.queue}"
                arguments.append((tag, not_before, layout.delayed(delivery.queue), plain))
        self._paged(scripts.DEFER, self._keys, arguments)

    def dead_letter_many(self, items: Sequence[tuple[Delivery, str]]) -> None:
        self._check_open()
        arguments = []
        for delivery, reason in items:
            for each in self._mine_broadcast([delivery]):
                self._client.command(
                    "XADD", self._layout.dead, "*", "queue", each.queue, "reason", reason,
                    "deliveries", each.deliveries, "envelope", each.tag.envelope,
                )  # fmt: skip
            arguments += [(tag, delivery.queue, reason) for tag in self._mine([delivery])]
        self._paged(scripts.BURY, (7, *self._keys[1:], self._layout.dead), arguments)

    def _paged(self, script: Script, keys: tuple[Any, ...], arguments: Sequence[tuple[Any, ...]]) -> None:
        for start in range(0, len(arguments), PAGE):
            page = arguments[start : start + PAGE]
            self._client.script(script, *keys, *(word for each in page for word in each))
            self._let_go(each[0] for each in page)

    def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        self._check_open()
        entries = self._client.command("XREVRANGE", self._layout.dead, "+", "-", "COUNT", limit)
        return [read_dead_letter(entry) for entry in entries]

    def remove_dead_letters(self, ids: Collection[str]) -> int:
        self._check_open()
        known = [each for each in ids if is_dead_letter_id(each)]
        return int(self._client.command("XDEL", self._layout.dead, *known)) if known else 0

    # ----------------------------------------------------------------------------------------- leases

    def heartbeat(self) -> None:
        self._check_open()
        self._register()
        settings, now = self._settings, time.monotonic()
        # A tenth early rather than one whole heartbeat late.
        sweep = now - self._swept_at >= 0.9 * settings.sweep_interval
        # What Celery's workers left behind lies there for the visibility timeout, which is long.
        restore = sweep and now - self._restored_at >= min(settings.visibility_timeout / 4, _RESTORE_INTERVAL)
        refresh = now - self._refreshed_at >= settings.visibility_timeout / 4
        alive, *found = self._beat(refresh=refresh, sweep=int(sweep) + int(restore))
        if not alive:
            raise self._lost()
        if refresh:
            self._refreshed_at = now
        if restore:
            self._restored_at = now
        # Both last for some leases: an idle session has better things to do than to say so with each heartbeat.
        if now - self._renewed_at >= 0.9 * settings.lease:
            self._declare_again()
            self._announce()
            self._renewed_at = now
        if sweep:
            self._swept_at = now
            self._sweep(*found)

    def _beat(self, *, refresh: bool = False, sweep: int = 0) -> list[int]:
        """Extend the lease; returns what the script does, and takes what it takes."""
        settings = self._settings
        answer: list[int] = self._client.script(
            scripts.HEARTBEAT, *self._keys, self._token, settings.lease, int(refresh) if self._held or refresh else -1,
            sweep, settings.visibility_timeout,
        )  # fmt: skip
        return answer

    def _stay_alive(self, beat: float) -> float:
        """Extend the lease in the middle of a long sweep, lest others sweep this session.

        Args:
            beat: When that was done last.
        """
        now = time.monotonic()
        if now - beat < self._settings.lease / 3:
            return beat
        if not self._beat()[0]:
            raise self._lost()
        return now

    def _declare_again(self) -> None:
        """Renew the bindings of consumed queues.

        Somebody may have deleted them, and kombu drops those of expiring queues after a while.
        """
        queues = self._consumption.queues if self._consumption else ()
        packed = [command for queue in queues for command in self._publishing.declare(queue, again=True)]
        self._send(b"".join(packed), len(packed))

    def _sweep(self, lapsed: int, stale: int) -> None:
        layout, keys = self._layout, list(self._keys)
        keys[4] = layout.session_prefix
        returned, token, cursor = 0, b"", b"0"
        beat = time.monotonic()
        while lapsed:
            beat = self._stay_alive(beat)
            token, cursor, count = self._client.script(scripts.SWEEP, *keys, token, cursor, PAGE, self._token)
            returned += count
            if not token and not count:
                break
        while stale:
            beat = self._stay_alive(beat)
            count = self._client.script(
                scripts.RESTORE, 7, *keys[1:], layout.dead, self._settings.visibility_timeout, PAGE,
                layout.prefix, layout.separator, layout.bindings(""), *layout.steps,
            )  # fmt: skip
            returned += count
            if not count:
                break
        if returned:
            # The server tells of what others add, not of this.
            self._quiet = False
            logger.info("Returned %d messages of workers that fell silent to their queues", returned)

    # ---------------------------------------------------------------------------------------- queries

    def purge(self, queue: str) -> int:
        self._check_open()
        keys = [self._layout.delayed(queue), *self._layout.lists(queue)]
        return int(self._client.script(scripts.PURGE, len(keys), *keys))

    def release_delayed(self, queues: Sequence[str] | None = None) -> dict[str, int]:
        self._check_open()
        chosen = self._delayed_queues() if queues is None else list(queues)
        return {queue: count for queue in chosen if (count := self._release_delayed(queue))}

    def broadcast(self, exchange: Exchange, message: Message) -> int | None:
        self._check_open()
        return int(self._client.command(*self._publishing.broadcast(exchange.name, message)))

    def keep_notices(self, topic: str, notices: Sequence[str], *, seconds: float) -> None:
        self._check_open()
        key, now = self._layout.notices(topic), time.time()
        commands: list[tuple[Any, ...]] = [
            ("ZADD", key, *(word for text in notices[start : start + PAGE] for word in (now + seconds, text)))
            for start in range(0, len(notices), PAGE)
        ]
        commands += [("ZREMRANGEBYSCORE", key, "-inf", now), ("ZREMRANGEBYRANK", key, 0, -MAX_NOTICES - 1)]
        self._send(b"".join(map(pack_command, commands)), len(commands))

    def notices(self, topic: str) -> list[str]:
        self._check_open()
        found = self._client.command("ZRANGEBYSCORE", self._layout.notices(topic), time.time(), "+inf")
        return [text.decode() for text in found]

    def _delayed_queues(self) -> list[str]:
        prefix, cursor = self._layout.delayed(""), b"0"
        found: set[str] = set()
        while True:
            cursor, keys = self._client.command("SCAN", cursor, "MATCH", f"{escape_glob(prefix)}*", "COUNT", PAGE)
            found |= {key.decode()[len(prefix) :] for key in keys}
            if cursor == b"0":
                return sorted(found)

    def _release_delayed(self, queue: str) -> int:
        layout, key, moved = self._layout, self._layout.delayed(queue), 0
        plain = f"{layout.prefix}{queue}".encode()
        while page := self._client.command("ZRANGE", key, 0, PAGE - 1, "WITHSCORES"):
            arguments: list[str | bytes] = []
            # RESP3 has pairs, RESP2 a flat list.
            for member, due in page if type(page[0]) is list else zip(page[::2], page[1::2], strict=True):
                suffix, envelope = layout.read_delayed_member(member)
                arguments += (member, plain + suffix, with_eta(envelope, float(due)))
            moved += self._client.script(scripts.UNDELAY, 1, key, *arguments)
        return moved

    def depths(self, queues: Sequence[str]) -> dict[str, int]:
        self._check_open()
        lists = [(queue, key) for queue in queues for key in self._layout.lists(queue)]
        counts = self._send(b"".join(pack_command(("LLEN", key)) for _, key in lists), len(lists))
        found = dict.fromkeys(queues, 0)
        for (queue, _), count in zip(lists, counts, strict=True):
            found[queue] += count
        return found

    def count_delayed(self, queues: Sequence[str]) -> dict[str, int]:
        self._check_open()
        commands = [pack_command(("ZCARD", self._layout.delayed(queue))) for queue in queues]
        return dict(zip(queues, self._send(b"".join(commands), len(commands)), strict=True))

    def count_dead_letters(self) -> int:
        self._check_open()
        return int(self._client.command("XLEN", self._layout.dead))

    # ------------------------------------------------------------------------------------------- end

    def wake(self) -> None:
        self._connection.wake()

    def close(self) -> None:
        if self._closed:
            return
        try:
            if self._connection.lost is None and self._connection.pid == os.getpid():
                self._release()
        except CeleryError as error:
            logger.debug("Closing the session with Redis: %s; its lease returns what it held", error)
        finally:
            self._closed = True
            self._connection.close()

    def _release(self) -> None:
        self._client.run(b"", 0)
        self._withdraw()
        self._requeue(list(self._held)[::-1], front=True, charge=False)
        if self._registered:
            self._requeue(self._unheard(), front=True, charge=False)
            self._client.script(scripts.RELEASE, *self._keys, self._token)
        for queue in self._consumption.queues if self._consumption else ():
            if queue.auto_delete or queue.exclusive:
                self._drop(queue)

    def _drop(self, queue: Queue) -> None:
        layout, members = self._layout, []
        for bound in queue.all_bindings:
            exchange = bound.exchange.name
            member = layout.binding(bound.routing_key, queue.name, topic=bound.exchange.type == "topic")
            members += [layout.bindings(exchange), member, layout.permanent_bindings(exchange), member]
        lists = layout.lists(queue.name)
        self._client.script(scripts.DROP, len(lists), *lists, *members)
