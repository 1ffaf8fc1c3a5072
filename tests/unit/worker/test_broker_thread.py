"""The broker thread's own duties, on a session of the memory broker that can be held up."""

from __future__ import annotations

import asyncio
import threading
import uuid
from typing import TYPE_CHECKING, Any

from celeriac.broker import open_broker
from celeriac.broker.topology import Queue
from celeriac.message import Destination, Message, Publication
from celeriac.worker.broker_thread import BrokerThread, ConnectionPolicy
from tests.support import PATIENCE

if TYPE_CHECKING:
    from celeriac.message import Delivery


class Listener:
    """Collects deliveries."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.deliveries: list[Delivery] = []
        self.all_there = asyncio.Event()

    def on_connected(self, url: str) -> None: ...

    def on_relay_target(self) -> None: ...

    def on_revoked(self, ids: list[str], stamps: list[str]) -> None: ...

    def on_deliveries(self, deliveries: list[Delivery]) -> None:
        self.deliveries += deliveries
        if len(self.deliveries) == self.wanted:
            self.all_there.set()

    def on_connection_lost(self, session_id: int) -> None: ...

    def on_session_lost(self, session_id: int) -> None: ...

    def on_unsettled(self, verb: str, deliveries: list[Delivery]) -> None: ...

    def on_acks_in_doubt(self, headers: list[Any]) -> None: ...

    def on_broker_refused(self, reason: str) -> None: ...


class SlowToGiveBack:
    """A broker whose sessions give messages back only once they are let."""

    def __init__(self, broker: Any) -> None:
        self._broker = broker
        self.giving_back, self.may_go_on = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    def connect(self, resume: Any = None) -> Any:
        session = self._broker.connect(resume=resume)
        requeue = session.requeue_many

        def requeue_many(deliveries: Any, *, charge: bool = True) -> None:
            self.giving_back.set()
            assert self.may_go_on.wait(PATIENCE)
            requeue(deliveries, charge=charge)

        session.requeue_many = requeue_many
        return session


def test_what_is_posted_before_the_stop_is_settled_though_the_thread_is_busy() -> None:
    """An acknowledgement that came while others were given back, and right before the stop."""
    queue = Queue(f"q{uuid.uuid4().hex}")
    broker: Any = SlowToGiveBack(open_broker("memory://"))

    async def work() -> None:
        listener = Listener(2)
        thread = BrokerThread(
            broker,
            [queue],
            listener,
            asyncio.get_running_loop(),
            ConnectionPolicy(heartbeat=3600),
        )
        thread.limit = 2
        thread.start()
        await asyncio.wait_for(listener.all_there.wait(), PATIENCE)
        one, other = listener.deliveries
        thread.post("release", [one])
        thread.wake()
        assert await asyncio.to_thread(broker.giving_back.wait, PATIENCE)
        thread.post("ack", [other])
        thread.stop()
        broker.may_go_on.set()
        assert await asyncio.to_thread(thread.join, PATIENCE)

    session = open_broker("memory://").connect()
    session.declare([queue])
    message = Message(b"[]", "application/json", "utf-8", {}, {})
    session.publish_many([Publication(message, Destination("", queue.name))] * 2)
    asyncio.run(work())
    assert session.depths([queue.name]) == {queue.name: 1}
    session.close()
