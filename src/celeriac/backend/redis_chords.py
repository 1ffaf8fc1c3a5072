"""Chords in Redis, under Celery's keys: workers of both may record the parts of one chord, and any may be last.

Of a chord there are, behind the key of its group (observed from Celery 5.7): ``.s`` its size, ``.t`` what was added to
that, ``.j`` a sorted set (or, unordered, a list) of parts, ``.d`` the set of ``<task id>:<index>`` that are in it, and
``.c``, which whoever completes it takes, and which says ``done`` in the end.  Beside them, for all chords, a sorted set
and a hash of our own hold those that are complete and not yet concluded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac.backend.base import ChordProgress
from celeriac.backend.retention import chord_lifetime
from celeriac.drivers.resp import ReplyError
from celeriac.utils.digests import sha1_hex

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from celeriac.backend.base import BackendOptions, ChordPart
    from celeriac.backend.codec import ResultCodec

#: Complete chords by the time their lease ends, and what concludes them.
READY, BODIES = "celeriac-chords", "celeriac-chord-bodies"
CLAIM_PREFIX = "celeriac-claim-"
#: Chords taken over at once.
_PAGE = 100

# ADD: record parts.
#   KEYS: .j .t .s .d .c, READY, BODIES.  ARGV: id, body or '', seconds of the lease, ms to live ('0' is for ever), '1'
#   if ordered, how many bytes of a value are before the task's id; then of each part the id, its score, and its value
#   without the id (with it where that number is '-1').
#   Returns 2 when this call completes the chord, 1 when it did nothing as that takes a body, else 0.  Atomic.
#   Clients of Celery tell the size just before they send the last task: until then parts are kept without one.
_ADD = """
local parts, grown, size, seen, claimed, ready, bodies = unpack(KEYS)
local id, body, lease, ttl, ordered, before = unpack(ARGV, 1, 6)
before = tonumber(before)
if redis.call('EXISTS', claimed) == 1 then return 0 end
local total = tonumber(redis.call('GET', size) or '')
if total then total = total + tonumber(redis.call('GET', grown) or 0) end
local counting = ordered == '1' and 'ZCARD' or 'LLEN'
if body == '' and total and redis.call(counting, parts) + (#ARGV - 6) / 3 >= total then return 1 end
for i = 7, #ARGV, 3 do
  local task, score, value = unpack(ARGV, i, i + 2)
  if redis.call('SADD', seen, task .. ':' .. score) == 1 then
    if before >= 0 then value = string.sub(value, 1, before) .. task .. string.sub(value, before + 1) end
    if ordered == '1' then
      redis.call('ZADD', parts, score, value)
    else
      redis.call('RPUSH', parts, value)
    end
  end
end
if ttl ~= '0' then
  for i = 1, 4 do redis.call('PEXPIRE', KEYS[i], ttl) end
end
if not total or redis.call(counting, parts) < total then return 0 end
if ttl == '0' then redis.call('SET', claimed, id) else redis.call('SET', claimed, id, 'PX', ttl) end
redis.call('ZADD', ready, redis.call('TIME')[1] + lease, id)
redis.call('HSET', bodies, id, body)
return 2
"""

# CLOSE: forget a chord.
#   KEYS: .j .t .s .d .c, READY, BODIES.  ARGV: id, ms to live ('0' is for ever).  Atomic.
_CLOSE = """
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
if ARGV[2] == '0' then redis.call('SET', KEYS[5], 'done') else redis.call('SET', KEYS[5], 'done', 'PX', ARGV[2]) end
redis.call('ZREM', KEYS[6], ARGV[1])
redis.call('HDEL', KEYS[7], ARGV[1])
return 1
"""

# TAKE: take over chords whose lease ran out.
#   KEYS: READY, BODIES.  ARGV: seconds of the new lease, most of them.
#   Returns their ids and bodies by turns.  Atomic.
_TAKE = """
local now, found = tonumber(redis.call('TIME')[1]), {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])) do
  local body = redis.call('HGET', KEYS[2], id)
  if body then
    redis.call('ZADD', KEYS[1], now + ARGV[1], id)
    found[#found + 1] = id
    found[#found + 1] = body
  else
    redis.call('ZREM', KEYS[1], id)
  end
end
return found
"""
_SHA = {script: sha1_hex(script) for script in (_ADD, _CLOSE, _TAKE)}


class RedisChords:
    """The part of the backend that joins chords.

    Args:
        options: Lifetimes; ``result_chord_ordered`` among the transport options.
        codec: Encodes parts.
        prefix: ``global_keyprefix``, with its separator.
        group_key: The key of a group.
        command: Runs a command.
    """

    def __init__(
        self,
        options: BackendOptions,
        codec: ResultCodec,
        prefix: str,
        group_key: Callable[[str], str],
        command: Callable[..., Any],
    ) -> None:
        lifetime = chord_lifetime(options)
        self._ttl = "0" if lifetime is None else str(max(int(lifetime * 1000), 1))
        self._ordered = bool(options.transport_options.get("result_chord_ordered", True))
        self._codec = codec
        self._group_key = group_key
        self._command = command
        self._ready, self._bodies, self._claims = prefix + READY, prefix + BODIES, prefix + CLAIM_PREFIX

    def open(self, chord_id: str, size: int) -> None:
        """See `ResultBackend.open_chord`."""
        key = self._key(chord_id)
        self._command("DEL", f"{key}.c")
        self._command("SET", f"{key}.s", size, *self._expiry())

    def grow(self, chord_id: str, count: int) -> None:
        """See `ResultBackend.grow_chord`."""
        key = f"{self._key(chord_id)}.t"
        self._command("INCRBY", key, count)
        if self._ttl != "0":
            self._command("PEXPIRE", key, self._ttl)

    def add(self, chord_id: str, parts: Sequence[ChordPart], body: bytes | None, lease: float) -> ChordProgress:
        """See `ResultBackend.add_chord_parts`."""
        before, values = _without_ids(parts, [self._codec.encode_part(part) for part in parts])
        words: list[Any] = []
        for part, value in zip(parts, values, strict=True):
            words += (part.task_id, "+inf" if part.index is None else part.index, value)
        arguments = (chord_id, body or b"", lease, self._ttl, "1" if self._ordered else "0", before, *words)
        return ChordProgress(self._run(_ADD, self._keys(chord_id), arguments))

    def load(self, chord_id: str) -> list[ChordPart] | None:
        """See `ResultBackend.load_chord`."""
        command = "ZRANGE" if self._ordered else "LRANGE"
        found = self._command(command, f"{self._key(chord_id)}.j", 0, -1)
        return [self._codec.decode_part(data) for data in found] or None

    def close(self, chord_id: str) -> None:
        """See `ResultBackend.close_chord`."""
        self._run(_CLOSE, self._keys(chord_id), (chord_id, self._ttl))

    def take(self, lease: float) -> list[tuple[str, bytes]]:
        """See `ResultBackend.take_chords`."""
        return self._take_from((self._ready, self._bodies), lease)

    def _take_from(self, keys: Sequence[str], lease: float) -> list[tuple[str, bytes]]:
        found = self._run(_TAKE, keys, (lease, _PAGE))
        return [(bytes(id_).decode(), bytes(body)) for id_, body in zip(found[::2], found[1::2], strict=True)]

    def claim(self, name: str, token: str) -> str:
        """See `ResultBackend.claim`."""
        key = self._claims + name
        while True:
            if self._command("SET", key, token, *self._expiry(), "NX") is not None:
                return token
            # None: it has just expired.
            if (found := self._command("GET", key)) is not None:
                return bytes(found).decode()

    def _keys(self, chord_id: str) -> tuple[str, ...]:
        key = self._key(chord_id)
        return (*(f"{key}.{part}" for part in "jtsdc"), *self._complete(chord_id))

    def _key(self, chord_id: str) -> str:
        """What the keys of a chord begin with."""
        return self._group_key(chord_id)

    def _complete(self, chord_id: str) -> tuple[str, str]:
        """The keys of what is kept for all chords, or for those beside this one."""
        return self._ready, self._bodies

    def _expiry(self) -> tuple[str, ...]:
        return () if self._ttl == "0" else ("PX", self._ttl)

    def _run(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        try:
            return self._command("EVALSHA", _SHA[script], len(keys), *keys, *arguments)
        except ReplyError as error:
            if error.code != "NOSCRIPT":
                raise
            return self._command("EVAL", script, len(keys), *keys, *arguments)


def _without_ids(parts: Sequence[ChordPart], values: list[bytes]) -> tuple[int, list[bytes]]:
    """Values without the ids of their tasks, which the server knows, and where those have to be put; else -1."""
    ids = [part.task_id.encode() for part in parts]
    places = {value.find(task_id) for task_id, value in zip(ids, values, strict=True)}
    if len(places) != 1 or -1 in places:
        return -1, values
    (before,) = places
    return before, [value[:before] + value[before + len(id_) :] for id_, value in zip(ids, values, strict=True)]
