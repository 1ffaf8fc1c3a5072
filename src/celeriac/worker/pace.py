"""How long tasks take, how large messages are, and so how many messages the worker holds.  Runs on the loop.

It decides numbers only: claiming is the broker thread's, sending to slots the dispatcher's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from celeriac.message import Delivery

#: Messages claimed ahead for one slot while tasks are short, and the seconds of work they may amount to.
MAX_PREFETCH, PREFETCH_HORIZON = 192, 0.020
#: Messages claimed beyond the limit while none of those that come is to run here: two fetches, so that one is on its
#: way while the other is looked through.
MAX_EXTRA = 1000
#: Messages held where ``worker_prefetch_multiplier`` is 0.
UNLIMITED = 65535
#: Seconds that the machinery around a task takes in the child.
OVERHEAD = 30e-6
#: Expected seconds of a task never seen before: long, so that nothing queues behind it.
UNKNOWN = 1.0


class Estimates:
    """Moving averages of run times by task name, and over all.

    Attributes:
        counts: How many tasks ended, by name.
        costs: Expected seconds in a slot, by name; of others nothing is known.
        overall: Seconds of any task.
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.costs: dict[str, float] = {}
        self.overall = UNKNOWN

    def learn(self, runs: Iterable[tuple[str, float]]) -> None:
        """Take in measured run times: slower counts more than faster, so that surprises are not repeated.

        Args:
            runs: Name of each task, and its seconds.
        """
        for name, runtime in runs:
            seen = runtime + OVERHEAD
            self.counts[name] = self.counts.get(name, 0) + 1
            old = self.costs.get(name)
            if old is None:
                self.costs[name] = seen
            else:
                self.costs[name] = old + (seen - old) * (0.5 if seen > old else 0.1)
            self.overall += (seen - self.overall) * 0.1


class Pace:
    """How many messages may be held.

    Args:
        estimates: Expected run times.
        multiplier: Messages for each slot; 0 is unlimited.
        adaptive: Hold more while tasks are short.
        max_bytes: What the bodies of all held messages may amount to; one message for each slot is held regardless.

    Attributes:
        granted: Messages that a command allowed in addition.
    """

    def __init__(self, estimates: Estimates, *, multiplier: int, adaptive: bool, max_bytes: int) -> None:
        self._estimates = estimates
        self._multiplier = multiplier
        self._adaptive = adaptive
        self._max_bytes = max_bytes
        self._size = 1.0
        self._extra = 0
        self.granted = 0

    def limit(self, slots: int) -> int:
        """Messages that may be held now.

        Args:
            slots: Tasks that can run at once.
        """
        limit = slots * self._multiplier or UNLIMITED
        if self._adaptive:
            short = int(PREFETCH_HORIZON / self._estimates.overall)
            limit = max(limit, slots * min(MAX_PREFETCH, short))
        return min(max(limit + self.granted, 1) + self._extra, max(slots, int(self._max_bytes / self._size)))

    def fetched(self, deliveries: Sequence[Delivery], kept: int) -> None:
        """Learn from a batch.

        A batch of which nothing is to run here, because it is due later for one, makes the next one larger: the limit
        is for messages that wait for a slot, and these do not.

        Args:
            deliveries: What was fetched.
            kept: How many of them the worker goes on holding.
        """
        largest = max([len(delivery.message.body) for delivery in deliveries])
        # A large message is believed at once, because it will not be the last; smaller ones little by little.
        self._size = largest if largest > self._size else max(1.0, self._size + (largest - self._size) * 0.1)
        self._extra = 0 if kept else min(MAX_EXTRA, max(2 * self._extra, len(deliveries)))
