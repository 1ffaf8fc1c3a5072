"""One connection to a Redis server: RESP over a socket, with an absolute deadline for every operation.

It knows commands and replies only; queues and results are the business of the broker and the backend.  A connection
is used by one thread at a time; `RespConnection.wake` alone may be called from others.
"""

from __future__ import annotations

import _socket
import os
import select
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from celeriac.exceptions import ImproperlyConfigured, OperationalError, SessionLost, SessionRefused
from celeriac.utils.dataclass import replace
from celeriac.utils.polling import make_poll
from celeriac.utils.url import lookup_form

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from celeriac.drivers.resp_params import RespParams

try:
    import hiredis
except ImportError as error:  # pragma: no cover - depends on the installation
    raise ImproperlyConfigured(
        "Redis needs the package hiredis, which is not installed: pip install celeriac[redis]"
    ) from error

#: One command: its name and arguments.
Command: TypeAlias = "Sequence[str | bytes | int | float]"

pack_command: Callable[[tuple[Any, ...]], bytes] = hiredis.pack_command
_PUSH = hiredis.PushNotification
#: What the reader returns when no complete reply has arrived.
_NOTHING = object()
monotonic = time.monotonic

_RECEIVE_SIZE = 65536
#: The socket's own timeout is set anew only when it is off by more than this share: setting it is a system call.
_TIMEOUT_TOLERANCE = 0.05
#: Answers that say that a located server is not, or not at present, the one that has the data.
_DEMOTED = frozenset({"READONLY", "UNBLOCKED", "MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN"})
_REFUSED = ("NOAUTH", "WRONGPASS", "NOPERM", "DENIED")
_ADVICE = {
    "OOM": "the server is out of memory; raise maxmemory or free some (eviction would lose messages)",
    "READONLY": "the server is a read-only replica; the URL has to name the primary",
    "LOADING": "the server is still loading its data",
    "MISCONF": "the server cannot save its data to disk and refuses writes",
    "MASTERDOWN": "the replica has lost its primary",
    "CLUSTERDOWN": "the cluster does not serve all slots",
    "MOVED": "the server is a node of a Redis Cluster, which serves as a result backend only: redis+cluster://",
    "CROSSSLOT": "the server is a node of a Redis Cluster, which serves as a result backend only: redis+cluster://",
}


class ReplyError(OperationalError):
    """An error reply of the server.

    Attributes:
        code: Its first word, such as ``NOSCRIPT``.
    """

    def __init__(self, text: str) -> None:
        self.code = text.partition(" ")[0]
        super().__init__(text)


class Push(list[Any]):
    """An out-of-band message of the server: its kind, then its arguments."""

    __slots__ = ()


class RespConnection:
    """A connection.

    Args:
        params: Where the server is.
        deadline: Monotonic time by which everything has to be set up; None takes ``params.connect_timeout``.

    Attributes:
        client_id: The server's number for this connection, where it told.
        protocol: 3, or 2 when the server or the settings allow no more.
        pid: The process that opened it; others must not use it.

    Raises:
        SessionRefused: Credentials or permissions are wrong.
        OperationalError: The server cannot be reached in time.
    """

    __slots__ = (
        "_pending",
        "_poller",
        "_pushes",
        "_reader",
        "_replies",
        "_socket",
        "_timeout",
        "_tries_first",
        "_wake_in",
        "_wake_out",
        "_woken",
        "client_id",
        "lost",
        "params",
        "pid",
        "protocol",
    )

    def __init__(self, params: RespParams, *, deadline: float | None = None) -> None:
        self.params = params
        self.pid = os.getpid()
        self.protocol = 2
        self.client_id: int | None = None
        #: Why it cannot be used any more, or None.
        self.lost: str | None = None
        self._reader = hiredis.Reader(protocolError=OperationalError, replyError=ReplyError, notEnoughData=_NOTHING)
        self._pushes: deque[Push] = deque()
        self._woken = False
        self._poller: Any = None
        self._wake_in: socket.socket | None = None
        self._wake_out: socket.socket | None = None
        if deadline is None:
            deadline = monotonic() + params.connect_timeout
        if params.locate is not None:
            host, port = params.locate(deadline)
            self.params = params = replace(params, host=host, port=port)
        self._timeout = max(deadline - monotonic(), 0.001)
        self._socket = _open_socket(params, self._timeout)
        self._pending = getattr(self._socket, "pending", None)
        # With a timeout, the standard library's sockets ask the system whether they are ready before each operation.
        # Without one they are tried first; TLS, and the sockets of greenlets, have ways of their own.
        self._tries_first = self._pending is None and isinstance(self._socket, _socket.socket)
        self._replies: Any = None
        if self._tries_first:
            self._socket.setblocking(False)
        try:
            self._handshake(deadline)
        except BaseException:
            self.close()
            raise

    # ------------------------------------------------------------------------------------------ set-up

    def _handshake(self, deadline: float) -> None:
        username, password = self.params.username, self.params.password
        if self.params.credentials is not None:
            username, password = self.params.credentials()
        if self.params.protocol >= 3 and self._hello(username, password, deadline):
            self.protocol = 3
        elif password is not None:
            self._expect_ok("AUTH", *((username, password) if username else (password,)), deadline=deadline)
        if self.params.locate is not None:
            self._check_primary(deadline)
        if self.params.db:
            self._expect_ok("SELECT", self.params.db, deadline=deadline)
        if self.params.client_name:
            self._expect_ok("CLIENT", "SETNAME", self.params.client_name, deadline=deadline)

    def _check_primary(self, deadline: float) -> None:
        """What is located may just have been replaced."""
        role = self._expect_ok("ROLE", deadline=deadline)
        if role[0] != b"master":
            raise SessionLost(f"Redis at {self.params.address} is not the primary any more, or not yet")

    def _hello(self, username: str | None, password: str | None, deadline: float) -> bool:
        """Switch to RESP3; False when the server does not know it."""
        command: list[str] = ["HELLO", "3"]
        if password is not None:
            command += ["AUTH", username or "default", password]
        try:
            facts = self._expect_ok(*command, deadline=deadline)
        except ReplyError as error:
            # Redis before 6 does not know HELLO; some proxies answer NOPROTO.
            if error.code in ("ERR", "NOPROTO") and not str(error).startswith("ERR AUTH"):
                return False
            raise
        self.client_id = facts.get(b"id") if isinstance(facts, dict) else None
        return True

    def _expect_ok(self, *command: str | int, deadline: float) -> Any:
        try:
            return self.execute(*command, deadline=deadline)
        except ReplyError as error:
            raise self._refusal(error, str(command[0])) from None

    def _refusal(self, error: ReplyError, command: str) -> OperationalError:
        address, username = self.params.address, self.params.username or "default"
        if error.code == "NOAUTH":
            return SessionRefused(f"Redis at {address} wants a password: redis://[user]:password@host:port/database")
        if error.code == "WRONGPASS":
            return SessionRefused(f"Redis at {address} refused the password of user {username!r}: {error}")
        return refine(error, f"Redis at {address} refused {command}")

    # -------------------------------------------------------------------------------------- operations

    def execute(self, *command: str | bytes | int | float, deadline: float | None = None) -> Any:
        """Run one command.

        Raises:
            ReplyError: The server answered with an error.
            SessionLost: The connection broke, or the deadline passed; it cannot be used any more.
        """
        if deadline is None:
            deadline = monotonic() + self.params.timeout
        self.send(pack_command(command), deadline)
        reply = self.read_reply(deadline)
        if isinstance(reply, ReplyError):
            raise self.demoted(reply) or reply
        return reply

    def demoted(self, error: ReplyError) -> SessionLost | None:
        """Give the connection up where an error reply says that another server is the primary now."""
        if self.params.locate is None or error.code not in _DEMOTED:
            return None
        return self._fail(error)

    def pipeline(self, commands: Iterable[Command], *, deadline: float | None = None) -> list[Any]:
        """Run commands in one send.

        Returns:
            Their replies; an error reply is a `ReplyError` in its place.
        """
        packed = [pack_command(tuple(command)) for command in commands]
        return self.run_packed(b"".join(packed), len(packed), deadline=deadline)

    def run_packed(self, data: bytes, count: int, *, deadline: float | None = None) -> list[Any]:
        """Send packed commands and read that many replies."""
        if deadline is None:
            deadline = monotonic() + self.params.timeout
        self.send(data, deadline)
        return [self.read_reply(deadline) for _ in range(count)]

    def send(self, data: bytes, deadline: float) -> None:
        """Send packed commands; their replies are read by `read_reply`."""
        if not data:
            return
        if self.lost is not None:
            raise SessionLost(self.lost)
        self._arm(deadline)
        try:
            if self._tries_first:
                self._send_all(data, deadline)
            else:
                self._socket.sendall(data)
        except OSError as error:
            raise self._fail(error) from error

    def _send_all(self, data: bytes, deadline: float) -> None:
        left = memoryview(data)
        while True:
            try:
                left = left[self._socket.send(left) :]
            except BlockingIOError:
                pass
            if not left:
                return
            poller = select.poll()
            poller.register(self._socket, select.POLLOUT)
            _poll(poller, deadline)

    def read_reply(self, deadline: float) -> Any:
        """The next reply; pushes on the way are kept for `next_push`."""
        while True:
            reply = self._get()
            if reply is not _NOTHING:
                return reply
            self._receive(deadline)

    def _get(self) -> Any:
        """The next reply that has arrived, or the marker for none."""
        gets = self._reader.gets
        while True:
            reply = gets()
            if type(reply) is not _PUSH:
                return reply
            self._pushes.append(Push(reply))

    def _receive(self, deadline: float, *, is_readable: bool = False) -> None:
        """Take in what comes next.

        Args:
            deadline: Monotonic time until which to wait for it.
            is_readable: It has come.
        """
        if self.lost is not None:
            raise SessionLost(self.lost)
        self._arm(deadline)
        try:
            if self._tries_first and not is_readable:
                self._wait_for_reply(deadline)
            data = self._socket.recv(_RECEIVE_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            raise self._fail(error) from error
        if not data:
            raise self._fail(ConnectionError("the server closed the connection"))
        self._reader.feed(data)

    def _wait_for_reply(self, deadline: float) -> None:
        if self._replies is None:
            self._replies = select.poll()
            self._replies.register(self._socket, select.POLLIN)
        _poll(self._replies, deadline)

    def _arm(self, deadline: float) -> None:
        remaining = deadline - monotonic()
        if remaining <= 0:
            raise self._fail(TimeoutError("the deadline passed"))
        if self._tries_first:
            return
        current = self._timeout
        if not current * (1 - _TIMEOUT_TOLERANCE) <= remaining <= current * (1 + _TIMEOUT_TOLERANCE):
            self._timeout = remaining
            self._socket.settimeout(remaining)

    def _fail(self, error: BaseException) -> SessionLost:
        self.lost = f"lost the connection to Redis at {self.params.address}: {str(error) or type(error).__name__}"
        lost = SessionLost(self.lost)
        lost.__cause__ = error
        self.close()
        return lost

    # ------------------------------------------------------------------------------------------ pushes

    def next_push(self, take_reply: Callable[[Any], bool] | None = None) -> Push | None:
        """A push that has been read already, or None.

        Args:
            take_reply: Gets each reply on the way and says whether it was waited for.
        """
        while not self._pushes and self._reader.has_data():
            reply = self._get()
            if reply is _NOTHING:
                break
            if take_reply is None or not take_reply(reply):
                raise self._fail(OperationalError(f"a reply nobody asked for: {reply!r}"))
        return self._pushes.popleft() if self._pushes else None

    def wait_push(self, deadline: float, take_reply: Callable[[Any], bool] | None = None) -> Push | None:
        """Wait for a push.

        Args:
            deadline: Monotonic time.
            take_reply: As for `next_push`.

        Returns:
            The push; None once the deadline has passed or `wake` was called, which `take_woken` tells apart.
        """
        self.enable_wake()
        while True:
            push = self.next_push(take_reply)
            if push is not None:
                return push
            if self.wait_readable(deadline):
                self._receive(deadline + self.params.timeout, is_readable=True)
            else:
                return None

    def receive_ready(self) -> list[Any]:
        """Take in what has arrived on a readable socket.

        Returns:
            Replies and pushes in order, a push as `Push`.
        """
        self._receive(monotonic() + self.params.timeout, is_readable=True)
        items: list[Any] = list(self._pushes)
        self._pushes.clear()
        while (item := self._reader.gets()) is not _NOTHING:
            items.append(Push(item) if type(item) is _PUSH else item)
        return items

    def wait_readable(self, deadline: float) -> bool:
        """Wait until the socket can be read; False after the deadline or a wake-up."""
        if self.lost is not None:
            raise SessionLost(self.lost)
        # TLS may hold back bytes that the descriptor no longer shows.
        if self._pending is not None and self._pending():
            return True
        poller = self._poller
        if poller is None:
            poller = self._poller = make_poll()
            poller.register(self._socket, select.POLLIN)
            if self._wake_out is not None:
                poller.register(self._wake_out, select.POLLIN)
        remaining = deadline - monotonic()
        # An endless wait is cut into hours; poll() takes milliseconds in an int.
        ready = poller.poll(min(max(remaining, 0.0), 3600.0) * 1000.0)
        if not ready:
            return False
        wake = self._wake_out
        if wake is not None and any(number == wake.fileno() for number, _ in ready):
            _drain(wake)
            self._woken = True
            return False
        return True

    def take_woken(self) -> bool:
        """True once after a wait that `wake` ended."""
        woken, self._woken = self._woken, False
        return woken

    def enable_wake(self) -> None:
        """Make `wake` work; it costs two descriptors, which only sessions that wait need."""
        if self._wake_in is None:
            self._wake_out, wake_in = socket.socketpair()
            self._wake_out.setblocking(False)
            wake_in.setblocking(False)
            self._wake_in = wake_in
            self._poller = None

    def wake(self) -> None:
        """End a wait in `wait_push`, or the next one. Safe from any thread and from signal handlers."""
        wake = self._wake_in
        if wake is not None:
            try:
                wake.send(b"\0")
            except OSError:
                # Full: it will wake anyway. Closed: nobody waits.
                pass

    # ------------------------------------------------------------------------------------------- close

    def fileno(self) -> int:
        """The descriptor of the socket, -1 once closed."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close. May be called twice."""
        if self.lost is None:
            self.lost = f"the connection to Redis at {self.params.address} was closed"
        for each in (getattr(self, "_socket", None), self._wake_in, self._wake_out):
            if each is not None:
                each.close()

    def __del__(self) -> None:
        # A connection dropped with its thread must not leave its descriptor to a ResourceWarning.
        if hasattr(self, "_socket"):
            self.close()


def refine(error: ReplyError, context: str) -> OperationalError:
    """Make of an error reply the exception that says what to do about it."""
    text = f"{context}: {error}"
    if error.code in _REFUSED or (error.code == "ERR" and "AUTH" in str(error)):
        return SessionRefused(text)
    if error.code in _ADVICE:
        return OperationalError(f"{text} ({_ADVICE[error.code]})")
    refined = ReplyError(text)
    refined.code = error.code
    return refined


def _open_socket(params: RespParams, timeout: float) -> socket.socket:
    sock: socket.socket | None = None
    try:
        if params.path:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(timeout)
            sock.connect(params.path)
        else:
            sock = socket.create_connection((cast("str", lookup_form(params.host)), params.port), timeout)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if params.keepalive:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        context = params.tls_context()
        return sock if context is None else context.wrap_socket(sock, server_hostname=params.host)
    except OSError as error:
        if sock is not None:
            sock.close()
        raise OperationalError(f"cannot reach Redis at {params.address}: {error}") from error


def _poll(poller: select.poll, deadline: float) -> None:
    """Wait for a descriptor.

    Raises:
        TimeoutError: The deadline passed.
    """
    while not poller.poll(min(max(deadline - monotonic(), 0.0), 3600.0) * 1000.0):
        if monotonic() >= deadline:
            raise TimeoutError("timed out")


def _drain(wake: socket.socket) -> None:
    try:
        while wake.recv(4096):
            pass
    except BlockingIOError:
        return
