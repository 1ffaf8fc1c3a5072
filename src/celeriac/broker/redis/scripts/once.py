"""Publishing what a broker takes once: the scripts that publish, behind a look at what was taken last."""

from __future__ import annotations

from celeriac.broker.redis.scripts.parts import Script
from celeriac.broker.redis.scripts.queueing import DELAY, PUBLISH

# A day on which nothing at all is taken must not make a schedule forget; one that is gone is forgotten in a month.
_GUARD = """
local function act(KEYS, ARGV)
{script}
end
local taken, token, series, place = KEYS[#KEYS], ARGV[#ARGV - 2], ARGV[#ARGV - 1], ARGV[#ARGV]
local last = redis.call('HGET', taken, series)
if last then
  local colon = string.find(last, ':', 1, true)
  if string.sub(last, colon + 1) == place then return 1 end
  if tonumber(string.sub(last, 1, colon - 1)) > tonumber(token) then return -1 end
end
for _ = 1, 3 do table.remove(ARGV) end
table.remove(KEYS)
local reply = act(KEYS, ARGV)
if {dropped} then return reply end
redis.call('HSET', taken, series, token .. ':' .. place)
redis.call('EXPIRE', taken, 2592000)
return reply
"""


def _once(script: Script, dropped: str = "false") -> Script:
    """The script behind the guard.

    Its last key, after those of the script, is the hash of what was taken last, and its last arguments are token,
    series and place.  It returns what the script does, 1 for what was taken before, or -1 for what bears an old token.

    Args:
        script: The script.
        dropped: Whether it took nothing.
    """
    text = _GUARD.replace("{script}", script.text).replace("{dropped}", dropped)
    return Script(f"{script.name} once", text)


ONCE_DELAY = _once(DELAY)
ONCE_PUBLISH = _once(PUBLISH, "reply == 0")
# ARGV: any command.
ONCE_PUT = _once(Script("put", "return redis.call(unpack(ARGV))"))
