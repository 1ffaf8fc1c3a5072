"""Results in Redis, under Celery's keys; waiting for them by pub/sub.

Chords are `redis_chords`' business; what a stored payload looks like is `codec`'s business.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from celeriac import states
from celeriac.backend.base import BackendCapabilities, BackendOptions, ResultRecord
from celeriac.backend.codec import ResultCodec
from celeriac.backend.joining import JoinsChords
from celeriac.backend.keys import GROUP_PREFIX, TASK_PREFIX, key_prefix
from celeriac.backend.redis_chords import RedisChords
from celeriac.backend.redis_watch import Waiter, Watcher
from celeriac.backend.retention import graph_lifetime
from celeriac.backend.watching import WatchedResults
from celeriac.drivers.resp import ReplyError, RespConnection, refine
from celeriac.drivers.resp_params import RespParams, params_from_url
from celeriac.drivers.resp_pool import RespPool
from celeriac.exceptions import BackendStoreError
from celeriac.utils.dataclass import replace
from celeriac.utils.digests import sha1_hex
from celeriac.utils.url import parse_url, redact, split_failover

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from celeriac.drivers.resp import Command

CAPABILITIES = BackendCapabilities(name="redis", graphs=True)

#: Keys of what workflows still have to do.
GRAPH_PREFIX = "celeriac-graph-"
#: The server's own bound of a value.
_MAX_VALUE = 512 * 1024 * 1024
#: Bytes and records in one command.
_PART_SIZE, _PART_LENGTH = 4 << 20, 1000

#: Ids to unsubscribe from in one go during a long wait.
_TOLD_AT_ONCE = 100

# STORE: store results and tell those who wait.
#   KEYS: result keys.  ARGV: bytes that mark a stored SUCCESS ('' stores over it), the last position at which they may
#   be, ms to live of failures and of all others ('0' is for ever); then of each key the kind of its state ('S' is
#   SUCCESS, 'F' FAILURE, 'O' any other) and the payload.  Returns how many were stored.  Atomic.
_STORE = """
local mark, last, stored = ARGV[1], ARGV[2], 0
local lifetimes = {F = ARGV[3], S = ARGV[4], O = ARGV[4]}
for i, key in ipairs(KEYS) do
  local kind, payload = ARGV[2 * i + 3], ARGV[2 * i + 4]
  local ttl = lifetimes[kind]
  if kind == 'S' or mark == '' or not string.find(redis.call('GETRANGE', key, 0, last), mark, 1, true) then
    if ttl == '0' then
      redis.call('SET', key, payload)
    else
      redis.call('SET', key, payload, 'PX', ttl)
    end
    redis.call('PUBLISH', key, payload)
    stored = stored + 1
  end
end
return stored
"""
_STORE_SHA = sha1_hex(_STORE)
#: What the script calls states; any other is ``O``.
_KINDS = {states.SUCCESS: "S", states.FAILURE: "F"}

#: Transport options of other drivers, and of Celery's retries, whose place the worker's own take.
_IGNORED_OPTIONS = frozenset(
    {
        "additional_connection_errors",
        "global_keyprefix",
        "master_name",
        "min_other_sentinels",
        "result_chord_ordered",
        "retry_policy",
        "sentinel_kwargs",
        "visibility_timeout",
    }
)


class RedisBackend(JoinsChords, WatchedResults):
    """A result store.

    Args:
        url: ``redis://``, ``rediss://``, ``redis+socket://``, or ``redis`` with the settings ``redis_host`` and so on.
        options: Settings common to all backends.

    Raises:
        ImproperlyConfigured: The URL or an option cannot be used.
    """

    def __init__(self, url: str, options: BackendOptions | None = None) -> None:
        self._options = options or BackendOptions()
        self._url = redact(url)
        self._params = server_params(url, self._options)
        self._codec = ResultCodec(self._options)
        self._prefix = key_prefix(self._options.transport_options.get("global_keyprefix"))
        self._task_prefix = f"{self._prefix}{TASK_PREFIX}"
        self._ttl = _milliseconds(self._options.expires)
        failure = self._options.failure_expires
        self._failure_ttl = self._ttl if failure is None else _milliseconds(failure)
        self._pool = RespPool(self._params)
        self._chords = RedisChords(self._options, self._codec, self._prefix, self._group_key, self._command)
        self._watch_pid = 0
        self._watch: Watcher | None = None

    @property
    def capabilities(self) -> BackendCapabilities:
        return CAPABILITIES

    @property
    def url(self) -> str:
        return self._url

    def expect(self, task_ids: Sequence[str]) -> str | None:
        return None

    # --- storing

    def store_many(self, records: Sequence[ResultRecord]) -> None:
        keys: list[str] = []
        values: list[bytes | str] = []
        size, parts = 0, []
        for record in records:
            payload = self._encode(record)
            size += len(payload)
            keys.append(self._task_prefix + record.task_id)
            values += (_KINDS.get(record.status, "O"), payload)
            if size >= _PART_SIZE or len(keys) >= _PART_LENGTH:
                parts.append((keys, values))
                size, keys, values = 0, [], []
        if keys:
            parts.append((keys, values))
        for keys, values in parts:
            self._store(keys, values)

    def _encode(self, record: ResultRecord) -> bytes:
        payload = self._codec.encode(record)
        if len(payload) > _MAX_VALUE:
            raise BackendStoreError(
                f"the result of task {record.task_id} has {len(payload):,} bytes, but Redis keeps at most "
                f"{_MAX_VALUE:,}; return a reference to the data instead",
                state=record.status,
                task_id=record.task_id,
            )
        return payload

    def _store(self, keys: list[str], values: list[bytes | str]) -> None:
        mark = self._codec.success_mark
        if mark is None and any(kind != "S" for kind in values[::2]):
            self._pool.run(lambda connection: self._store_checked(connection, keys, values))
            return
        arguments = self._store_arguments(keys, values)
        self._pool.run(lambda connection: self._run_store(connection, arguments))

    def _store_arguments(self, keys: list[str], values: list[bytes | str]) -> tuple[Any, ...]:
        """What the script gets: of each key the kind of its state and the payload are in ``values``."""
        mark, last = self._codec.success_mark or (b"", 0)
        return (len(keys), *keys, mark, last, self._failure_ttl, self._ttl, *values)

    def _run_store(self, connection: RespConnection, arguments: tuple[Any, ...]) -> None:
        try:
            connection.execute("EVALSHA", _STORE_SHA, *arguments)
        except ReplyError as error:
            if error.code != "NOSCRIPT":
                raise self._refused(error, "to store results") from error
            self._execute(connection, "EVAL", _STORE, *arguments)

    def _store_checked(self, connection: RespConnection, keys: list[str], values: list[bytes | str]) -> None:
        """Store where a SUCCESS can be told by decoding it only: look, then store unless something changed."""
        while True:
            self._execute(connection, "WATCH", *keys)
            present = self._execute(connection, "MGET", *keys)
            kept_keys: list[str] = []
            kept: list[bytes | str] = []
            for position, (key, data) in enumerate(zip(keys, present, strict=True)):
                kind, payload = values[2 * position : 2 * position + 2]
                if kind != "S" and data is not None and self._is_success(data, key):
                    continue
                kept_keys.append(key)
                kept += (kind, payload)
            commands = [
                ("MULTI",),
                ("EVAL", _STORE, len(kept_keys), *kept_keys, b"", 0, self._failure_ttl, self._ttl, *kept),
                ("EXEC",),
            ]
            replies = connection.pipeline(commands)
            for reply in replies:
                if isinstance(reply, ReplyError):
                    raise self._refused(reply, "to store results")
            if replies[-1] is not None:
                return

    def _is_success(self, data: bytes, key: str) -> bool:
        return self._codec.decode(data, key).status == states.SUCCESS

    # --- reading

    def load_many(self, task_ids: Sequence[str]) -> dict[str, ResultRecord]:
        found: dict[str, ResultRecord] = {}
        for start in range(0, len(task_ids), _PART_LENGTH):
            part = task_ids[start : start + _PART_LENGTH]
            keys = [self._task_prefix + task_id for task_id in part]
            for task_id, data in zip(part, self._read(keys), strict=True):
                if data is not None:
                    found[task_id] = self._codec.decode(data, task_id)
        return found

    def _read(self, keys: Sequence[str | bytes]) -> Sequence[bytes | None]:
        """Values of up to `_PART_LENGTH` keys, None where there is none."""
        found: Sequence[bytes | None] = self._command("MGET", *keys)
        return found

    def open_watch(self) -> RedisWatch:
        return RedisWatch(self._watcher(), self._task_prefix, self._codec)

    def _watcher(self) -> Watcher:
        watcher = self._watch
        if watcher is None or self._watch_pid != os.getpid():
            # After a fork the parent's lock may be held for ever, and its connection is not ours.
            watcher = self._watch = self._open_watcher()
            self._watch_pid = os.getpid()
        return watcher

    def _open_watcher(self) -> Watcher:
        return Watcher(self._params, self._read)

    # --- the rest

    def forget_many(self, task_ids: Sequence[str]) -> None:
        for start in range(0, len(task_ids), _PART_LENGTH):
            self._delete([self._task_prefix + id_ for id_ in task_ids[start : start + _PART_LENGTH]])

    def _delete(self, keys: Sequence[str]) -> None:
        self._command("DEL", *keys)

    def save_group(self, group_id: str, result: Any) -> None:
        key, data = self._group_key(group_id), self._codec.encode_value({"result": result})
        if self._ttl == "0":
            self._command("SET", key, data)
        else:
            self._command("SET", key, data, "PX", self._ttl)

    def load_group(self, group_id: str) -> Any | None:
        data = self._command("GET", self._group_key(group_id))
        if data is None:
            return None
        meta = self._codec.decode_value(data)
        return meta.get("result") if isinstance(meta, dict) else None

    def delete_group(self, group_id: str) -> None:
        self._command("DEL", self._group_key(group_id))

    def _group_key(self, group_id: str) -> str:
        return f"{self._prefix}{GROUP_PREFIX}{group_id}"

    def keep_graphs(self, graphs: Mapping[str, bytes]) -> None:
        ttl = _milliseconds(graph_lifetime(self._options))
        expiry = () if ttl == "0" else ("PX", ttl)
        prefix = self._prefix + GRAPH_PREFIX
        commands = [("SET", prefix + id_, data, *expiry) for id_, data in graphs.items()]
        for reply in self._pipeline(commands):
            if isinstance(reply, ReplyError):
                raise self._refused(reply, "to keep the rest of a workflow")

    def load_graph(self, graph_id: str) -> bytes | None:
        data = self._command("GET", self._prefix + GRAPH_PREFIX + graph_id)
        return None if data is None else bytes(data)

    def _pipeline(self, commands: Sequence[Command]) -> list[Any]:
        return self._pool.run(lambda connection: connection.pipeline(commands))

    def sweep(self) -> int:
        """Nothing to do: the server drops what has expired."""
        return 0

    def close(self) -> None:
        self._pool.close()
        if self._watch is not None and self._watch_pid == os.getpid():
            self._watch.disconnect()

    def _command(self, *command: Any) -> Any:
        return self._pool.run(lambda connection: self._execute(connection, *command))

    def _execute(self, connection: RespConnection, *command: Any) -> Any:
        try:
            return connection.execute(*command)
        except ReplyError as error:
            raise self._refused(error, f"{command[0]}") from error

    def _refused(self, error: ReplyError, what: str) -> Exception:
        return refine(error, f"Redis at {self._params.address} refused {what}")


class RedisWatch:
    """A `ResultWatch` on the connection that all of the process share.

    Args:
        watcher: That connection.
        prefix: Of the keys of results.
        codec: Reads them.
    """

    def __init__(self, watcher: Watcher, prefix: str, codec: ResultCodec) -> None:
        self._watcher = watcher
        self._waiter = Waiter()
        self._prefix = prefix
        self._skip = len(prefix.encode())
        self._codec = codec
        self._pending: set[str] = set()
        #: Told, but still subscribed to.
        self._told: list[str] = []

    def add(self, task_ids: Collection[str]) -> None:
        if self._told:
            # Some of these may be among them, and have to be read again.
            self.discard(())
        self._pending.update(task_ids)
        prefix = self._prefix
        self._watcher.add(self._waiter, [prefix + task_id for task_id in task_ids])

    def discard(self, task_ids: Collection[str]) -> None:
        self._pending.difference_update(task_ids)
        gone = dict.fromkeys((*task_ids, *self._told))
        self._watcher.discard(self._waiter, [self._prefix + task_id for task_id in gone])
        self._told.clear()

    def wait(self, timeout: float | None) -> list[ResultRecord]:
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        if len(self._told) >= _TOLD_AT_ONCE:
            self.discard(())
        while True:
            news = self._watcher.wait(self._waiter, deadline)
            ready = [record for key, data in news if (record := self._ready(key[self._skip :].decode(), data))]
            if ready or not news:
                return ready

    def _ready(self, task_id: str, data: bytes) -> ResultRecord | None:
        """A record that ends the wait for a task."""
        if task_id not in self._pending:
            return None
        record = self._codec.decode(data, task_id)
        if record.status not in states.READY_STATES:
            return None
        self._pending.discard(task_id)
        self._told.append(task_id)
        return record

    def wake(self) -> None:
        self._watcher.wake(self._waiter)

    def close(self) -> None:
        self._watcher.close(self._waiter)


def _milliseconds(seconds: float | None) -> str:
    """A time to live as the server takes it; ``"0"`` is for ever, as in Celery."""
    return "0" if not seconds else str(max(int(seconds * 1000), 1))


def server_params(url: str, options: BackendOptions) -> RespParams:
    """How to reach the server of a URL, by it and by the settings."""
    settings = options.settings
    full = url if "://" in url else f"{url}://"
    parts = parse_url(split_failover(full)[0])
    connect_timeout = settings.get("redis_socket_connect_timeout") or options.connect_timeout
    given = {key: value for key, value in options.transport_options.items() if key not in _IGNORED_OPTIONS}
    for name, option in _SETTINGS.items():
        if settings.get(name) is not None:
            given.setdefault(option, settings[name])
    read: Callable[..., RespParams] = params_from_url
    if parts.scheme == "sentinel":
        from celeriac.drivers.resp_sentinel import OPTIONS, params_from_sentinel_url

        given |= {name: options.transport_options.get(name) for name in OPTIONS}
        read = params_from_sentinel_url
    params = read(
        full,
        connect_timeout=float(connect_timeout),
        timeout=min(options.timeout, float(settings.get("redis_socket_timeout") or options.timeout)),
        tls=settings.get("redis_backend_use_ssl") or False,
        options=given,
    )
    fallback = _fallbacks(settings, has_database=bool(parts.path or parts.query.get("db")))
    is_server = params.locate is None
    absent = {"host": is_server and not parts.host, "port": is_server and parts.port is None, "db": not params.db}
    absent |= {"username": params.username is None, "password": params.password is None}
    return replace(params, **{key: value for key, value in fallback.items() if absent[key]})


_SETTINGS: Mapping[str, str] = {
    "redis_backend_credential_provider": "credential_provider",
    "redis_client_name": "client_name",
    "redis_max_connections": "max_connections",
    "redis_socket_keepalive": "socket_keepalive",
}


def _fallbacks(settings: Mapping[str, Any], *, has_database: bool) -> dict[str, Any]:
    """Parts of the address that settings give where the URL leaves them out."""
    converters: dict[str, Callable[[Any], Any]] = {"host": str, "port": int, "username": str, "password": str}
    if not has_database:
        converters["db"] = int
    return {
        name: convert(settings[f"redis_{name}"])
        for name, convert in converters.items()
        if settings.get(f"redis_{name}") is not None
    }
