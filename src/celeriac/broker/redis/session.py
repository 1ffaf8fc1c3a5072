"""One session with a Redis broker: publishing, claiming under a lease, settling.

Commands and replies are `client`'s, the lease is `leasing`'s, names of keys are `layout`'s, and everything atomic is
in `scripts`.
"""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, Any

from celeriac.broker.base import next_session_id
from celeriac.broker.bindings import check_sizes
from celeriac.broker.once import check_taken
from celeriac.broker.redis import scripts
from celeriac.broker.redis.client import Client
from celeriac.broker.redis.consuming import Broadcast, Consumption, read_claims
from celeriac.broker.redis.inventory import Inventory
from celeriac.broker.redis.leasing import Lease
from celeriac.broker.redis.news import News
from celeriac.broker.redis.publishing import Outbox, Publishing
from celeriac.broker.redis.relaying import Relays, read_relayed
from celeriac.drivers.resp import ReplyError, RespConnection, pack_command
from celeriac.exceptions import (
    CeleryError,
    OperationalError,
    PublishTimeout,
    SessionClosed,
    SessionLost,
    Unroutable,
)
from celeriac.utils.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from celeriac.broker.base import RelayAddress
    from celeriac.broker.redis.layout import Layout
    from celeriac.broker.redis.leasing import LeaseTimes
    from celeriac.broker.topology import Exchange, Queue
    from celeriac.message import DeadLetter, Delivery, Message, Publication

logger = logging.getLogger("celeriac.broker.redis")


@dataclass(frozen=True)
class SessionSettings:
    """What a session is told.

    Attributes:
        times: Of its lease.
        publish_timeout: Seconds for one publish.
        max_body_size: Largest body in bytes.
        queue_order: ``round_robin``, ``sorted`` or ``priority`` (the order given).
    """

    times: LeaseTimes
    publish_timeout: float
    max_body_size: int
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
        self._lease = Lease(self._client, layout, settings.times)
        self._news = News(self._client, self.session_id)
        self._inventory = Inventory(self._client, layout)
        self._publishing = Publishing(layout)
        self._relays = Relays(layout)
        self._consumption: Consumption | None = None
        self._closed = self._was_full = False
        connection.enable_wake()

    def take_over(self, old: RedisSession) -> bool:
        """Continue the lease of a session whose connection broke.

        Returns:
            True when it was still alive; else this session remains a new one.
        """
        taken = self._lease.take_over(old._lease)
        if taken:
            self.session_id = self._news.session_id = old.session_id
        return taken

    def _check_open(self) -> None:
        if self._closed:
            raise SessionClosed("the session with the Redis broker was closed; open another one")

    # ------------------------------------------------------------------------------------- publishing

    def declare(self, queues: Sequence[Queue]) -> None:
        self._check_open()
        self._declare(queues)

    def _declare(self, queues: Sequence[Queue], *, again: bool = False) -> None:
        packed = [command for queue in queues for command in self._publishing.declare(queue, again=again)]
        if packed:
            self._client.run_all(b"".join(packed), len(packed))

    def publish_many(self, items: Sequence[Publication], *, timeout: float | None = None) -> None:
        self._check_open()
        self._news.quiet = False
        deadline = time.monotonic() + (self._settings.publish_timeout if timeout is None else timeout)
        items = items if isinstance(items, list) else list(items)
        check_sizes(items, self._settings.max_body_size)
        position = 0
        while position < len(items):
            outbox = Outbox()
            position = self._publishing.add(outbox, items, position)
            try:
                replies = self._client.run_all(b"".join(outbox.data), len(outbox.data), deadline)
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
        self._news.quiet = False
        self.declare(queues)
        self._register()
        self._consumption = Consumption(queues, self._layout, self._settings.queue_order)
        self._lease.see_to(self._consumption.names)
        self._news.subscribe(self._consumption.patterns)

    def _register(self) -> None:
        if not self._lease.registered:
            self._lease.register()
            self._warn_of_eviction()
            self._news.enable()

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

    def fetch(self, *, limit: int, wait: float) -> list[Delivery]:
        self._check_open()
        news, deadline = self._news, time.monotonic() + wait
        # A session that is kept busy does not ask for notifications, which would come for nothing.
        watch = wait > 0 and not self._was_full
        while True:
            found, due = self._claim(limit, watch=watch)
            found += news.broadcasts
            news.broadcasts = []
            changed = news.take()
            self._was_full = len(found) >= limit
            if found or time.monotonic() >= deadline:
                return self._settle_unacknowledged(found)
            if watch and not changed and not news.broadcasts and not news.wait(deadline, due):
                return []
            watch = True

    def relay_address(self) -> RelayAddress | None:
        consumption = self._consumption
        # Of queues without acknowledgement a session holds nothing, and a publish puts off the end of expiring ones.
        if consumption is None or consumption.unacknowledged or self._publishing.any_expires(consumption.names):
            return None
        return self._lease.token, tuple(consumption.names)

    def read_relayed(self, queue: str, tag: str, envelope: bytes) -> Delivery:
        return read_relayed(queue, tag, envelope, self.session_id)

    def adopt(self, deliveries: Sequence[Delivery]) -> None:
        self._lease.held.update(dict.fromkeys(self._mine(deliveries)))

    def reclaim(self, prefix: str) -> None:
        self._check_open()
        self._news.quiet = False
        self._lease.reclaim(prefix.encode())

    def _claim(self, limit: int, *, watch: bool) -> tuple[list[Delivery], float]:
        """Claim what is there; returns it and the seconds until a delayed message is due."""
        consumption, lease, news = self._consumption, self._lease, self._news
        if consumption is None or not consumption.names or (watch and news.quiet):
            return [], float("inf")
        consumption.turn += 1
        count = len(consumption.names)
        keys = (6 + len(consumption.claim_keys), *lease.keys[1:], *consumption.claim_keys)
        arguments = (
            *keys, lease.token, limit, count, consumption.steps, consumption.turn % count if not consumption.ordered
            else 0, int(consumption.ordered), self._settings.times.lease, *consumption.claim_arguments,
        )  # fmt: skip
        data = pack_command(("EVALSHA", scripts.CLAIM.sha, *arguments))
        if watch and news.enabled:
            # Reading the keys is what makes the server tell of their next change.
            reply, _, left = self._client.run(data + consumption.watch, 3)
            failed = isinstance(reply, ReplyError)
            news.quiet = left == 0 and not failed
            if left and not failed and len(reply) == 1:
                # What is left is delayed, or came in between.
                (reply,) = self._client.run(data, 1)
        else:
            news.quiet = False
            (reply,) = self._client.run(data, 1)
        reply = self._client.known(scripts.CLAIM, reply, arguments)
        if len(reply) == 1:
            if reply[0] == scripts.NOT_ALIVE:
                raise lease.lost()
            return [], reply[0] / 1000 if reply[0] >= 0 else float("inf")
        found = read_claims(reply, consumption.names, self.session_id)
        for delivery in found:
            lease.held[delivery.tag] = None
        return found, 0.0

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

    def ack_many(self, deliveries: Sequence[Delivery], *, confirm: bool = False) -> None:
        self._check_open()
        tags = self._mine(deliveries)
        if not tags:
            return
        if confirm:
            believed = sum(tag in self._lease.held for tag in tags)
            if self._client.script(scripts.SETTLE, *self._lease.keys, *tags) < believed:
                raise self._lease.lost()
        else:
            self._client.script_later(scripts.SETTLE, *self._lease.keys, *tags)
        self._lease.let_go(tags)

    def flush(self) -> None:
        self._client.flush()

    def reject_many(self, deliveries: Sequence[Delivery]) -> None:
        self._check_open()
        if tags := self._mine(deliveries):
            self._client.script(scripts.SETTLE, *self._lease.keys, *tags)
            self._lease.let_go(tags)

    def requeue_many(self, deliveries: Sequence[Delivery], *, charge: bool = True) -> None:
        self._check_open()
        self._news.quiet = False
        for each in self._mine_broadcast(deliveries):
            self._client.command("LPUSH", f"{self._layout.prefix}{each.queue}", each.tag.envelope)
        tags = self._mine(deliveries)
        # As if never handed out: in front, the oldest last, because the last one pushed is consumed first.
        self._lease.requeue(tags if charge else tags[::-1], front=not charge, charge=charge)

    def _mine_broadcast(self, deliveries: Iterable[Delivery]) -> list[Delivery]:
        return [each for each in deliveries if type(each.tag) is Broadcast and each.session_id == self.session_id]

    def defer_many(self, items: Sequence[tuple[Delivery, float]]) -> None:
        self._check_open()
        self._news.quiet = False
        layout, arguments = self._layout, []
        due = {id(delivery): not_before for delivery, not_before in items}
        for each in self._mine_broadcast(delivery for delivery, _ in items):
            self._client.command("ZADD", layout.delayed(each.queue), due[id(each)], b"0:" + each.tag.envelope)
        for delivery, not_before in items:
            for tag in self._mine([delivery]):
                plain = f"{layout.prefix}{delivery.queue}"
                arguments.append((tag, not_before, layout.delayed(delivery.queue), plain))
        self._lease.move(scripts.DEFER, self._lease.keys, arguments)

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
        self._lease.move(scripts.BURY, (7, *self._lease.keys[1:], self._layout.dead), arguments)

    # ----------------------------------------------------------------------------------------- leases

    def heartbeat(self) -> None:
        self._check_open()
        self._register()
        renew, found = self._lease.extend()
        if renew:
            # Somebody may have deleted bindings, and kombu drops those of expiring queues after a while.
            self._declare(self._consumption.queues if self._consumption else (), again=True)
            self._lease.announce()
        if self._lease.sweep(*found):
            # The server tells of what others add, not of this.
            self._news.quiet = False

    # ---------------------------------------------------------------------------------------- queries

    def purge(self, queue: str) -> int:
        self._check_open()
        return self._inventory.purge(queue)

    def depths(self, queues: Sequence[str]) -> dict[str, int]:
        self._check_open()
        return self._inventory.depths(queues)

    def count_delayed(self, queues: Sequence[str]) -> dict[str, int]:
        self._check_open()
        return self._inventory.count_delayed(queues)

    def release_delayed(self, queues: Sequence[str] | None = None) -> dict[str, int]:
        self._check_open()
        return self._inventory.release_delayed(queues)

    def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        self._check_open()
        return self._inventory.dead_letters(limit)

    def count_dead_letters(self) -> int:
        self._check_open()
        return self._inventory.count_dead_letters()

    def remove_dead_letters(self, ids: Collection[str]) -> int:
        self._check_open()
        return self._inventory.remove_dead_letters(ids)

    def keep_notices(self, topic: str, notices: Sequence[str], *, seconds: float) -> None:
        self._check_open()
        self._inventory.keep_notices(topic, notices, seconds)

    def notices(self, topic: str) -> list[str]:
        self._check_open()
        return self._inventory.notices(topic)

    def broadcast(self, exchange: Exchange, message: Message) -> int | None:
        self._check_open()
        return int(self._client.command(*self._publishing.broadcast(exchange.name, message)))

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
        self._lease.release()
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
