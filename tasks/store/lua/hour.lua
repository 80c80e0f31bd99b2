-- Returns the minute of this server's clock, counted from 1970, and how jobs ended in the last minutes
-- (minutes.lua), the oldest first.
-- KEYS: counts
-- ARGV: how many minutes, with the one that is not over
local minute = math.floor(clock() / 60000)
local found = {}
for at = minute - tonumber(ARGV[1]) + 1, minute do
  found[#found + 1] = redis.call('HGETALL', string.format('%s:%d', KEYS[1], at))
end
return { minute, found }
