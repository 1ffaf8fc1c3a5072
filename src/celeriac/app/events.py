"""`app.events`: receivers, dispatchers and states of one app, and the events that its calls send."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from celeriac.app.process import current as process
from celeriac.events.wire import Envelopes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from celeriac.app.base import Celery
    from celeriac.events.dispatcher import EventDispatcher
    from celeriac.events.receiver import EventReceiver
    from celeriac.events.state import State
    from celeriac.message import Publication

__all__ = ["Events"]


class Events:
    """Events of one app.

    Args:
        app: The application.

    Attributes:
        receiver_cls: Class of `Receiver`, or its dotted path.
        dispatcher_cls: Class of `Dispatcher`, or its dotted path.
        state_cls: Class of `State`, or its dotted path.
    """

    receiver_cls: Any = "celeriac.events.receiver:EventReceiver"
    dispatcher_cls: Any = "celeriac.events.dispatcher:EventDispatcher"
    state_cls: Any = "celeriac.events.state:State"

    def __init__(self, app: Celery) -> None:
        self.app = app
        self._sent_envelopes: tuple[int, Envelopes] | None = None

    def Receiver(self, channel: Any, *args: Any, **options: Any) -> EventReceiver:
        """A receiver on a connection of `Celery.connection`.

        Args:
            channel: The connection.
            *args: Further arguments of `EventReceiver`.
            **options: Ditto, by name.
        """
        receiver: EventReceiver = self._make(self.receiver_cls)(channel, *args, app=self.app, **options)
        return receiver

    def Dispatcher(self, *args: Any, **options: Any) -> EventDispatcher:
        """A dispatcher.

        Args:
            *args: Arguments of `EventDispatcher`.
            **options: Ditto, by name.
        """
        dispatcher: EventDispatcher = self._make(self.dispatcher_cls)(*args, app=self.app, **options)
        return dispatcher

    get_dispatcher = Dispatcher

    def State(self, *args: Any, **options: Any) -> State:
        """What a cluster looks like from its events.

        Args:
            *args: Arguments of `State`.
            **options: Ditto, by name.
        """
        state: State = self._make(self.state_cls)(*args, **options)
        return state

    @contextmanager
    def default_dispatcher(
        self, hostname: str | None = None, enabled: bool = True, buffer_while_offline: bool = False
    ) -> Iterator[EventDispatcher]:
        """A dispatcher that publishes through the calling thread's session.

        Args:
            hostname: Name of the sender; None is ``gen<pid>@<host>``.
            enabled: Send anything at all.
            buffer_while_offline: Keep what a broker out of reach does not take, instead of raising.
        """
        with self.Dispatcher(None, hostname, enabled, buffer_while_offline=buffer_while_offline) as dispatcher:
            yield dispatcher

    def sent(self, publications: Sequence[Publication]) -> Publication | None:
        """The message that tells of calls on their way, for `task_send_sent_event`; None where none is a call."""
        clock, envelopes = self.app.clock, self._own_envelopes()
        events = [
            envelopes.event("task-sent", fields, clock.forward())
            for fields in map(_sent_fields, publications)
            if fields
        ]
        if not events:
            return None
        return envelopes.publication(events if len(events) > 1 else events[0], self.app.broker)

    def _own_envelopes(self) -> Envelopes:
        """Those of this process, which may have been forked."""
        if self._sent_envelopes is None or self._sent_envelopes[0] != process.generation:
            self._sent_envelopes = (process.generation, Envelopes(self.app, process.origin))
        return self._sent_envelopes[1]

    def _make(self, cls: Any) -> Any:
        from celeriac.utils.imports import symbol_by_name

        return symbol_by_name(cls)


def _sent_fields(publication: Publication) -> dict[str, Any] | None:
    """Fields of a task-sent event; None for what is no call."""
    headers, destination = publication.message.headers, publication.destination
    if "task" not in headers or "id" not in headers:
        return None
    return {
        "uuid": headers["id"],
        "root_id": headers.get("root_id"),
        "parent_id": headers.get("parent_id"),
        "name": headers["task"],
        "args": headers.get("argsrepr"),
        "kwargs": headers.get("kwargsrepr"),
        "retries": headers.get("retries"),
        "eta": headers.get("eta"),
        "expires": headers.get("expires"),
        "queue": destination.queue.name if destination.queue is not None else None,
        "exchange": destination.exchange,
        "routing_key": destination.routing_key,
    }
