"""Ending the hold on messages: for good, or back to a queue, to the delayed ones, or to the dead letters."""

from __future__ import annotations

from celeriac.broker.redis.scripts.parts import BATCH, ENVELOPE, FORGET, KEYS, MINE, Script

# SETTLE: settle for good what this session holds of the given tags; others are ignored.
#   KEYS[1..6].  ARGV: tags.  Returns how many it held.
SETTLE = Script(
    "settle",
    KEYS
    + BATCH
    + FORGET
    + MINE
    + """
local owned = mine(ARGV)
forget(owned, true)
return #owned
""",
)

# REQUEUE: return what this session holds of the given tags to the lists they came from, in the order given.
#   KEYS[1..6].  ARGV: RPUSH (consumed next) or LPUSH (consumed last), 1 to count the delivery, tags.
#   Returns how many it held.
REQUEUE = Script(
    "requeue",
    KEYS
    + BATCH
    + FORGET
    + MINE
    + ENVELOPE
    + """
local side, charge = table.remove(ARGV, 1), table.remove(ARGV, 1) == '1'
local owned, lists = mine(ARGV)
local entries = lookup(unacked, owned)
for i = 1, #owned do
  local text = envelope(entries[i], owned[i])
  if text then
    if charge then
      redis.call('HINCRBY', deliveries, owned[i], 1)
      text = mark(text)
    end
    redis.call(side, lists[i], text)
  end
end
if charge then keep(deliveries) end
forget(owned, false)
return #owned
""",
)

# DEFER: move what this session holds into the delayed sets.
#   KEYS[1..6].  ARGV: of each message its tag, due time, delayed set, key of the queue's plain list.
#   Returns how many it held.
DEFER = Script(
    "defer",
    KEYS
    + BATCH
    + FORGET
    + ENVELOPE
    + """
local tags = {}
for i = 1, #ARGV, 4 do tags[#tags + 1] = ARGV[i] end
local lists, entries, owned = lookup(held, tags), lookup(unacked, tags), {}
for i = 1, #tags do
  local text, at = lists[i] and envelope(entries[i], tags[i]), 4 * i - 3
  if text then
    local suffix = string.sub(lists[i], #ARGV[at + 3] + 1)
    redis.call('ZADD', ARGV[at + 2], ARGV[at + 1], #suffix .. ':' .. suffix .. text)
    owned[#owned + 1] = tags[i]
  end
end
forget(owned, false)
return #owned
""",
)

# BURY: move what this session holds to the dead letters.
#   KEYS[1..6], the stream.  ARGV: of each message its tag, queue, reason.  Returns how many it held.
BURY = Script(
    "bury",
    KEYS
    + BATCH
    + FORGET
    + ENVELOPE
    + """
local owned = {}
for i = 1, #ARGV, 3 do
  local tag = ARGV[i]
  local text = redis.call('HEXISTS', held, tag) == 1 and envelope(redis.call('HGET', unacked, tag), tag)
  if text then
    local count = tonumber(redis.call('HGET', deliveries, tag) or 0) + 1
    redis.call('XADD', KEYS[7], '*', 'queue', ARGV[i + 1], 'reason', ARGV[i + 2],
               'deliveries', count, 'envelope', text)
    owned[#owned + 1] = tag
  end
end
forget(owned, true)
return #owned
""",
)
