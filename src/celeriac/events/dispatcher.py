"""`EventDispatcher`: sends events from the calling thread.  A worker's own go through `celeriac.events.publisher`."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from celeriac.current import get_current_app
from celeriac.events.wire import Envelopes
from celeriac.exceptions import OperationalError
from celeriac.utils.nodenames import anon_nodename

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["EventDispatcher"]

#: Events kept for a broker that is out of reach; more push out the oldest.
MAX_UNSENT = 10_000


class EventDispatcher:
    """Sends events.

    Args:
        connection: What `Celery.connection` returns; None publishes through the calling thread's session.
        hostname: Name of the sender; None is ``gen<pid>@<host>``.
        enabled: Send anything at all.
        channel: Ignored when None; a connection is enough here.
        buffer_while_offline: Keep events that a broker out of reach did not take, for `flush` or the next `send`;
            False raises instead.
        app: The application; None is the current one.
        serializer: Name of a serializer; None is ``event_serializer``.
        groups: Kinds of events to send, as in ``["worker"]``; None or empty is all of them.
        delivery_mode: 1 (transient) or 2 (persistent).
        buffer_group: Kinds of events that are sent as one message for several of them.
        buffer_limit: How many.
        on_send_buffered: Called after such a message was sent.

    Attributes:
        on_enabled: Functions that `enable` calls.
        on_disabled: Functions that `disable` calls.
    """

    def __init__(
        self,
        connection: Any = None,
        hostname: str | None = None,
        enabled: bool = True,
        channel: Any = None,
        buffer_while_offline: bool = True,
        app: Any = None,
        serializer: str | None = None,
        groups: Iterable[str] | None = None,
        delivery_mode: int = 1,
        buffer_group: Iterable[str] | None = None,
        buffer_limit: int = 24,
        on_send_buffered: Callable[[], Any] | None = None,
    ) -> None:
        self.app: Any = app or get_current_app()
        self.connection = connection or channel
        self.hostname = hostname or anon_nodename()
        self.enabled = enabled
        self.buffer_while_offline = buffer_while_offline
        self.groups = frozenset(groups or ())
        self.buffer_group = frozenset(buffer_group or ())
        self.buffer_limit = buffer_limit
        self.on_send_buffered = on_send_buffered
        self.on_enabled: set[Callable[[], Any]] = set()
        self.on_disabled: set[Callable[[], Any]] = set()
        self._envelopes = Envelopes(self.app, self.hostname, serializer=serializer, delivery_mode=delivery_mode)
        self._groups: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self._unsent: list[dict[str, Any]] = []

    def __enter__(self) -> EventDispatcher:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def enable(self) -> None:
        """Send events from now on."""
        self.enabled = True
        for callback in self.on_enabled:
            callback()

    def disable(self) -> None:
        """Send no more events; what was kept is given up."""
        if self.enabled:
            self.enabled = False
            self.close()
            for callback in self.on_disabled:
                callback()

    def send(
        self,
        type: str,
        blind: bool = False,
        utcoffset: float | None = None,
        retry: bool = False,
        retry_policy: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> None:
        """Send an event, unless its kind is turned off.

        Args:
            type: As in ``task-progress``; what stands before the hyphen is its kind.
            blind: Leave the logical clock out.
            utcoffset: Replaces the sender's own.
            retry: Try again when the broker cannot be reached.
            retry_policy: Replaces ``task_publish_retry_policy``.
            **fields: Its fields.

        Raises:
            OperationalError: The broker did not take it, and nothing is kept.
        """
        group, _, _ = type.partition("-")
        if not self.enabled or (self.groups and group not in self.groups):
            return
        clock = None if blind else self.app.clock.forward()
        event = self._envelopes.event(type, fields, clock)
        if utcoffset is not None:
            event["utcoffset"] = utcoffset
        if group in self.buffer_group:
            buffered = self._groups[group]
            buffered.append(event)
            if len(buffered) >= self.buffer_limit:
                self.flush(errors=False)
            return
        self._send([*self._take_unsent(), event], retry, retry_policy)

    def publish(
        self,
        type: str,
        fields: Mapping[str, Any],
        producer: Any = None,
        blind: bool = False,
        retry: bool = False,
        retry_policy: Mapping[str, Any] | None = None,
    ) -> None:
        """Publish an event at once, whatever is turned off.

        Args:
            type: Its type.
            fields: Its fields.
            producer: A connection to publish through; None is the dispatcher's own way.
            blind: Leave the logical clock out.
            retry: As for `send`.
            retry_policy: As for `send`.
        """
        clock = None if blind else self.app.clock.forward()
        event = self._envelopes.event(type, fields, clock)
        self._publish([event], retry, retry_policy, producer)

    def flush(self, errors: bool = True, groups: bool = True) -> None:
        """Send what was kept.

        Args:
            errors: Events that the broker did not take before.
            groups: Events that wait to go together.
        """
        if errors and (unsent := self._take_unsent()):
            self._send(unsent, False, None)
        if groups:
            for group, events in list(self._groups.items()):
                if events:
                    self._groups[group] = []
                    self._send(events, False, None, together=True)
                    if self.on_send_buffered is not None:
                        self.on_send_buffered()

    def extend_buffer(self, other: EventDispatcher) -> None:
        """Take over what another dispatcher kept."""
        self._unsent.extend(other._take_unsent())

    def close(self) -> None:
        """Give up what was kept."""
        self._unsent.clear()
        self._groups.clear()

    def _take_unsent(self) -> list[dict[str, Any]]:
        unsent, self._unsent = self._unsent, []
        return unsent

    def _send(
        self, events: list[dict[str, Any]], retry: bool, policy: Mapping[str, Any] | None, *, together: bool = False
    ) -> None:
        try:
            self._publish(events, retry, policy, None, together=together)
        except OperationalError:
            if not self.buffer_while_offline:
                raise
            self._unsent = [*events, *self._unsent][-MAX_UNSENT:]

    def _publish(
        self,
        events: list[dict[str, Any]],
        retry: bool,
        policy: Mapping[str, Any] | None,
        connection: Any,
        *,
        together: bool = False,
    ) -> None:
        connection = connection or self.connection
        broker = self.app.broker if connection is None else connection.broker
        if together:
            items = [self._envelopes.publication(events, broker)]
        else:
            items = [self._envelopes.publication(event, broker) for event in events]
        if connection is None:
            self.app.publisher.publish_many(items, retry=retry, retry_policy=policy)
        else:
            connection.session.publish_many(items, timeout=self.app.conf.broker_publish_timeout)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.hostname} {'enabled' if self.enabled else 'disabled'}>"
