"""The emulated Cassandra behind a socket, for the client as it is: frames of its native protocol, version 4.

https://github.com/apache/cassandra/blob/trunk/doc/native_protocol_v4.spec
"""

from __future__ import annotations

import struct
import threading
from contextlib import contextmanager
from enum import IntEnum
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import TYPE_CHECKING, Any
from uuid import UUID

from cassandra import InvalidRequest, ReadTimeout, WriteTimeout, WriteType
from cassandra.cqltypes import BooleanType, BytesType, DateType, InetAddressType, Int32Type, UTF8Type, UUIDType

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.support.emulators.cassandra import Server, Statement

#: Arguments of the cluster with which it asks for nothing that is not here.
CLIENT_OPTIONS = {"protocol_version": 4, "schema_metadata_enabled": False, "token_metadata_enabled": False}
_RESPONSE, _HEADER = 0x84, struct.Struct(">BBhBi")
_TYPES = {
    BytesType: 0x03, BooleanType: 0x04, Int32Type: 0x09, DateType: 0x0B, UUIDType: 0x0C, UTF8Type: 0x0D,
    InetAddressType: 0x10,
}  # fmt: skip
_LOCAL: dict[str, tuple[Any, Any]] = {
    "key": (UTF8Type, "local"),
    "cluster_name": (UTF8Type, "emulated"),
    "data_center": (UTF8Type, "dc"),
    "rack": (UTF8Type, "rack"),
    "partitioner": (UTF8Type, "org.apache.cassandra.dht.Murmur3Partitioner"),
    "release_version": (UTF8Type, "4.1.0"),
    "rpc_address": (InetAddressType, "127.0.0.1"),
    "host_id": (UUIDType, UUID(int=1)),
    "schema_version": (UUIDType, UUID(int=2)),
}


class Op(IntEnum):
    """Kinds of frames."""

    ERROR = 0x00
    STARTUP = 0x01
    READY = 0x02
    OPTIONS = 0x05
    SUPPORTED = 0x06
    QUERY = 0x07
    RESULT = 0x08
    PREPARE = 0x09
    EXECUTE = 0x0A
    REGISTER = 0x0B


class _Frame:
    """The body of a request, read from its start."""

    def __init__(self, body: bytes) -> None:
        self._body, self._at = body, 0

    def take(self, length: int) -> bytes:
        self._at += length
        return self._body[self._at - length : self._at]

    def number(self, form: str) -> int:
        number: int = struct.unpack(">" + form, self.take(struct.calcsize(form)))[0]
        return number

    def value(self, kind: Any) -> Any:
        length = self.number("i")
        return None if length < 0 else kind.from_binary(self.take(length), 4)


def _int(number: int) -> bytes:
    return struct.pack(">i", number)


def _short(number: int) -> bytes:
    return struct.pack(">H", number)


def _text(text: str) -> bytes:
    return _short(len(text.encode())) + text.encode()


def _columns(columns: Sequence[tuple[str, Any]]) -> bytes:
    names = b"".join(_text(name) + _short(_TYPES[kind]) for name, kind in columns)
    return _text("keyspace") + _text("table") + names


def _rows(columns: Sequence[tuple[str, Any]], rows: Sequence[Sequence[Any]]) -> bytes:
    data = [
        _int(-1) if value is None else _int(len(sent := kind.to_binary(value, 4))) + sent
        for row in rows
        for (_, kind), value in zip(columns, row, strict=True)
    ]
    return _int(2) + _int(1) + _int(len(columns)) + _columns(columns) + _int(len(rows)) + b"".join(data)


class Wire:
    """Answers requests.

    Attributes:
        levels: Consistency with which statements were executed, and that of their transactions.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._prepared: list[Statement] = []
        self._lock = threading.Lock()
        self.levels: set[tuple[str, int, int | None]] = set()

    def answer(self, op: int, body: bytes) -> tuple[Op, bytes]:
        """Kind and body of the response."""
        frame = _Frame(body)
        try:
            match op:
                case Op.OPTIONS:
                    version = _text("CQL_VERSION") + _short(1) + _text("3.4.6")
                    return Op.SUPPORTED, _short(2) + version + _text("COMPRESSION") + _short(0)
                case Op.STARTUP | Op.REGISTER:
                    return Op.READY, b""
                case Op.QUERY:
                    return Op.RESULT, self._query(frame.take(frame.number("i")).decode())
                case Op.PREPARE:
                    return Op.RESULT, self._prepare(frame.take(frame.number("i")).decode())
                case Op.EXECUTE:
                    return Op.RESULT, self._execute(frame)
        except InvalidRequest as exc:
            return Op.ERROR, _int(0x2200) + _text(str(exc))
        except WriteTimeout as exc:
            details = _short(exc.consistency) + _int(1) + _int(2) + _text(WriteType.value_to_name[exc.write_type])
            return Op.ERROR, _int(0x1100) + _text("provoked") + details
        except ReadTimeout as exc:
            return Op.ERROR, _int(0x1200) + _text("provoked") + _short(exc.consistency) + _int(1) + _int(2) + b"\0"
        raise AssertionError(f"the emulation knows no request {op:#x}")

    def _query(self, text: str) -> bytes:
        text = text.strip()
        if text.startswith("USE "):
            return _int(3) + _text("keyspace")
        if text.startswith("CREATE "):
            self._server.execute(text)
            return _int(5) + _text("CREATED") + _text("TABLE") + _text("keyspace") + _text("table")
        if "system.local" in text:
            columns = [(name, kind) for name, (kind, _) in _LOCAL.items()]
            return _rows(columns, [[value for _, value in _LOCAL.values()]])
        if "system.peers " in text or text.endswith("system.peers"):
            return _rows([("peer", InetAddressType)], [])
        raise InvalidRequest(f"the emulation does not know {text!r}")

    def _prepare(self, text: str) -> bytes:
        statement = self._server.prepare(text)
        with self._lock:
            self._prepared.append(statement)
            id_ = _short(len(self._prepared) - 1)
        parameters = _int(1) + _int(len(statement.parameters)) + _int(1) + _short(statement.key_at)
        found = statement.found
        result = _int(1) + _int(len(found)) + _columns(found) if found else _int(4) + _int(0)
        return _int(4) + _short(len(id_)) + id_ + parameters + _columns(statement.parameters) + result

    def _execute(self, frame: _Frame) -> bytes:
        statement = self._prepared[struct.unpack(">H", frame.take(frame.number("H")))[0]]
        level, flags = frame.number("H"), frame.number("B")
        assert frame.number("H") == len(statement.parameters)
        values = [frame.value(kind) for _, kind in statement.parameters]
        if flags & 0x04:
            frame.number("i")
        serial = frame.number("H") if flags & 0x10 else None
        self.levels.add((statement.text.partition(" (")[0], level, serial))
        answer = self._server.execute(statement.at(level), values)
        if answer.column_names is None:
            return _int(1)
        kinds = {"[applied]": BooleanType, **self._server.tables[statement.table].columns}
        return _rows([(name, kinds[name]) for name in answer.column_names], answer.rows)


@contextmanager
def serve(wire: Wire) -> Iterator[int]:
    """Answer on a port of this host."""

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            try:
                while len(header := self.rfile.read(_HEADER.size)) == _HEADER.size:
                    _, _, stream, op, length = _HEADER.unpack(header)
                    kind, body = wire.answer(op, self.rfile.read(length))
                    self.wfile.write(_HEADER.pack(_RESPONSE, 0, stream, kind, len(body)) + body)
            except ConnectionError:
                return

    class Listener(ThreadingTCPServer):
        daemon_threads = True

    with Listener(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield listener.server_address[1]
        finally:
            listener.shutdown()
            thread.join()
