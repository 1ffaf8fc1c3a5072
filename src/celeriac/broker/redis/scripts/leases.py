"""Sessions and their leases, and the return of what is held by those that fell silent."""

from __future__ import annotations

from celeriac.broker.redis.scripts.parts import BATCH, ENVELOPE, FORGET, KEYS, ROUTE, TIME, Script

# REGISTER: begin a session.
#   KEYS[3] sessions.  ARGV: token, lease in seconds.
REGISTER = Script(
    "register",
    KEYS
    + TIME
    + """
redis.call('ZADD', sessions, now + tonumber(ARGV[2]), ARGV[1])
return 1
""",
)

# HEARTBEAT: extend a session's lease.
#   KEYS[1..6].  ARGV: token, lease in seconds, 1 to refresh kombu's index of everything held, 0 of a small set only and
#   -1 of nothing, 1 to look for lapsed sessions and 2 for stale entries of kombu's index too, visibility timeout in
#   seconds.
#   Returns {0} when the session is not alive, else {1, lapsed sessions, stale entries of kombu's index}.
HEARTBEAT = Script(
    "heartbeat",
    KEYS
    + TIME
    + BATCH
    + """
local alive = redis.call('ZSCORE', sessions, ARGV[1])
if not alive or tonumber(alive) <= 0 then return {0} end
redis.call('ZADD', sessions, now + tonumber(ARGV[2]), ARGV[1])
local count = ARGV[3] == '-1' and 0 or redis.call('HLEN', held)
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
if ARGV[4] == '0' then return {1, 0, 0} end
local lapsed = redis.call('ZCOUNT', sessions, '-inf', string.format('(%.6f', now))
if ARGV[4] == '1' then return {1, lapsed, 0} end
return {1, lapsed, redis.call('ZCOUNT', index, '-inf', string.format('(%.6f', now - tonumber(ARGV[5])))}
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
    KEYS
    + TIME
    + BATCH
    + FORGET
    + ENVELOPE
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

# RESTORE: return messages that a Celery worker claimed longer than the visibility timeout ago.
#   KEYS[1..3], KEYS[5..6]; KEYS[4] is the prefix of the sessions' hashes; KEYS[7] the stream of dead letters.
#   ARGV: visibility timeout in seconds, page size, key prefix, separator, prefix of the binding sets, steps.
#   What a live session of ours holds is refreshed instead; an entry that cannot be read becomes a dead letter.
#   Returns how many entries were handled; 0 when none is left.
RESTORE = Script(
    "restore",
    KEYS
    + TIME
    + BATCH
    + ENVELOPE
    + ROUTE
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
    KEYS
    + """
if redis.call('EXISTS', held) == 1 then return 0 end
redis.call('ZREM', sessions, ARGV[1])
return 1
""",
)
