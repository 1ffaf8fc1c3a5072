"""A listener: receives events in a thread, for tests that wait for them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from tests.support.waiting import PATIENCE, wait_until

if TYPE_CHECKING:
    from celeriac import Celery


class Listener:
    """Receives every event of a broker, once the constructor has returned.

    Args:
        app: The application.

    Attributes:
        events: What came, in order.
        exchange: The exchange it listens to.
    """

    def __init__(self, app: Celery) -> None:
        self.events: list[dict[str, Any]] = []
        self._app = app
        self._stop = threading.Event()
        self._connection = app.connection_for_read()
        # A machine that has much else to do may let events wait for longer than monitors want to.
        self._receiver = app.events.Receiver(self._connection, {"*": self.events.append}, queue_ttl=PATIENCE)
        self.exchange = self._receiver.exchange
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        wait_until(self._probe, what="the listener receives")

    def _run(self) -> None:
        self._receiver.capture(wakeup=False, stop=self._stop)

    def _probe(self) -> bool:
        assert self._thread.is_alive(), "the listener has ended"
        with self._app.events.default_dispatcher("probe") as dispatcher:
            dispatcher.send("probe-sent")
        return any(event["type"] == "probe-sent" for event in self.events)

    def of(self, uuid: str) -> list[str]:
        """Types of the events about a task, in the order in which they came."""
        return [event["type"] for event in self.events if event.get("uuid") == uuid]

    def wait(self, type_: str, **fields: Any) -> dict[str, Any]:
        """Wait for an event; returns it."""

        def find() -> dict[str, Any] | None:
            for event in list(self.events):
                if event["type"] == type_ and all(event.get(name) == value for name, value in fields.items()):
                    return event
            return None

        found = wait_until(find, what=f"{type_} of {fields} came")
        assert found is not None
        return found

    def close(self) -> None:
        """Receive no more."""
        self._stop.set()
        self._connection.session.wake()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
