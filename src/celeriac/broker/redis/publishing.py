"""Publications turned into Redis commands.  Sending them and reading the replies is the session's business."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from celeriac.broker.bindings import check_queue
from celeriac.broker.envelope import TagSource, encode_envelope
from celeriac.broker.redis.scripts import DELAY, PUBLISH
from celeriac.drivers.resp import pack_command
from celeriac.exceptions import EncodeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celeriac.broker.redis.layout import Layout
    from celeriac.broker.redis.scripts import Script
    from celeriac.broker.topology import Queue
    from celeriac.message import Message, Once, Publication

logger = logging.getLogger("celeriac.broker.redis")

#: A batch goes out in parts: this many messages to one list in a command (the packer of hiredis takes five times as
#: long for a word of a command of half a megabyte as for one of a hundred kilobytes), this many bytes in a send.
RUN_LENGTH = 100
PART_SIZE = 1 << 20
#: kombu's rule: bindings of expiring queues are kept for twice their time, and an hour at least.
_BINDING_GRACE_MS = 3_600_000

_PLAIN, _DELAYED, _HOLDABLE = "\0plain", "\0delayed", "\0holdable"


class Outbox:
    """Packed commands that wait to be sent.

    Attributes:
        data: The packed commands.
        scripts: Of each command that is a script, by its position: the script, its arguments, and the publication that
            it routes, if it does.
        size: Bytes of all envelopes in it.
    """

    __slots__ = ("data", "scripts", "size")

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.scripts: dict[int, tuple[Script, tuple[Any, ...], Publication | None]] = {}
        self.size = 0

    def add_script(
        self, script: Script, keys: tuple[str, ...], arguments: tuple[Any, ...], routed: Publication | None = None
    ) -> None:
        """Add a call of a script."""
        arguments = len(keys), *keys, *arguments
        self.scripts[len(self.data)] = (script, arguments, routed)
        self.data.append(pack_command(("EVALSHA", script.sha, *arguments)))


class _Run:
    """Messages in a row that one command can carry.

    Attributes:
        kind: What is done with them.
        name: The list, or the kind again where there is no list.
        queue: Their queue.
        words: What the command ends in.
    """

    __slots__ = ("kind", "name", "queue", "words")

    def __init__(self, kind: str, name: str, queue: str) -> None:
        self.kind, self.name, self.queue = kind, name, queue
        self.words: list[Any] = []


class Publishing:
    """What a session remembers about publishing: queues declared, kinds of exchanges, packed constants.

    Args:
        layout: Names of keys.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._tags = TagSource()
        # By identity, because comparing queues costs more than declaring them: the value keeps the identity taken.
        self._declared: dict[int, Queue] = {}
        self._types: dict[str, str] = {}
        self._expires_ms: dict[str, int] = {}
        self._lists: dict[tuple[str, int], str] = {}

    def declare(self, queue: Queue, *, again: bool = False) -> list[bytes]:
        """The commands that declare a queue; none the second time.

        Args:
            queue: The queue.
            again: Declare it once more, in case its bindings were deleted or are about to expire.

        Raises:
            ImproperlyConfigured: The queue asks for what this broker cannot do.
        """
        if id(queue) in self._declared and not again:
            return []
        lifetime = check_queue(queue, "redis")
        # What comes from a fanout exchange waits in no list, and a transient queue goes with its consumer.
        listed = not lifetime.transient and (
            not queue.all_bindings or any(bound.exchange.type != "fanout" for bound in queue.all_bindings)
        )
        if lifetime.message_ttl is not None and listed and id(queue) not in self._declared:
            logger.warning(
                "Messages of queue %s wait for as long as it takes: Redis cannot expire one after its x-message-ttl of "
                "%g s; give the tasks themselves an expiry (the option expires)",
                queue.name, lifetime.message_ttl,
            )  # fmt: skip
        self._declared[id(queue)] = queue
        expires_ms = None if lifetime.expires is None else int(lifetime.expires * 1000)
        if expires_ms is not None:
            self._expires_ms[queue.name] = expires_ms
        layout, commands = self._layout, []
        for bound in queue.all_bindings:
            exchange, kind = bound.exchange.name, str(bound.exchange.type)
            self._types[exchange] = kind
            if queue.no_declare:
                continue
            if not queue.name:
                commands.append(pack_command(("HSET", layout.exchanges, exchange, kind)))
                continue
            member = layout.binding(bound.routing_key, queue.name, topic=kind == "topic")
            commands.append(pack_command(("SADD", layout.bindings(exchange), member)))
            commands.append(pack_command(("HSET", layout.exchanges, exchange, kind)))
            if expires_ms is None:
                commands.append(pack_command(("SADD", layout.permanent_bindings(exchange), member)))
            else:
                until = int(time.time() * 1000) + max(2 * expires_ms, _BINDING_GRACE_MS)
                commands.append(pack_command(("ZADD", layout.binding_deadlines, "GT", until, exchange)))
        return commands

    def any_expires(self, names: Sequence[str]) -> bool:
        """Whether one of these queues, if it was declared, expires."""
        return any(name in self._expires_ms for name in names)

    def add(self, outbox: Outbox, items: list[Publication], start: int) -> int:
        """Add publications from a position on, until the outbox is full.

        Returns:
            The position of the first one left over.

        Raises:
            EncodeError: A header or a property is not JSON.
        """
        layout, lists, now = self._layout, self._lists, time.time()
        run, position = _Run("", "", ""), start
        while position < len(items) and outbox.size < PART_SIZE:
            item = items[position]
            position += 1
            destination = item.destination
            queue, routing_key = destination.queue, destination.routing_key
            if queue is not None and id(queue) not in self._declared:
                outbox.data += self.declare(queue)
            try:
                envelope = encode_envelope(item.message, destination.exchange, routing_key, self._tags.next())
            except (TypeError, ValueError) as error:
                raise EncodeError(
                    f"a header or property of a message to {routing_key!r} is not JSON: {error}"
                ) from error
            outbox.size += len(envelope)
            priority, due = item.message.properties.get("priority") or 0, item.not_before
            delayed = due is not None and due > now
            if destination.exchange:
                self._finish(outbox, run)
                run = _Run("", "", "")
                self._route(outbox, item, envelope, priority, delayed)
                continue
            if delayed:
                kind = name = _HOLDABLE if item.holdable else _DELAYED
            else:
                kind, name = _PLAIN, lists.get((routing_key, priority)) or self._list(routing_key, priority)
            if item.once is not None:
                self._finish(outbox, run)
                run = _Run("", "", "")
                words = (due, layout.delayed_member(priority, envelope)) if delayed else (envelope,)
                self._put_once(outbox, item, item.once, name, words, delayed=delayed)
                continue
            if name != run.name or routing_key != run.queue or len(run.words) >= RUN_LENGTH:
                self._finish(outbox, run)
                run = _Run(kind, name, routing_key)
            if delayed:
                run.words += (due, layout.delayed_member(priority, envelope))
            else:
                run.words.append(envelope)
        self._finish(outbox, run)
        return position

    def _list(self, queue: str, priority: int) -> str:
        name = self._lists[queue, priority] = f"{self._layout.prefix}{queue}{self._layout.suffix(priority)}"
        return name

    def _finish(self, outbox: Outbox, run: _Run) -> None:
        """Make one command of a run of messages to the same place."""
        layout = self._layout
        if not run.words:
            return
        if run.kind == _DELAYED:
            outbox.data.append(pack_command(("ZADD", layout.delayed(run.queue), *run.words)))
        elif run.kind == _HOLDABLE:
            keys = layout.delayed(run.queue), layout.sessions, layout.consumers(run.queue)
            outbox.add_script(DELAY, keys, (layout.prefix + run.queue, *run.words))
        else:
            outbox.data.append(pack_command(("LPUSH", run.name, *run.words)))
            self._expire(outbox, run.queue)

    def _expire(self, outbox: Outbox, queue: str) -> None:
        """Let the lists of a queue with a lifetime begin it anew."""
        expires_ms = self._expires_ms.get(queue) if self._expires_ms else None
        if expires_ms is not None:
            outbox.data += [pack_command(("PEXPIRE", key, expires_ms)) for key in self._layout.lists(queue)]

    def broadcast(self, exchange: str, message: Message) -> tuple[str, str, bytes]:
        """The command that publishes to a fanout exchange; the server answers how many subscribers got it.

        Raises:
            EncodeError: A header or a property is not JSON.
        """
        try:
            envelope = encode_envelope(message, exchange, "", self._tags.next())
        except (TypeError, ValueError) as error:
            raise EncodeError(f"a header or property of a message to {exchange!r} is not JSON: {error}") from error
        return "PUBLISH", self._layout.channel(exchange, ""), envelope

    def _route(self, outbox: Outbox, item: Publication, envelope: bytes, priority: int, delayed: bool) -> None:
        layout, destination = self._layout, item.destination
        exchange, routing_key = destination.exchange, destination.routing_key
        keys = layout.bindings(exchange), layout.exchanges, layout.sessions
        arguments = (
            exchange, self._types.get(exchange, ""), routing_key, layout.channel(exchange, routing_key),
            layout.prefix, layout.separator, layout.suffix(priority),
            destination.queue.name if destination.queue is not None else "",
            item.not_before if delayed else "", layout.delayed(""), envelope,
            layout.consumers("") if item.holdable else "",
        )  # fmt: skip
        if item.once is not None:
            from celeriac.broker.redis.scripts.once import ONCE_PUBLISH

            self._add_once(outbox, item, item.once, ONCE_PUBLISH, keys, arguments)
        else:
            outbox.add_script(PUBLISH, keys, arguments, item)

    def _put_once(
        self, outbox: Outbox, item: Publication, once: Once, name: str, words: tuple[Any, ...], *, delayed: bool
    ) -> None:
        """Put a message into a queue, once."""
        # Few processes send such messages.
        from celeriac.broker.redis.scripts.once import ONCE_DELAY, ONCE_PUT

        layout, queue = self._layout, item.destination.routing_key
        if delayed and item.holdable:
            keys = layout.delayed(queue), layout.sessions, layout.consumers(queue)
            self._add_once(outbox, item, once, ONCE_DELAY, keys, (layout.prefix + queue, *words))
        elif delayed:
            key = layout.delayed(queue)
            self._add_once(outbox, item, once, ONCE_PUT, (key,), ("ZADD", key, *words))
        else:
            self._add_once(outbox, item, once, ONCE_PUT, (name,), ("LPUSH", name, *words))
            self._expire(outbox, queue)

    def _add_once(
        self,
        outbox: Outbox,
        item: Publication,
        once: Once,
        script: Script,
        keys: tuple[str, ...],
        arguments: tuple[Any, ...],
    ) -> None:
        keys = *keys, self._layout.taken(once.scope)
        outbox.add_script(script, keys, (*arguments, once.token, once.series, once.place), item)
