"""A TCP proxy that misbehaves on demand: it cuts connections, resets them, or stops forwarding without a word."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_CHUNK = 64 * 1024


class _Link:
    """Both sides of one proxied connection."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.writers = (client, server)
        self.forwarding = asyncio.Event()
        self.forwarding.set()

    def close(self, *, reset: bool) -> None:
        """Close both sides, with FIN or with RST."""
        for writer in self.writers:
            if reset:
                sock = writer.get_extra_info("socket")
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            else:
                writer.close()


class ChaosProxy:
    """Forwards connections of a port to a server; runs in a thread of its own.

    Args:
        host: Address of the server.
        port: Port of the server.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._links: set[_Link] = set()
        self._holding = False
        self._refusing = False
        #: Bytes after which the next connections are cut, or None.
        self._cut_after: int | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chaosproxy", daemon=True)
        self._thread.start()
        self.port = self._run(self._start())
        self.accepted = 0

    # ------------------------------------------------------------------------------ called by the test

    def cut(self) -> None:
        """Close every connection."""
        self._call(lambda: self._close_all(reset=False))

    def reset(self) -> None:
        """Reset every connection."""
        self._call(lambda: self._close_all(reset=True))

    def cut_after(self, count: int | None) -> None:
        """Reset each new connection once the server has sent this many bytes; None ends that."""
        self._call(lambda: setattr(self, "_cut_after", count))

    def freeze(self) -> None:
        """Forward nothing more over the present connections, and close none of them: they are half-open."""
        self._call(self._freeze_all)

    def blackhole(self) -> None:
        """Forward nothing more at all: new connections are accepted and stay silent."""
        self._holding = True
        self.freeze()

    def heal(self) -> None:
        """Forward again, what was held back included, and accept connections."""
        self._refusing = self._holding = False
        self._call(self._thaw_all)

    def refuse(self) -> None:
        """Reset every connection, and every new one at once."""
        self._refusing = True
        self.reset()

    def close(self) -> None:
        """End the proxy and its connections."""
        self._call(lambda: self._close_all(reset=True))
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    # ------------------------------------------------------------------------------------- on the loop

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def _call(self, function: Callable[[], object]) -> None:
        async def run() -> None:
            function()

        self._run(run())

    async def _start(self) -> int:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _stop(self) -> None:
        self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _close_all(self, *, reset: bool) -> None:
        for link in self._links:
            link.close(reset=reset)
        self._links.clear()

    def _freeze_all(self) -> None:
        for link in self._links:
            link.forwarding.clear()

    def _thaw_all(self) -> None:
        for link in self._links:
            link.forwarding.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream_reader, upstream = await asyncio.open_connection(*self._target)
        except (OSError, asyncio.CancelledError):
            self.accepted += 1
            writer.transport.abort()
            return
        link = _Link(writer, upstream)
        if self._refusing:
            self.accepted += 1
            link.close(reset=True)
            return
        # Counted once it is known to `reset` and its like: who has seen the count may rely on them.
        self._links.add(link)
        self.accepted += 1
        if self._holding:
            link.forwarding.clear()
        try:
            await asyncio.gather(
                self._forward(link, reader, upstream, None),
                self._forward(link, upstream_reader, writer, self._cut_after),
            )
        except (OSError, asyncio.CancelledError):
            link.close(reset=True)
        else:
            link.close(reset=False)
        finally:
            self._links.discard(link)

    async def _forward(
        self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget: int | None
    ) -> None:
        while data := await reader.read(_CHUNK):
            await link.forwarding.wait()
            if budget is not None:
                data = data[:budget]
                budget -= len(data)
            writer.write(data)
            await writer.drain()
            if budget == 0:
                raise ConnectionResetError("the byte limit of this connection is reached")
        writer.close()
