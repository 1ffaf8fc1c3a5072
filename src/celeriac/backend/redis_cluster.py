"""Results in Redis Cluster: those of `redis`, each key on the node that has its slot.

All keys of a chord are in one slot, and so are those of the chords that are complete: chords are shared out among some
slots by their ids.  A node tells all others of what was published on it, so that one connection hears of every result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from celeriac.backend.redis import _STORE, _STORE_SHA, RedisBackend, server_params
from celeriac.backend.redis_chords import RedisChords
from celeriac.backend.redis_watch import RECONNECT_FOR, Watcher
from celeriac.drivers.resp import ReplyError
from celeriac.drivers.resp_cluster import HANDLED, RespCluster
from celeriac.exceptions import ImproperlyConfigured
from celeriac.utils.dataclass import replace
from celeriac.utils.url import redact, split_failover

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from celeriac.backend.base import BackendOptions
    from celeriac.drivers.resp import Command, RespConnection

#: Slots among which chords are shared out. All clients and workers have to agree on it.
_CHORD_SLOTS: Final = 16
#: Commands whose key comes after a script and the number of keys.
_SCRIPTS: Final = frozenset({"EVAL", "EVALSHA"})


class RedisClusterBackend(RedisBackend):
    """A result store.

    Args:
        url: ``redis+cluster://[user:password@]host:6379;host2:6379``, or ``rediss+cluster://``: some of the nodes.
        options: Settings common to all backends.

    Raises:
        ImproperlyConfigured: The URL or an option cannot be used.
    """

    def __init__(self, url: str, options: BackendOptions | None = None) -> None:
        full = url if "://" in url else f"{url}://"
        first, *others = [text.replace("+cluster://", "://", 1) for text in split_failover(full)]
        super().__init__(first, options)
        self._url = redact(url)
        if self._params.db:
            raise ImproperlyConfigured(
                f"result_backend {self._url!r} names the database {self._params.db}, but Redis Cluster has 0 only"
            )
        self._cluster = RespCluster([self._params, *(server_params(text, self._options) for text in others)])
        self._chords = ClusterChords(self._options, self._codec, self._prefix, self._group_key, self._command)

    # --- commands

    def _command(self, *command: Any) -> Any:
        key = command[3] if command[0] in _SCRIPTS else command[1]
        try:
            return self._cluster.execute(key, *command)
        except ReplyError as error:
            raise super()._refused(error, f"{command[0]}") from error

    def _refused(self, error: ReplyError, what: str) -> Exception:
        # Those are met with on the way, and the cluster deals with them.
        return error if error.code in HANDLED else super()._refused(error, what)

    def _store(self, keys: list[str], values: list[bytes | str]) -> None:
        each = [(key, values[2 * position : 2 * position + 2]) for position, key in enumerate(keys)]
        if self._codec.success_mark is None:
            for key, value in each:
                if value[0] != "S":
                    self._cluster.run(key, self._checked_store(key, value))
            each = [(key, value) for key, value in each if value[0] == "S"]
        self._run_scripts([(key, self._store_arguments([key], value)) for key, value in each])

    def _checked_store(self, key: str, value: list[bytes | str]) -> Callable[[RespConnection], None]:
        return lambda connection: self._store_checked(connection, [key], value)

    def _run_scripts(self, calls: Sequence[tuple[str, tuple[Any, ...]]]) -> None:
        for name, script in (("EVALSHA", _STORE_SHA), ("EVAL", _STORE)):
            replies = self._cluster.pipeline([(key, (name, script, *arguments)) for key, arguments in calls])
            unknown = []
            for call, reply in zip(calls, replies, strict=True):
                if isinstance(reply, ReplyError):
                    if reply.code != "NOSCRIPT":
                        raise super()._refused(reply, "to store results")
                    unknown.append(call)
            calls = unknown

    def _read(self, keys: Sequence[str | bytes]) -> Sequence[bytes | None]:
        return self._each("GET", keys)

    def _delete(self, keys: Sequence[str]) -> None:
        self._each("DEL", keys)

    def _pipeline(self, commands: Sequence[Command]) -> list[Any]:
        return self._cluster.pipeline([(str(command[1]), command) for command in commands])

    def _each(self, command: str, keys: Sequence[str | bytes], patience: float | None = None) -> list[Any]:
        """Replies of a command for each of some keys."""
        replies = self._cluster.pipeline([(key, (command, key)) for key in keys], patience=patience)
        for reply in replies:
            if isinstance(reply, ReplyError):
                raise super()._refused(reply, command)
        return replies

    # --- waiting

    def _open_watcher(self) -> Watcher:
        def read(keys: Sequence[bytes]) -> list[Any]:
            # As long as the connection itself would be tried again for.
            return self._each("GET", keys, RECONNECT_FOR)

        return Watcher(replace(self._params, locate=self._cluster.locate), read, is_cluster=True)

    def close(self) -> None:
        super().close()
        self._cluster.close()


class ClusterChords(RedisChords):
    """The part of the backend that joins chords."""

    def _key(self, chord_id: str) -> str:
        return _slot_of(chord_id) + super()._key(chord_id)

    def _complete(self, chord_id: str) -> tuple[str, str]:
        slot = _slot_of(chord_id)
        return slot + self._ready, slot + self._bodies

    def take(self, lease: float) -> list[tuple[str, bytes]]:
        """See `ResultBackend.take_chords`."""
        slots = map(_slot, range(_CHORD_SLOTS))
        return [chord for slot in slots for chord in self._take_from((slot + self._ready, slot + self._bodies), lease)]


def _slot_of(chord_id: str) -> str:
    return _slot(crc32(chord_id.encode()) % _CHORD_SLOTS)


def _slot(number: int) -> str:
    """What the keys of a slot begin with."""
    return f"{{celeriac-chords-{number}}}"
