"""The schedule store in Redis: a hash of records, and the leader's key that expires with the lease."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from celeriac.beat.store.base import LeadershipLost, Stored, Write, first_token
from celeriac.drivers.resp_params import params_from_url
from celeriac.drivers.resp_pool import RespPool
from celeriac.utils.url import redact

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Writes of one script; it keeps the server busy for a millisecond or two.
_CHUNK: Final = 500

# KEYS: leader, token. ARGV: holder, milliseconds, the token to count from. Returns the token, or 0 while another leads.
# Atomic.
_ACQUIRE: Final = """
local current = redis.call('GET', KEYS[1])
if current == ARGV[1] then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    return tonumber(redis.call('GET', KEYS[2]))
elseif current then
    return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], ARGV[3], 'NX')
return redis.call('INCR', KEYS[2])
"""
# KEYS: leader. ARGV: holder. Returns 1 if it was the leader. Atomic.
_RELEASE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
# KEYS: records, token, version. ARGV: token or '', then name, expected, revision, data or '' for each write.
# Returns the places of the writes that took effect, or -1 for a token that is not the latest. Atomic.
_WRITE: Final = """
if ARGV[1] == '' then
    redis.call('INCR', KEYS[3])
elseif ARGV[1] ~= (redis.call('GET', KEYS[2]) or '0') then
    return -1
end
local written = {}
for i = 2, #ARGV, 4 do
    local found = redis.call('HGET', KEYS[1], ARGV[i])
    local revision = found and string.match(found, '^%d+') or '0'
    if revision == ARGV[i + 1] then
        if ARGV[i + 3] == '' then
            redis.call('HDEL', KEYS[1], ARGV[i])
        else
            redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2] .. ':' .. ARGV[i + 3])
        end
        written[#written + 1] = (i - 2) / 4
    end
end
return written
"""


class RedisStore:
    """A Redis database: ``redis://user:password@host:port/database``.

    Args:
        url: The URL.
        scope: The application; part of the names of the keys.
        timeout: Seconds to connect, and for an operation.
    """

    def __init__(self, url: str, scope: str, timeout: float) -> None:
        self.url = redact(url)
        self._pool = RespPool(params_from_url(url, connect_timeout=timeout, timeout=timeout))
        self._records, self._leader, self._token, self._version = (
            f"celeriac:beat:{{{scope}}}:{name}" for name in ("entries", "leader", "token", "version")
        )

    def acquire(self, holder: str, ttl: float) -> int | None:
        limits = max(1, round(ttl * 1000)), first_token()
        token = self._execute("EVAL", _ACQUIRE, 2, self._leader, self._token, holder, *limits)
        return int(token) or None

    def release(self, holder: str) -> None:
        self._execute("EVAL", _RELEASE, 1, self._leader, holder)

    def leader(self) -> str | None:
        found = self._execute("GET", self._leader)
        return None if found is None else _text(found)

    def version(self) -> int:
        return int(self._execute("GET", self._version) or 0)

    def load(self) -> dict[str, Stored]:
        found: Any = self._execute("HGETALL", self._records)
        pairs = found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
        records = {}
        for name, value in pairs:
            revision, _, data = _text(value).partition(":")
            records[_text(name)] = Stored(int(revision), data)
        return records

    def write_many(self, writes: Sequence[Write], token: int | None = None) -> set[str]:
        written: set[str] = set()
        for start in range(0, len(writes), _CHUNK):
            chunk = writes[start : start + _CHUNK]
            arguments: list[str | int] = ["" if token is None else token]
            for write in chunk:
                arguments += [write.name, write.expected, write.revision, write.data or ""]
            places = self._execute("EVAL", _WRITE, 3, self._records, self._token, self._version, *arguments)
            if places == -1:
                raise LeadershipLost(f"another scheduler has become the leader of {self.url}")
            written.update(chunk[int(place)].name for place in places)
        return written

    def close(self) -> None:
        self._pool.close()

    def _execute(self, *command: str | int) -> Any:
        return self._pool.run(lambda connection: connection.execute(*command))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
