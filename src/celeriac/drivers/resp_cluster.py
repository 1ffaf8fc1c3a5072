"""Redis Cluster: which node holds a key, and commands sent there.

Any node tells which has which slots; it is asked again when a node says that a slot has moved, or does not answer.
Commands of several keys are the caller's business: their keys have to be in one slot.
"""

from __future__ import annotations

import random
import time
from binascii import crc_hqx
from bisect import bisect_right
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

from celeriac.drivers.resp import ReplyError, RespConnection
from celeriac.drivers.resp_pool import RespPool
from celeriac.exceptions import OperationalError, SessionRefused
from celeriac.utils.dataclass import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from celeriac.drivers.resp import Command
    from celeriac.drivers.resp_params import RespParams

T = TypeVar("T")
Address: TypeAlias = "tuple[str, int]"

_SLOTS = 16384
#: Answers that say where a key is now.
_REDIRECTIONS = frozenset({"MOVED", "ASK"})
#: Answers of a cluster that is being changed: another attempt will do.
_PASSING = frozenset({"CLUSTERDOWN", "TRYAGAIN", "MASTERDOWN", "LOADING", "READONLY"})
#: Error replies that `RespCluster` has to see as they are.
HANDLED = _REDIRECTIONS | _PASSING
_REDIRECTIONS_AT_ONCE = 5
#: Seconds between two attempts: from, up to.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5


class Slots(NamedTuple):
    """Who serves which slots.

    Attributes:
        starts: First slots of the ranges, in order.
        ranges: Last slot and address of the primary of each.
    """

    starts: list[int]
    ranges: list[tuple[int, Address]]

    def owner(self, slot: int) -> Address | None:
        """Address of the primary of a slot; None when no node has it."""
        position = bisect_right(self.starts, slot) - 1
        if position < 0:
            return None
        last, address = self.ranges[position]
        return address if slot <= last else None


def slot_of(key: str | bytes) -> int:
    """The slot of a key: of what is between its first braces, if there is something, or of all of it.

    >>> slot_of("{chord}.j") == slot_of("{chord}.s") == slot_of("chord")
    True
    """
    data = key.encode() if isinstance(key, str) else key
    _, brace, rest = data.partition(b"{")
    tag, closed, _ = rest.partition(b"}")
    return crc_hqx(tag if brace and closed and tag else data, 0) % _SLOTS


class RespCluster:
    """Connections to the nodes of a cluster.  Thread-safe, and safe to use after a fork.

    Args:
        seeds: Some of its nodes; the credentials of the first are those of all.
    """

    def __init__(self, seeds: Sequence[RespParams]) -> None:
        self.params = seeds[0]
        self._seeds = [(params.host, params.port) for params in seeds]
        self._pools: dict[Address, RespPool] = {}
        self._slots: Slots | None = None

    # --- commands

    def run(self, key: str | bytes, operation: Callable[[RespConnection], T], *, patience: float | None = None) -> T:
        """Run an operation on a connection to the node that has a key.

        It may run more than once.

        Args:
            key: All keys of the operation are in its slot.
            operation: Raises the `ReplyError` of the node as it is.
            patience: Seconds to try, while a slot moves or another node takes the place of one; ``timeout`` if None.

        Raises:
            ReplyError: The node refused.
            OperationalError: The node cannot be reached.
        """
        attempts = _Attempts(self.params.timeout if patience is None else patience)
        while True:
            address = attempts.told
            try:
                address = address or self._owner(key, attempts.deadline)
                return self._pool(address).run(attempts.prepared(operation))
            except SessionRefused:
                raise
            except OperationalError as error:
                if address is None and patience is None:
                    # Not one of them answers, or nobody has the slot.
                    raise
                attempts.note(error, address)
            if not attempts.asking:
                self._slots = None
            attempts.pause()

    def execute(self, key: str | bytes, *command: Any) -> Any:
        """Run one command, as `run` does."""
        return self.run(key, lambda connection: connection.execute(*command))

    def pipeline(self, commands: Sequence[tuple[str | bytes, Command]], *, patience: float | None = None) -> list[Any]:
        """Run commands, each with a key of its slot, in one send for each node.

        Returns:
            Their replies in order; an error reply is a `ReplyError` in its place.
        """
        replies: list[Any] = [None] * len(commands)
        again: list[int] = []
        for address, positions in self._by_node(commands, patience).items():
            found = None if address is None else self._send(address, [commands[each][1] for each in positions])
            for position, reply in zip(positions, found or repeat(None), strict=False):
                replies[position] = reply
                if found is None or (isinstance(reply, ReplyError) and reply.code in HANDLED):
                    again.append(position)
        for position in again:
            replies[position] = self._again(*commands[position], patience)
        return replies

    def _send(self, address: Address, commands: Sequence[Command]) -> list[Any] | None:
        """Replies of a node; None if it cannot be reached."""
        try:
            return self._pool(address).run(lambda connection: connection.pipeline(commands))
        except SessionRefused:
            raise
        except OperationalError:
            self._slots = None
            return None

    def _again(self, key: str | bytes, command: Command, patience: float | None) -> Any:
        try:
            return self.run(key, lambda connection: connection.execute(*command), patience=patience)
        except ReplyError as error:
            return error

    def _by_node(
        self, commands: Sequence[tuple[str | bytes, Command]], patience: float | None
    ) -> dict[Address | None, list[int]]:
        """Positions of commands by the node they go to; None if that is not known yet."""
        deadline = time.monotonic() + self.params.timeout
        found: dict[Address | None, list[int]] = {}
        for position, (key, _) in enumerate(commands):
            try:
                address: Address | None = self._owner(key, deadline)
            except SessionRefused:
                raise
            except OperationalError:
                if patience is None:
                    raise
                return {None: list(range(len(commands)))}
            found.setdefault(address, []).append(position)
        return found

    def close(self) -> None:
        """Close the idle connections. The cluster may be used again."""
        for pool in list(self._pools.values()):
            pool.close()

    # --- nodes

    def _pool(self, address: Address) -> RespPool:
        pool = self._pools.get(address)
        if pool is None:
            pool = self._pools.setdefault(address, RespPool(self._node(address)))
        return pool

    def _node(self, address: Address) -> RespParams:
        return replace(self.params, host=address[0], port=address[1])

    def _owner(self, key: str | bytes, deadline: float) -> Address:
        slots = self._slots
        if slots is None:
            slots = self._ask_around(deadline)[0]
        slot = slot_of(key)
        owner = slots.owner(slot)
        if owner is None:
            self._slots = None
            raise ReplyError(f"CLUSTERDOWN no node of {self.params.address} has slot {slot}")
        return owner

    def locate(self, deadline: float) -> Address:
        """Address of a primary that answers.

        Args:
            deadline: ``time.monotonic()`` until which to try.

        Raises:
            OperationalError: No node answers.
        """
        slots, answered = self._ask_around(deadline)
        primaries = {address for _, address in slots.ranges}
        return answered if answered in primaries or not primaries else random.choice(sorted(primaries))

    def locate_key(self, key: str | bytes, deadline: float) -> Address:
        """Address of the primary that has the slot of a key by now.

        Args:
            key: The key.
            deadline: ``time.monotonic()`` until which to try.

        Raises:
            OperationalError: No node answers, or nobody has the slot.
        """
        self._slots = None
        return self._owner(key, deadline)

    def _ask_around(self, deadline: float) -> tuple[Slots, Address]:
        """Learn the slots from whichever node answers first; also its address."""
        known = [*self._pools, *self._seeds]
        random.shuffle(known)
        failures = []
        for address in dict.fromkeys(known):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                break
            try:
                # One that does not answer leaves time for the others.
                slots = self._ask(address, time.monotonic() + max(remaining / 2, 0.05))
            except SessionRefused:
                raise
            except OperationalError as error:
                failures.append(str(error))
                continue
            self._slots = slots
            return slots, address
        raise OperationalError(
            f"no node of the Redis Cluster answers: {'; '.join(failures) or 'none was asked in time'}"
        )

    def _ask(self, address: Address, deadline: float) -> Slots:
        connect_by = min(deadline, time.monotonic() + self.params.connect_timeout)
        connection = RespConnection(self._node(address), deadline=connect_by)
        try:
            answer = connection.execute("CLUSTER", "SLOTS", deadline=deadline)
        except ReplyError as error:
            raise OperationalError(
                f"Redis at {connection.params.address} is no node of a cluster: {error}; the URL of a single server "
                "begins with redis://"
            ) from error
        finally:
            connection.close()
        return _slots(answer, address[0])


class _Attempts:
    """What the attempts to run one operation have learnt.

    Args:
        patience: Seconds to try.

    Attributes:
        deadline: Monotonic time until which to try.
        told: Where a node said the key is; None to look it up.
        asking: That node is just being given the slot, and has to be told that one knows.
    """

    def __init__(self, patience: float) -> None:
        self.deadline = time.monotonic() + patience
        self.told: Address | None = None
        self.asking = False
        self._pause = _FIRST_PAUSE
        self._redirections = 0

    def prepared(self, operation: Callable[[RespConnection], T]) -> Callable[[RespConnection], T]:
        """The operation as the next node wants it."""
        if not self.asking:
            return operation

        def ask(connection: RespConnection) -> T:
            connection.execute("ASKING")
            return operation(connection)

        return ask

    def note(self, error: OperationalError, address: Address | None) -> None:
        """Learn from an error; raises it again unless another attempt may help."""
        self.told, self.asking = None, False
        if isinstance(error, ReplyError):
            if error.code not in HANDLED:
                raise error
            if error.code in _REDIRECTIONS and address is not None:
                self.told, self.asking = _target(error, address), error.code == "ASK"
        if time.monotonic() + self._pause >= self.deadline:
            raise error

    def pause(self) -> None:
        """Give the cluster time, unless it is known where to go: nodes that disagree send one to and fro."""
        self._redirections += 1
        if self.told is None or self._redirections > _REDIRECTIONS_AT_ONCE:
            time.sleep(self._pause * random.uniform(0.5, 1.0))
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)


def _target(error: ReplyError, asked: Address) -> Address:
    """Where ``MOVED <slot> <host>:<port>`` points to; a node that does not know its name leaves it out."""
    host, _, port = str(error).split(" ")[2].rpartition(":")
    return host.strip("[]") or asked[0], int(port)


def _slots(answer: Sequence[Any], asked_host: str) -> Slots:
    """The answer of ``CLUSTER SLOTS``: of each range its first and last slot, its primary, and replicas."""
    ranges = []
    for first, last, primary, *_ in answer:
        host = bytes(primary[0] or b"").decode()
        ranges.append((int(first), int(last), (host if host not in ("", "?") else asked_host, int(primary[1]))))
    ranges.sort()
    return Slots([first for first, _, _ in ranges], [(last, address) for _, last, address in ranges])
