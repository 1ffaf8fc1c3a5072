"""A debugger for tasks, reached over a socket: a worker's child has no terminal.

In a task::

    from celeriac.contrib import rdb

    rdb.set_trace()

The task stops there and says on standard error where it listens; ``telnet 127.0.0.1 6899`` gives the prompt of `pdb`.
``c`` and ``q`` let it go on. Anybody who reaches the port can run code as the worker: leave `CELERY_RDB_HOST` as it is
where others reach this host.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from pdb import Pdb
from typing import IO, TYPE_CHECKING, Any, Final, TextIO

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["CELERY_RDB_HOST", "CELERY_RDB_PORT", "Rdb", "debugger", "set_trace"]

DEFAULT_PORT: Final = 6899
#: Where it listens.
CELERY_RDB_HOST = os.environ.get("CELERY_RDB_HOST") or "127.0.0.1"
#: The first port that is tried.
CELERY_RDB_PORT = int(os.environ.get("CELERY_RDB_PORT") or DEFAULT_PORT)
_SEARCH: Final = 100

#: Debuggers that are connected.
_active: list[Rdb] = []


class Rdb(Pdb):
    """A debugger with a client of its own; making one waits for that client.

    Args:
        host: Where to listen.
        port: First port to try.
        port_search_limit: How many are tried.
        port_skew: Added to the first port.
        out: Where to say which port it is.

    Raises:
        OSError: No port is free, or the address is none of this host.
    """

    def __init__(
        self,
        host: str = CELERY_RDB_HOST,
        port: int = CELERY_RDB_PORT,
        port_search_limit: int = _SEARCH,
        port_skew: int = 0,
        out: TextIO | None = None,
    ) -> None:
        self.out = out or sys.stderr
        with _listen(host, int(port) + port_skew, port_search_limit) as listener:
            address = listener.getsockname()
            self.host, self.port = host, address[1]
            self._say(f"Ready to connect: telnet {host} {self.port}")
            self._say("Waiting for client...")
            self._client, peer = listener.accept()
        self._say(f"In session with {peer[0]}:{peer[1]}")
        # Two of them: one for both forgets what it has read ahead, such as lines that were pasted, when it writes.
        self._reader: IO[str] = self._client.makefile("r", encoding="utf-8", errors="replace")
        self._writer: IO[str] = self._client.makefile("w", encoding="utf-8", errors="replace")
        super().__init__(stdin=self._reader, stdout=self._writer)
        self.prompt = "(Rdb) "
        _active.append(self)

    def _say(self, text: str) -> None:
        print(f"Remote Debugger:{self.port}: {text}", file=self.out, flush=True)

    def close(self) -> None:
        """End the session."""
        if self not in _active:
            return
        _active.remove(self)
        self._reader.close()
        try:
            self._writer.close()
        except OSError:
            # The client has gone without waiting for the last of it.
            pass
        self._client.close()
        self._say("Session ended.")

    def __enter__(self) -> Rdb:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def do_continue(self, arg: str) -> bool | None:
        """Let the task go on; without breakpoints the session ends."""
        self.set_continue()
        if not self.breaks:
            self.close()
        return True

    do_c = do_cont = do_continue

    def do_quit(self, arg: str) -> bool | None:
        """End the session; the task goes on."""
        self.clear_all_breaks()
        sys.settrace(None)
        self.close()
        return True

    do_q = do_exit = do_quit

    def do_EOF(self, arg: str) -> bool | None:  # noqa: N802 - the name that `cmd` asks for
        """The client has gone; the task goes on."""
        return self.do_quit(arg)

    def set_quit(self) -> None:
        """Let the task go on instead of failing it."""
        sys.settrace(None)


def _listen(host: str, first: int, count: int) -> socket.socket:
    """A socket on the first free port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in range(first, first + count):
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(1)
        except OSError as exc:
            listener.close()
            if exc.errno != errno.EADDRINUSE:
                raise OSError(
                    exc.errno, f"the debugger cannot listen on {host}:{port} (CELERY_RDB_HOST, CELERY_RDB_PORT): {exc}"
                ) from exc
        else:
            return listener
    raise OSError(
        errno.EADDRINUSE, f"the debugger finds no free port from {first} to {first + count - 1}: set CELERY_RDB_PORT"
    )


def debugger() -> Rdb:
    """The debugger of this process; waits for its client if there is none yet."""
    return _active[0] if _active else Rdb()


def set_trace(frame: FrameType | None = None) -> Any:
    """Stop here and wait for a client.

    Args:
        frame: Stop there instead.
    """
    return debugger().set_trace(frame or sys._getframe().f_back)
