"""Keys on the wire, byte-compatible with kombu's Redis transport; and keys of our own beside them.

Does no I/O.  The wire rules were observed on kombu 5.7.0.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from celeriac.exceptions import ImproperlyConfigured
from celeriac.utils.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_SEPARATOR = "\x06\x16"
DEFAULT_STEPS = (0, 3, 6, 9)


@dataclass(frozen=True)
class Layout:
    """Names of all keys.

    Attributes:
        prefix: ``global_keyprefix``, put before every key.
        separator: Between a queue and its priority step, and between the parts of a binding.
        steps: Priority steps; the first has no suffix and is consumed first.
        unacked_name, unacked_index_name: kombu's hash and sorted set of unacknowledged messages.
        fanout_prefix: Put before the name of a fanout exchange to make its channel.
        fanout_patterns: The routing key is part of the channel.
    """

    prefix: str = ""
    separator: str = DEFAULT_SEPARATOR
    steps: tuple[int, ...] = DEFAULT_STEPS
    unacked_name: str = "unacked"
    unacked_index_name: str = "unacked_index"
    fanout_prefix: str = "/0."
    fanout_patterns: bool = True

    @classmethod
    def from_options(cls, options: Mapping[str, Any], *, db: int) -> Layout:
        """Read the transport options that name keys.

        Raises:
            ImproperlyConfigured: ``priority_steps`` is no list of numbers.
        """
        given = options.get("priority_steps") or DEFAULT_STEPS
        try:
            steps = tuple(sorted(int(step) for step in given))
        except (TypeError, ValueError):
            raise ImproperlyConfigured(
                f"broker_transport_options: priority_steps is {given!r}; it has to be a list of numbers"
            ) from None
        fanout = options.get("fanout_prefix", True)
        return cls(
            prefix=str(options.get("global_keyprefix") or ""),
            separator=str(options.get("sep") or DEFAULT_SEPARATOR),
            steps=steps,
            unacked_name=str(options.get("unacked_key") or "unacked"),
            unacked_index_name=str(options.get("unacked_index_key") or "unacked_index"),
            fanout_prefix=((fanout if isinstance(fanout, str) else "/{db}.").format(db=db) if fanout else ""),
            fanout_patterns=bool(options.get("fanout_patterns", True)),
        )

    # --- kombu's keys

    def suffix(self, priority: int) -> str:
        """What the list of a priority has after the name of the queue: that of the largest step not above it."""
        step = self.steps[0]
        for each in self.steps:
            if each > priority:
                break
            step = each
        return f"{self.separator}{step}" if step else ""

    @property
    def suffixes(self) -> list[str]:
        """The suffix of each step, first consumed first."""
        return [self.suffix(step) for step in self.steps]

    def lists(self, queue: str) -> list[str]:
        """The lists of a queue, first consumed first."""
        return [f"{self.prefix}{queue}{suffix}" for suffix in self.suffixes]

    @property
    def unacked(self) -> str:
        """Hash: delivery tag to ``[envelope, exchange, routing key]``."""
        return self.prefix + self.unacked_name

    @property
    def unacked_index(self) -> str:
        """Sorted set: delivery tag by Unix time of the claim."""
        return self.prefix + self.unacked_index_name

    def bindings(self, exchange: str) -> str:
        """Set of the bindings of an exchange."""
        return f"{self.prefix}_kombu.binding.{exchange}"

    def permanent_bindings(self, exchange: str) -> str:
        """Set of those of them whose queues do not expire (kombu 5.7)."""
        return f"{self.prefix}_kombu.binding_permanent.{exchange}"

    @property
    def binding_deadlines(self) -> str:
        """Sorted set: exchanges with expiring queues by Unix time in ms (kombu 5.7)."""
        return f"{self.prefix}_kombu.binding_deadlines"

    def binding(self, routing_key: str, queue: str, *, topic: bool) -> str:
        """One member of a binding set."""
        pattern = topic_regex(routing_key) if topic else ""
        return self.separator.join((routing_key, pattern, queue))

    def channel(self, exchange: str, routing_key: str) -> str:
        """The pub/sub channel of a fanout exchange."""
        channel = f"{self.prefix}{self.fanout_prefix}{exchange}"
        return f"{channel}/{routing_key}" if routing_key and self.fanout_patterns else channel

    def channel_pattern(self, exchange: str, routing_key: str) -> str:
        """The pattern that a consumer of a fanout exchange subscribes to."""
        return self.channel(exchange, routing_key.replace("#", "*"))

    # --- our own keys

    @property
    def sessions(self) -> str:
        """Sorted set: session token by the server time at which its lease runs out."""
        return f"{self.prefix}celeriac.sessions"

    @property
    def session_prefix(self) -> str:
        """Before a session's token: hash of the tags it holds to the list each came from."""
        return f"{self.prefix}celeriac.session."

    @property
    def malformed(self) -> str:
        """Hash: tag to raw bytes of claimed messages that kombu's hash cannot hold, because they are no JSON."""
        return f"{self.prefix}celeriac.malformed"

    @property
    def deliveries(self) -> str:
        """Hash: tag to the number of charged deliveries that were not settled."""
        return f"{self.prefix}celeriac.deliveries"

    def delayed(self, queue: str) -> str:
        """Sorted set: ``<suffix length>:<suffix><envelope>`` by the Unix time at which it is due."""
        return f"{self.prefix}celeriac.delayed.{queue}"

    def consumers(self, queue: str) -> str:
        """Set: tokens of the sessions that consume a queue, and so see to its delayed messages."""
        return f"{self.prefix}celeriac.consumers.{queue}"

    def delayed_member(self, priority: int, envelope: bytes) -> bytes:
        """A member of such a set."""
        suffix = self.suffix(priority).encode()
        return b"%d:%b%b" % (len(suffix), suffix, envelope)

    def read_delayed_member(self, member: bytes) -> tuple[bytes, bytes]:
        """The suffix of the list and the envelope, of a member of such a set."""
        size, _, rest = member.partition(b":")
        return rest[: int(size)], rest[int(size) :]

    @property
    def exchanges(self) -> str:
        """Hash: exchange to its type, which kombu keeps nowhere."""
        return f"{self.prefix}celeriac.exchanges"

    def notices(self, topic: str) -> str:
        """Sorted set: texts by the Unix time until which they are kept."""
        return f"{self.prefix}celeriac.notices.{topic}"

    def taken(self, scope: str) -> str:
        """Hash: series to ``<token>:<place>`` of the last message that was taken once."""
        return f"{self.prefix}celeriac.taken.{scope}"

    @property
    def dead(self) -> str:
        """Stream of messages set aside."""
        return f"{self.prefix}celeriac.dead"


def topic_regex(routing_key: str) -> str:
    r"""The regular expression kombu keeps beside a topic binding.

    >>> topic_regex("stock.*.#")
    '^stock\\.[^\\.]+\\..*?$'
    """
    words = {"*": r"[^\.]+", "#": r".*?"}
    return "^" + r"\.".join(words.get(word, re.escape(word)) for word in routing_key.split(".")) + "$"
