"""Commands and scripts on one connection, with replies that may be read later.

What the commands mean is the session's business.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from celeriac.drivers.resp import ReplyError, RespConnection, pack_command, refine
from celeriac.exceptions import SessionLost

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celeriac.broker.redis.scripts import Script
    from celeriac.exceptions import OperationalError

#: Scripts that are put off, or whose replies have not been read yet.
_LATER_LIMIT = 64


class Client:
    """Runs commands and scripts.

    Args:
        connection: An open connection.
    """

    __slots__ = ("_later", "_unsent", "connection")

    def __init__(self, connection: RespConnection) -> None:
        self.connection = connection
        self._later: deque[tuple[Script, tuple[Any, ...]]] = deque()
        self._unsent: list[bytes] = []

    def deadline(self) -> float:
        """When an operation that begins now has to be over, in monotonic time."""
        return time.monotonic() + self.connection.params.timeout

    def run(self, data: bytes, count: int, deadline: float | None = None) -> list[Any]:
        """Send packed commands and read their replies; an error reply is an exception in its place."""
        deadline = self.deadline() if deadline is None else deadline
        connection = self.connection
        if self._unsent:
            data = b"".join((*self._unsent, data))
            self._unsent.clear()
        try:
            connection.send(data, deadline)
            settled = self._read_later(deadline) if self._later else ()
            replies = [connection.read_reply(deadline) for _ in range(count)]
        except BaseException:
            # KeyboardInterrupt, for one: a reply left unread would be taken for the next command's.
            connection.close()
            raise
        for script, arguments, reply in settled:
            self.known(script, reply, arguments)
        return replies

    def command(self, *command: str | bytes | int | float) -> Any:
        """Run one command.

        Raises:
            OperationalError: The server refused it.
        """
        (reply,) = self.run(pack_command(command), 1)
        if isinstance(reply, ReplyError):
            raise self.refused(reply, str(command[0]))
        return reply

    def commands(self, commands: Iterable[tuple[Any, ...]]) -> list[Any]:
        """Run commands of which none may fail; nothing is sent when there are none.

        Raises:
            OperationalError: The server refused one of them.
        """
        packed = [pack_command(words) for words in commands]
        return self.run_all(b"".join(packed), len(packed)) if packed else []

    def run_all(self, data: bytes, count: int, deadline: float | None = None) -> list[Any]:
        """Run packed commands of which none may fail, other than scripts the server does not know.

        Raises:
            OperationalError: The server refused one of them.
        """
        replies = self.run(data, count, deadline)
        for reply in replies:
            if isinstance(reply, ReplyError) and reply.code != "NOSCRIPT":
                raise self.refused(reply, "a command")
        return replies

    def script(self, script: Script, *arguments: Any, deadline: float | None = None) -> Any:
        """Run a script, giving its text to the server when that does not know it.

        Args:
            script: The script.
            *arguments: The number of keys, the keys, and what comes after them.
            deadline: When it has to be over.

        Raises:
            OperationalError: The server refused it.
        """
        (reply,) = self.run(pack_command(("EVALSHA", script.sha, *arguments)), 1, deadline)
        return self.known(script, reply, arguments)

    def known(self, script: Script, reply: Any, arguments: tuple[Any, ...]) -> Any:
        """The reply to an EVALSHA; runs the script by its text if the server did not know it."""
        if isinstance(reply, ReplyError) and reply.code == "NOSCRIPT":
            (reply,) = self.run(pack_command(("EVAL", script.text, *arguments)), 1)
        return self._checked(reply, script)

    def script_later(self, script: Script, *arguments: Any) -> None:
        """Put off a script until the next command or `flush`; its reply is read with that command's, or when it comes.

        Raises:
            SessionLost: The connection is known to be broken.
        """
        if self.connection.lost is not None:
            raise SessionLost(self.connection.lost)
        if len(self._later) >= _LATER_LIMIT:
            self.run(b"", 0)
        self._unsent.append(pack_command(("EVALSHA", script.sha, *arguments)))
        self._later.append((script, arguments))

    @property
    def has_unsent(self) -> bool:
        """Whether scripts are put off."""
        return bool(self._unsent)

    def flush(self) -> None:
        """Send what was put off, without waiting for replies."""
        if self._unsent:
            data = b"".join(self._unsent)
            self._unsent.clear()
            self.connection.send(data, self.deadline())

    def take_reply(self, reply: Any) -> bool:
        """Take the reply of a script sent by `script_later`; False when there is none that waits for it."""
        if not self._later:
            return False
        script, arguments = self._later.popleft()
        self.known(script, reply, arguments)
        return True

    def unanswered(self) -> list[tuple[Script, tuple[Any, ...]]]:
        """Scripts that were sent and may not have run, for a connection that takes the place of a broken one."""
        return list(self._later)

    def _read_later(self, deadline: float) -> list[tuple[Script, tuple[Any, ...], Any]]:
        """Read the replies that come first; returns the scripts that failed."""
        failed = []
        while self._later:
            script, arguments = self._later[0]
            reply = self.connection.read_reply(deadline)
            self._later.popleft()
            if isinstance(reply, ReplyError):
                failed.append((script, arguments, reply))
        return failed

    def _checked(self, reply: Any, script: Script) -> Any:
        if isinstance(reply, ReplyError):
            raise self.refused(reply, f"the script {script.name!r}")
        return reply

    def refused(self, error: ReplyError, what: str) -> OperationalError:
        """The exception for an error reply."""
        if (lost := self.connection.demoted(error)) is not None:
            return lost
        return refine(error, f"Redis at {self.connection.params.address} refused {what}")
