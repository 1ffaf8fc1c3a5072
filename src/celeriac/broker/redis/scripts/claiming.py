"""Taking messages: what is due joins its queue, and what is popped is recorded as held, at once."""

from __future__ import annotations

from celeriac.broker.redis.scripts.parts import BATCH, FORGET, KEYS, MINE, TIME, Script

#: What CLAIM returns in place of the time to the next delayed message when the session is not alive.
NOT_ALIVE = -2

# RELAY: publish a message, to the session that would fetch it next if that has nothing else to fetch.
#   KEYS[1..6], the session's; then all lists it fetches from.
#   ARGV: the session's token, tag, envelope, tail of kombu's unacked entry, the list; then tags of messages to
#   settle for good, if the session holds them.
#   Returns 1 when the session holds it, as if claimed; 0 when it is in the list.
RELAY = Script(
    "relay",
    KEYS
    + TIME
    + BATCH
    + FORGET
    + MINE
    + """
if #ARGV > 5 then forget((mine({unpack(ARGV, 6)})), true) end
local alive = redis.call('ZSCORE', sessions, ARGV[1])
if alive and tonumber(alive) > now and redis.call('EXISTS', unpack(KEYS, 7)) == 0 then
  redis.call('HSET', unacked, ARGV[2], '[' .. ARGV[3] .. ARGV[4])
  redis.call('ZADD', index, string.format('%.6f', now), ARGV[2])
  redis.call('HSET', held, ARGV[2], ARGV[5])
  return 1
end
redis.call('LPUSH', ARGV[5], ARGV[3])
return 0
""",
)

# CLAIM: move due delayed messages to their lists, then pop from the lists and record each message as held.  It stops
# within 32 messages of having 16 MiB, so that neither the server nor the worker has to hold hundreds of large ones.
#   KEYS[1..6]; then of each queue the delayed set; then the lists, step by step, each step in the queues' order.
#   ARGV: token, limit, queues, steps, first queue of the round robin (from 0), 1 for the queues' own order,
#         lease in seconds; then of each queue the key of its plain list and the tail of kombu's unacked entry.
#   Returns {-2} when the session is not alive; else {ms until the next delayed message or -1,
#   then for each claimed message: number of its queue (from 0), tag, envelope, charged deliveries so far}.
CLAIM = Script(
    "claim",
    KEYS
    + BATCH
    + """
local limit, queues, steps = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local first, ordered, lease = tonumber(ARGV[5]), ARGV[6] == '1', tonumber(ARGV[7])
local alive = redis.call('ZSCORE', sessions, ARGV[1])
if not alive or tonumber(alive) <= 0 then return {-2} end

local clock, now = nil, 0
local function look_at_clock()
  clock = redis.call('TIME')
  now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
end

local wait = -1
local function promote(q, key)
  local due = redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, 1000)
  for i = 1, #due do
    local colon = string.find(due[i], ':', 1, true)
    local size = tonumber(string.sub(due[i], 1, colon - 1))
    local list = ARGV[6 + 2 * q] .. string.sub(due[i], colon + 1, colon + size)
    redis.call('LPUSH', list, string.sub(due[i], colon + size + 1))
  end
  if #due > 0 then redis.call('ZREMRANGEBYRANK', key, 0, #due - 1) end
  local head = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  if head[2] then
    local ms = math.max(0, math.ceil((tonumber(head[2]) - now) * 1000))
    if wait < 0 or ms < wait then wait = ms end
  end
end
-- Mostly there are no counts, no malformed messages and no delayed ones.
local special = redis.call('EXISTS', unpack(KEYS, 5, 6 + queues)) > 0
if special then
  look_at_clock()
  for q = 1, queues do promote(q, KEYS[6 + q]) end
end

-- One look at all lists tells when the rest of them is empty: a call costs more than all the Lua between two.
local unseen = redis.call('EXISTS', unpack(KEYS, 7 + queues))
if unseen == 0 then return {wait} end
local payloads, origins, sources, n, visited, room = {}, {}, {}, 0, {}, 16777216
local function take(q, key, want)
  if unseen == 0 and not visited[key] then return end
  -- In pieces, because sizes are known only afterwards.
  while want > 0 and room > 0 do
    local piece = math.min(want, 32)
    local items = redis.call('LRANGE', key, -piece, -1)
    local m = #items
    if m == 0 then return end
    if not visited[key] then
      visited[key] = true
      unseen = unseen - 1
    end
    redis.call('LTRIM', key, 0, -m - 1)
    for i = m, 1, -1 do
      n = n + 1
      payloads[n], origins[n], sources[n] = items[i], q, key
      room = room - #items[i]
    end
    if m < piece then return end
    want = want - piece
  end
end
for s = 0, steps - 1 do
  local share = ordered and limit or math.ceil((limit - n) / queues)
  for pass = 1, 2 do
    for i = 0, queues - 1 do
      local q = (first + i) % queues
      local want = math.min(share, limit - n)
      if want > 0 then take(q, KEYS[7 + queues + s * queues + q], want) end
    end
    share = limit
    if queues == 1 or ordered then break end
  end
  if n >= limit then break end
end
if n == 0 then return {wait} end
if not clock then look_at_clock() end
redis.call('ZADD', sessions, now + lease, ARGV[1])

local tags, seen, broken = {}, {}, {}
for i = 1, n do
  local text, tag = payloads[i], nil
  local object = string.byte(text, 1) == 123 and string.byte(text, -1) == 125
  if object then
    local at = string.find(text, '"delivery_tag": "', -64, true)
    if at then
      tag = string.match(text, '^([^"]*)"', at + 17)
    else
      for found in string.gmatch(text, '"delivery_tag"%s*:%s*"([^"]*)"') do tag = found end
    end
  end
  if not tag or tag == '' or string.sub(tag, 1, 2) == 'x-' then
    tag = 'x-' .. redis.sha1hex(text)
    broken[i] = not object or not pcall(cjson.decode, text)
  end
  tags[i] = tag
end
-- A producer that uses a tag twice must not make one message replace the other.
local taken = lookup(unacked, tags)
for i = 1, n do
  if taken[i] or seen[tags[i]] or (broken[i] and redis.call('HEXISTS', malformed, tags[i]) == 1) then
    tags[i] = 'x-' .. redis.sha1hex(tags[i] .. ARGV[1] .. clock[1] .. clock[2] .. i)
  end
  seen[tags[i]] = true
end

local entries, scores, mine, stamp = {}, {}, {}, string.format('%.6f', now)
for i = 1, n do
  if broken[i] then
    redis.call('HSET', malformed, tags[i], payloads[i])
  else
    entries[#entries + 1] = tags[i]
    entries[#entries + 1] = '[' .. payloads[i] .. ARGV[9 + 2 * origins[i]]
    scores[#scores + 1] = stamp
    scores[#scores + 1] = tags[i]
  end
  mine[2 * i - 1], mine[2 * i] = tags[i], sources[i]
end
batch('HMSET', unacked, entries)
batch('ZADD', index, scores)
batch('HMSET', held, mine)

local counts = nil
if special and redis.call('EXISTS', deliveries) == 1 then counts = lookup(deliveries, tags) end
local reply = {wait}
for i = 1, n do
  local j = 4 * i - 2
  reply[j], reply[j + 1], reply[j + 2] = origins[i], tags[i], payloads[i]
  reply[j + 3] = counts and counts[i] and tonumber(counts[i]) or 0
end
return reply
""",
)
