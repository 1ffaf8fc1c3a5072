"""A connection and the channels a session uses on it, each opened at first need.

Declaring has a channel of its own, because the server closes a channel over a failed declaration, and with it would
go what was published or consumed there.  It knows no messages and no queues of tasks.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from celeriac.drivers.amqp.errors import ChannelClosed, ConnectionLost, PublishRefused

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from celeriac.drivers.amqp import AMQPConnection, Channel, Declarations, OutgoingMessage, Refusal
    from celeriac.drivers.amqp.params import AMQPParams

#: After so many seconds without use a connection is looked at before something is written to it.
IDLE = 1.0
#: Seconds for saying goodbye to the server.
_CLOSE_TIMEOUT = 1.0
#: Messages that may be unconfirmed when more are written.
_UNCONFIRMED = 1000


class Link:
    """A connection with its channels.

    Every method raises `AMQPError` as the client does.

    Args:
        params: Where to connect.
    """

    def __init__(self, params: AMQPParams) -> None:
        self.params = params
        self.connection: AMQPConnection = params.connection()
        self._control: Channel | None = None
        self._confirming: Channel | None = None
        self._plain: Channel | None = None
        self._consuming: Channel | None = None
        self._used_at = 0.0

    def connect(self, deadline: float) -> None:
        """Open the connection."""
        self.connection.connect(deadline)
        self._used_at = time.monotonic()

    def deadline(self) -> float:
        """When an operation that begins now has to be done."""
        return time.monotonic() + self.params.operation_timeout

    def reconnect(self, deadline: float) -> None:
        """Open another connection in place of one that was lost; for sessions that hold nothing."""
        self.connection.abort()
        self._control = self._confirming = self._plain = None
        self.connection = self.params.connection()
        self.connect(deadline)

    def was_lost_while_idle(self) -> bool:
        """Whether the server gave up a connection that was not used for a while."""
        now = time.monotonic()
        idle, self._used_at = now - self._used_at > IDLE, now
        if not idle:
            return False
        try:
            self.drain(0.0)
        except ConnectionLost:
            return True
        return False

    # --- channels

    def control(self, deadline: float) -> Channel:
        """The channel for declarations and questions."""
        if self._control is None or self._control.error is not None:
            self._control = self.connection.channel(deadline)
        return self._control

    def open_consuming(self, deadline: float) -> Channel:
        """Open the channel to consume on; there is one in the life of a connection."""
        self._consuming = self.connection.channel(deadline)
        return self._consuming

    def _publishing(self, confirm: bool, deadline: float) -> Channel:
        channel = self._confirming if confirm else self._plain
        if channel is not None and channel.error is None:
            return channel
        if channel is not None and not confirm:
            # Nobody waited for an answer to what closed it.
            self._plain = None
            raise channel.error or ConnectionLost("the channel is closed")
        channel = self.connection.channel(deadline)
        if confirm:
            channel.confirm_select(deadline=deadline)
            self._confirming = channel
        else:
            self._plain = channel
        return channel

    def declare(self, declarations: Declarations, deadline: float) -> None:
        """Declare everything in one write."""
        if declarations:
            self.control(deadline).declare_all(declarations, deadline)

    # --- publishing

    def publish(
        self, pages: Iterable[Sequence[OutgoingMessage]], deadline: float, *, confirm: bool
    ) -> list[tuple[int, Refusal]]:
        """Publish messages, those of a page in one write.

        The next page is written while the server is still busy with the ones before it.

        Args:
            pages: The messages; pages are taken when it is their turn.
            deadline: When to give up.
            confirm: Return when the server has taken responsibility for all of them.

        Returns:
            The refused ones with their positions, counted through all pages; all others are taken.
        """
        channel = self._publishing(confirm, deadline)
        refusals: list[Refusal] = []
        first: int | None = None
        for page in pages:
            tags = channel.publish_many(page, deadline)
            first = tags.start if first is None else first
            if confirm:
                refusals += _refusals(channel, deadline, leave=_UNCONFIRMED)
        if first is None or not confirm:
            return []
        refusals += _refusals(channel, deadline)
        # Those of an earlier call that gave up waiting are no news.
        return [(refusal.tag - first, refusal) for refusal in refusals if refusal.tag >= first]

    def abandon_confirms(self) -> None:
        """Wait no longer for what is not confirmed: publish on another channel from now on."""
        self._confirming = None

    # --- reading

    def drain(self, timeout: float) -> int:
        """Read; as `AMQPConnection.drain`, but of closed channels only the consuming one is reported."""
        while True:
            try:
                return self.connection.drain(timeout)
            except ChannelClosed as error:
                # Whoever used another channel has seen it, or sees it with the next use.
                if self._consuming is not None and self._consuming.error is error:
                    raise

    def wake(self) -> None:
        """End a `drain` that waits, or the next one. Safe from any thread."""
        self.connection.wake()

    def close(self) -> None:
        """Close. Never raises."""
        connection = self.connection
        if connection.closed or connection.blocked is not None:
            connection.abort()
        elif self._plain is None:
            connection.close(time.monotonic() + _CLOSE_TIMEOUT)
        else:
            # The server answers when it has read what was published before. Whoever hangs up earlier, with something
            # of the server's unread, resets the connection, and what the server had not read is lost.
            connection.close(self.deadline())


def _refusals(channel: Channel, deadline: float, *, leave: int = 0) -> Sequence[Refusal]:
    """Wait for confirms; returns what was refused."""
    try:
        channel.wait_confirms(deadline, leave=leave)
    except PublishRefused as error:
        return error.refusals
    return ()
