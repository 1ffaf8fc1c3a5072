"""Length-prefixed frames of marshalled values, between the coordinator and a child.

`marshal` because both ends are the same interpreter and it is three times as fast as `pickle`; a value it does not
know (a header of an exotic type) sends that frame through `pickle`.  Frames never leave the machine.
"""

from __future__ import annotations

import marshal
import pickle
import struct
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import socket

_HEADER: Final = struct.Struct("!IB")
_MARSHAL: Final = 0
_PICKLE: Final = 1
_READ_SIZE: Final = 64 * 1024


def encode_frame(value: Any) -> bytes:
    """One frame holding ``value``."""
    try:
        kind, data = _MARSHAL, marshal.dumps(value)
    except ValueError:
        kind, data = _PICKLE, pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    return _HEADER.pack(len(data), kind) + data


class FrameParser:
    """Cuts a byte stream into frames, however it was split."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Any]:
        """Take bytes; give back the values of the frames they complete."""
        buffer = self._buffer
        buffer += data
        values: list[Any] = []
        start = 0
        while len(buffer) - start >= 5:
            length, kind = _HEADER.unpack_from(buffer, start)
            end = start + 5 + length
            if len(buffer) < end:
                break
            with memoryview(buffer) as view:
                body = view[start + 5 : end]
                values.append(marshal.loads(body) if kind == _MARSHAL else pickle.loads(body))
                body.release()
            start = end
        if start:
            del buffer[:start]
        return values


class FrameSocket:
    """Blocking frames over a socket: the child's end."""

    __slots__ = ("_parser", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._parser = FrameParser()

    def send(self, value: Any) -> None:
        """Write one frame.

        Raises:
            OSError: The coordinator is gone.
        """
        self.sock.sendall(encode_frame(value))

    def receive_many(self) -> list[Any]:
        """Wait for the next bytes; gives the frames they complete, which may be none.

        Raises:
            EOFError: The coordinator is gone.
        """
        data = self.sock.recv(_READ_SIZE)
        if not data:
            raise EOFError
        return self._parser.feed(data)
