"""Messages that children have published into the hold of their own worker: taken in as if they had been fetched.

Called on the coordinator's loop only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from celeriac.execution.relaying import prefix_of
from celeriac.pool.base import Relaying
from celeriac.utils.dataclass import dataclass

if TYPE_CHECKING:
    from celeriac.execution.relaying import Relayed
    from celeriac.message import Delivery
    from celeriac.pool.base import Pool, RelayListener
    from celeriac.worker.broker_thread import BrokerThread


@dataclass(frozen=True)
class Unheard:
    """Messages that may have been relayed to a session without its being told.

    Attributes:
        session_id: The session.
        prefix: Beginning of their tags.
    """

    session_id: int
    prefix: str


class Relays:
    """Takes in what was relayed.

    Args:
        broker: The broker thread, whose session holds it.
        pool: Whose children relay.
    """

    def __init__(self, broker: BrokerThread, pool: Pool) -> None:
        self._broker = broker
        self._pool = pool

    def readdress(self, listener: RelayListener) -> None:
        """The broker thread has another session, or other queues: tell the children."""
        target = self._broker.relays_to
        if isinstance(self._pool, Relaying):
            self._pool.relay_to(None if target is None else target.address, listener)

    def take(self, relayed: Relayed) -> Delivery | None:
        """The delivery of what a child has relayed.

        What it relayed to a session that is gone returns with that session's lease.
        """
        token, queue, tag, envelope = relayed
        target = self._broker.relays_to
        if target is None or target.address is None or token != target.address[0]:
            return None
        if not envelope:
            self._broker.post_now("reclaim", Unheard(target.session_id, tag))
            return None
        delivery = target.session.read_relayed(queue, tag, envelope)
        self._broker.post("adopt", [delivery])
        # The broker thread counts what it fetches; this is held besides.
        self._broker.finished -= 1
        return delivery

    def break_off(self, pid: int) -> None:
        """Have what a dead child did not come to tell returned to its queue."""
        if (target := self._broker.relays_to) is not None:
            self._broker.post_now("reclaim", Unheard(target.session_id, prefix_of(pid)))
