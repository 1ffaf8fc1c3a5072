"""Putting messages into queues, now or later, and emptying queues."""

from __future__ import annotations

from celeriac.broker.redis.scripts.parts import BATCH, ROUTE, TIME, Script

# consumed(sessions, consumers): whether a live session of ours consumes a queue; forgets those that do not live.
CONSUMED = """
local function consumed(sessions, consumers)
  local alive = false
  for _, token in ipairs(redis.call('SMEMBERS', consumers)) do
    if tonumber(redis.call('ZSCORE', sessions, token) or 0) > now then
      alive = true
    else
      redis.call('SREM', consumers, token)
    end
  end
  return alive
end
"""

# DELAY: delay messages to one queue where a live session of ours will bring them back; elsewhere they go to the lists
# at once, for Celery's workers to hold.
#   KEYS[1] delayed set, KEYS[2] sessions, KEYS[3] consumers of the queue.
#   ARGV: key of the queue's plain list; then of each message its due time and its member of the delayed set.
#   Returns 1 if they were delayed.
DELAY = Script(
    "delay",
    TIME
    + BATCH
    + CONSUMED
    + """
local plain = table.remove(ARGV, 1)
if consumed(KEYS[2], KEYS[3]) then
  batch('ZADD', KEYS[1], ARGV)
  return 1
end
for i = 2, #ARGV, 2 do
  local colon = string.find(ARGV[i], ':', 1, true)
  local size = tonumber(string.sub(ARGV[i], 1, colon - 1))
  local list = plain .. string.sub(ARGV[i], colon + 1, colon + size)
  redis.call('LPUSH', list, string.sub(ARGV[i], colon + size + 1))
end
return 0
""",
)

# UNDELAY: move messages from a delayed set to the lists.
#   KEYS[1] delayed set.  ARGV: of each message its member of the set, the list, and the envelope to put there.
#   Returns how many were still delayed.
UNDELAY = Script(
    "undelay",
    """
local moved = 0
for i = 1, #ARGV, 3 do
  if redis.call('ZREM', KEYS[1], ARGV[i]) == 1 then
    redis.call('LPUSH', ARGV[i + 1], ARGV[i + 2])
    moved = moved + 1
  end
end
return moved
""",
)

# PUBLISH: route one message through a named exchange.
#   KEYS[1] binding set, KEYS[2] types of exchanges, KEYS[3] sessions.  ARGV: exchange, its type or '' to look it up,
#   routing key, channel of a fanout exchange, key prefix, separator, suffix of the priority step, queue to use when
#   the set reaches none ('' for none), due time or '', prefix of the delayed sets, envelope, prefix of the sets of
#   consumers or '', with which a message is delayed as by DELAY.
#   Returns how many queues, or subscribers of a fanout exchange, it reached.
PUBLISH = Script(
    "publish",
    ROUTE
    + TIME
    + CONSUMED
    + """
local kind, prefix, suffix, due, text = ARGV[2], ARGV[5], ARGV[7], ARGV[9], ARGV[11]
if kind == '' then kind = redis.call('HGET', KEYS[2], ARGV[1]) end
if kind == 'fanout' then return redis.call('PUBLISH', ARGV[4], text) end
local queues = bound(KEYS[1], ARGV[3], ARGV[6])
if #queues == 0 and ARGV[8] ~= '' then queues = {ARGV[8]} end
for _, queue in ipairs(queues) do
  if due == '' or (ARGV[12] ~= '' and not consumed(KEYS[3], ARGV[12] .. queue)) then
    redis.call('LPUSH', prefix .. queue .. suffix, text)
  else
    redis.call('ZADD', ARGV[10] .. queue, due, #suffix .. ':' .. suffix .. text)
  end
end
return #queues
""",
)

# DROP: take a queue that went with its consumer out of its exchanges, unless messages wait in it.
#   KEYS: its lists.  ARGV: binding set and member, in turn.  Returns 1 if it did.
DROP = Script(
    "drop",
    """
if redis.call('EXISTS', unpack(KEYS)) > 0 then return 0 end
for i = 1, #ARGV, 2 do redis.call('SREM', ARGV[i], ARGV[i + 1]) end
return 1
""",
)

# PURGE: drop what waits in a queue.
#   KEYS[1] delayed set, the lists.  Returns how many messages there were.
PURGE = Script(
    "purge",
    """
local count = redis.call('ZCARD', KEYS[1])
for i = 2, #KEYS do count = count + redis.call('LLEN', KEYS[i]) end
redis.call('UNLINK', unpack(KEYS))
return count
""",
)
