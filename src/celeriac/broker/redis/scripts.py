"""The Lua scripts of the Redis broker, each with its contract.

Every script is atomic: Redis runs nothing else meanwhile, and a crash leaves all of its effects or none.  They use the
server's clock only.  Names of sessions' hashes are computed inside, so they need one server, not a cluster.
"""

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
_KEYS = """
local unacked, index, sessions = KEYS[1], KEYS[2], KEYS[3]
local held, deliveries, malformed = KEYS[4], KEYS[5], KEYS[6]
"""

_TIME = """
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
"""

# Lua's stack bounds unpack(), so that long argument lists go in pieces of an even length.
_BATCH = """
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
_FORGET = """
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

# envelope(entry, tag): the raw envelope out of kombu's `[envelope, "exchange", "routing key"]`, without decoding it:
# the boundary is the last `}, "`, because a quote within a JSON string has a backslash before it.
# mark(envelope): the same with delivery_info.redelivered set, for the eyes of Celery's workers.
_ENVELOPE = """
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

# REGISTER: begin a session.
#   KEYS[3] sessions.  ARGV: token, lease in seconds.
REGISTER = Script(
    "register",
    _KEYS
    + _TIME
    + """
redis.call('ZADD', sessions, now + tonumber(ARGV[2]), ARGV[1])
return 1
""",
)

#: What CLAIM returns in place of the time to the next delayed message when the session is not alive.
NOT_ALIVE = -2

# CLAIM: move due delayed messages to their lists, then pop from the lists and record each message as held.  It stops
# within 32 messages of having 16 MiB, so that neither the server nor the worker has to hold hundreds of large ones.
#   KEYS[1..6]; then of each queue the delayed set; then the lists, step by step, each step in the queues' order.
#   ARGV: token, limit, queues, steps, first queue of the round robin (from 0), 1 for the queues' own order,
#         lease in seconds; then of each queue the key of its plain list and the tail of kombu's unacked entry.
#   Returns {-2} when the session is not alive; else {ms until the next delayed message or -1,
#   then for each claimed message: number of its queue (from 0), tag, envelope, charged deliveries so far}.
CLAIM = Script(
    "claim",
    _KEYS
    + _BATCH
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

_MINE = """
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

# SETTLE: settle for good what this session holds of the given tags; others are ignored.
#   KEYS[1..6].  ARGV: tags.  Returns how many it held.
SETTLE = Script(
    "settle",
    _KEYS
    + _BATCH
    + _FORGET
    + _MINE
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
    _KEYS
    + _BATCH
    + _FORGET
    + _MINE
    + _ENVELOPE
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
    _KEYS
    + _BATCH
    + _FORGET
    + _ENVELOPE
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
    _KEYS
    + _BATCH
    + _FORGET
    + _ENVELOPE
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

# HEARTBEAT: extend a session's lease.
#   KEYS[1..6].  ARGV: token, lease in seconds, 1 to refresh kombu's index of everything held (a small set is
#   refreshed anyhow), 1 to look for lapsed sessions, visibility timeout in seconds.
#   Returns {0} when the session is not alive, else {1, lapsed sessions, stale entries of kombu's index}.
HEARTBEAT = Script(
    "heartbeat",
    _KEYS
    + _TIME
    + _BATCH
    + """
local alive = redis.call('ZSCORE', sessions, ARGV[1])
if not alive or tonumber(alive) <= 0 then return {0} end
redis.call('ZADD', sessions, now + tonumber(ARGV[2]), ARGV[1])
local count = redis.call('HLEN', held)
if count > 0 and (ARGV[3] == '1' or count <= 256) then
  local stamp, tags = string.format('%.6f', now), redis.call('HKEYS', held)
  for i = 1, #tags, 400 do
    local args = {'XX'}
    for j = i, math.min(i + 399, #tags) do
      args[#args + 1] = stamp
      args[#args + 1] = tags[j]
    end
    redis.call('ZADD', index, unpack(args))
  end
end
if ARGV[4] ~= '1' then return {1, 0, 0} end
local stale = string.format('(%.6f', now - tonumber(ARGV[5]))
return {1, redis.call('ZCOUNT', sessions, '-inf', string.format('(%.6f', now)),
        redis.call('ZCOUNT', index, '-inf', stale)}
""",
)

# SWEEP: return one page of the messages of one lapsed session, each counted as delivered once more.
#   KEYS[1..3], KEYS[5..6]; KEYS[4] is the prefix of the sessions' hashes.
#   ARGV: token and cursor that the call before returned ('' and 0 at first), page size, token of the caller.
#   Returns {token or '', cursor, handled}; '' when no session is left.  A session is marked (by the negative of its
#   deadline) with its first page, from when on its own heartbeat fails.
#   A tag claimed later than the deadline is another's: a Celery worker restored and took the message meanwhile.
SWEEP = Script(
    "sweep",
    _KEYS
    + _TIME
    + _BATCH
    + _FORGET
    + _ENVELOPE
    + """
local token, cursor = ARGV[1], ARGV[2]
if token == '' then
  local lapsed = redis.call('ZRANGEBYSCORE', sessions, '-inf', string.format('(%.6f', now), 'LIMIT', 0, 2)
  token, cursor = lapsed[lapsed[1] == ARGV[4] and 2 or 1], '0'
  if not token then return {'', '0', 0} end
end
local deadline = math.abs(tonumber(redis.call('ZSCORE', sessions, token) or now))
redis.call('ZADD', sessions, string.format('%.6f', -deadline), token)
held = KEYS[4] .. token
local page = redis.call('HSCAN', held, cursor, 'COUNT', ARGV[3])
local owned, foreign = {}, {}
for i = #page[2] - 1, 1, -2 do
  local tag, list = page[2][i], page[2][i + 1]
  local claimed = redis.call('ZSCORE', index, tag)
  if claimed and tonumber(claimed) > deadline then
    foreign[#foreign + 1] = tag
  else
    local text = envelope(redis.call('HGET', unacked, tag), tag)
    if text then
      redis.call('HINCRBY', deliveries, tag, 1)
      redis.call('RPUSH', list, mark(text))
    end
    owned[#owned + 1] = tag
  end
end
forget(owned, false)
batch('HDEL', held, foreign)
keep(deliveries)
if page[1] == '0' and redis.call('EXISTS', held) == 0 then
  redis.call('ZREM', sessions, token)
  return {'', '0', #owned + #foreign}
end
return {token, page[1], #owned + #foreign}
""",
)

# bound(bindings, exchange, key, separator): queues a routing key reaches, from the members of a binding set.
_ROUTE = """
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

# consumed(sessions, consumers): whether a live session of ours consumes a queue; forgets those that do not live.
_CONSUMED = """
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
    _TIME
    + _BATCH
    + _CONSUMED
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
    _ROUTE
    + _TIME
    + _CONSUMED
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

# RESTORE: return messages that a Celery worker claimed longer than the visibility timeout ago.
#   KEYS[1..3], KEYS[5..6]; KEYS[4] is the prefix of the sessions' hashes; KEYS[7] the stream of dead letters.
#   ARGV: visibility timeout in seconds, page size, key prefix, separator, prefix of the binding sets, steps.
#   What a live session of ours holds is refreshed instead; an entry that cannot be read becomes a dead letter.
#   Returns how many entries were handled; 0 when none is left.
RESTORE = Script(
    "restore",
    _KEYS
    + _TIME
    + _BATCH
    + _ENVELOPE
    + _ROUTE
    + """
local stale = string.format('(%.6f', now - tonumber(ARGV[1]))
local tags = redis.call('ZRANGEBYSCORE', index, '-inf', stale, 'LIMIT', 0, ARGV[2])
if #tags == 0 then return 0 end
local live = {}
for _, token in ipairs(redis.call('ZRANGEBYSCORE', sessions, now, '+inf')) do
  local owned = lookup(KEYS[4] .. token, tags)
  for i = 1, #tags do
    if owned[i] then live[tags[i]] = true end
  end
end
local function suffix(text)
  local priority, step = 0, 0
  for found in string.gmatch(text, '"priority"%s*:%s*(%d+)') do priority = tonumber(found) end
  for i = 6, #ARGV do
    if tonumber(ARGV[i]) <= priority then step = tonumber(ARGV[i]) end
  end
  return step == 0 and '' or ARGV[4] .. string.format('%d', step)
end
local function restore(tag, entry)
  local text, tail = split(entry)
  local readable, names = pcall(cjson.decode, '[' .. (tail or ''))
  if not text or not readable or type(names[1]) ~= 'string' or type(names[2]) ~= 'string' then
    redis.call('XADD', KEYS[7], '*', 'queue', '', 'reason', 'unreadable entry of ' .. unacked,
               'deliveries', 1, 'envelope', entry)
    return
  end
  local queues = names[1] == '' and {names[2]} or bound(ARGV[5] .. names[1], names[2], ARGV[4])
  -- The queue of a binding that was deleted usually has the name of its routing key.
  if #queues == 0 then queues = {names[2]} end
  redis.call('HINCRBY', deliveries, tag, 1)
  for _, queue in ipairs(queues) do
    redis.call('RPUSH', ARGV[3] .. queue .. suffix(text), mark(text))
  end
end
local entries, gone = lookup(unacked, tags), {}
for i = 1, #tags do
  if live[tags[i]] then
    redis.call('ZADD', index, string.format('%.6f', now), tags[i])
  else
    if entries[i] then restore(tags[i], entries[i]) end
    gone[#gone + 1] = tags[i]
  end
end
keep(deliveries)
if #gone > 0 then
  batch('HDEL', unacked, gone)
  batch('ZREM', index, gone)
end
return #tags
""",
)

# RELEASE: end a session that holds nothing any more.
#   KEYS[1..6].  ARGV: token.  Returns 1, or 0 when it still holds something, which its lease then covers.
RELEASE = Script(
    "release",
    _KEYS
    + """
if redis.call('EXISTS', held) == 1 then return 0 end
redis.call('ZREM', sessions, ARGV[1])
return 1
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
