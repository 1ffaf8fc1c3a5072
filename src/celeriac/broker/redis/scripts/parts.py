"""A script, and the pieces of Lua that several scripts begin with."""

from __future__ import annotations

from celeriac.utils.digests import sha1_hex


class Script:
    """A script.

    Args:
        name: For messages.
        text: Lua.

    Attributes:
        sha: SHA-1 of the text, by which the server knows it.
    """

    __slots__ = ("name", "sha", "text")

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.sha = sha1_hex(text)


# KEYS[1..6] are the same in every script that settles or claims.
KEYS = """
local unacked, index, sessions = KEYS[1], KEYS[2], KEYS[3]
local held, deliveries, malformed = KEYS[4], KEYS[5], KEYS[6]
"""

TIME = """
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
"""

# Lua's stack bounds unpack(), so that long argument lists go in pieces of an even length.
BATCH = """
local function batch(command, key, args)
  for i = 1, #args, 1000 do
    redis.call(command, key, unpack(args, i, math.min(i + 999, #args)))
  end
end
-- Counts of messages that were purged, or taken by Celery's workers, go a week after the last redelivery.
local function keep(counts)
  redis.call('EXPIRE', counts, 604800)
end
local function lookup(key, tags)
  local found = {}
  for i = 1, #tags, 1000 do
    local part = redis.call('HMGET', key, unpack(tags, i, math.min(i + 999, #tags)))
    for j = 1, #part do found[i + j - 1] = part[j] end
  end
  return found
end
"""

# forget(tags, counts): remove what is known about tags of this session; their counts too if asked.
FORGET = """
local function forget(tags, counts)
  if #tags == 0 then return end
  batch('HDEL', held, tags)
  batch('HDEL', unacked, tags)
  batch('ZREM', index, tags)
  if counts and redis.call('EXISTS', deliveries) == 1 then batch('HDEL', deliveries, tags) end
  local raw = {}
  for i = 1, #tags do
    if string.sub(tags[i], 1, 2) == 'x-' then raw[#raw + 1] = tags[i] end
  end
  if #raw > 0 then batch('HDEL', malformed, raw) end
end
"""

# mine(tags): those that this session holds, and the lists they came from.
MINE = """
local function mine(tags)
  local owned, from, lists = {}, lookup(held, tags), {}
  for i = 1, #tags do
    if from[i] then
      owned[#owned + 1] = tags[i]
      lists[#lists + 1] = from[i]
    end
  end
  return owned, lists
end
"""

# envelope(entry, tag): the raw envelope out of kombu's `[envelope, "exchange", "routing key"]`, without decoding it:
# the boundary is the last `}, "`, because a quote within a JSON string has a backslash before it.
# mark(envelope): the same with delivery_info.redelivered set, for the eyes of Celery's workers.
ENVELOPE = """
local function last(text, piece, from)
  local at = nil
  while true do
    local found = string.find(text, piece, from, true)
    if not found then return at end
    at, from = found, found + 1
  end
end
local function split(entry)
  local at = last(entry, '}, "', math.max(1, #entry - 600)) or last(entry, '}, "', 1)
  if at then return string.sub(entry, 2, at), string.sub(entry, at + 3) end
end
local function envelope(entry, tag)
  if entry then return (split(entry)) end
  return redis.call('HGET', malformed, tag)
end
local function mark(text)
  local at = last(text, '"delivery_info": {"', math.max(1, #text - 2000))
  if not at or string.find(text, '"redelivered": true', at, true) then return text end
  return string.sub(text, 1, at + 17) .. '"redelivered": true, ' .. string.sub(text, at + 18)
end
"""

# bound(bindings, exchange, key, separator): queues a routing key reaches, from the members of a binding set.
ROUTE = """
local function words(text)
  local out = {}
  if text == '' then return out end
  for word in string.gmatch(text .. '.', '([^.]*)%.') do out[#out + 1] = word end
  return out
end
local function topic(pattern, key, i, j)
  if i > #pattern then return j > #key end
  if pattern[i] == '#' then
    for k = j, #key + 1 do
      if topic(pattern, key, i + 1, k) then return true end
    end
    return false
  end
  return j <= #key and (pattern[i] == '*' or pattern[i] == key[j]) and topic(pattern, key, i + 1, j + 1)
end
local function bound(set, routing_key, separator)
  local found, seen, key = {}, {}, words(routing_key)
  for _, member in ipairs(redis.call('SMEMBERS', set)) do
    local a, b = string.find(member, separator, 1, true)
    local c, d = nil, nil
    if b then c, d = string.find(member, separator, b + 1, true) end
    if d then
      local pattern, queue = string.sub(member, 1, a - 1), string.sub(member, d + 1)
      local matches = pattern == routing_key
      if not matches and c > b + 1 then matches = topic(words(pattern), key, 1, 1) end
      if matches and not seen[queue] then
        seen[queue] = true
        found[#found + 1] = queue
      end
    end
  end
  return found
end
"""
