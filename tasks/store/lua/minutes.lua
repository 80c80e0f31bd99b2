-- Counts how an account's jobs ended in each minute, for the console: one hash a minute, with the names
-- of the account's counts, which also begin its own name. It says nothing of anybody.
local MINUTE_MS = 60000
-- The hour that is shown, and some minutes for whoever reads it.
local MINUTES_MS = 65 * MINUTE_MS
local ended_in = {}

local function count_minute(counts, counter, now)
  local minute = string.format('%s:%d', counts, math.floor(now / MINUTE_MS))
  local found = ended_in[minute]
  if not found then
    found = {}
    ended_in[minute] = found
  end
  found[counter] = (found[counter] or 0) + 1
end

-- Writes what all calls of a run have counted (together.lua). Foreign data under such a name ends none.
local function write_minutes()
  for minute, found in pairs(ended_in) do
    for counter, count in pairs(found) do
      if redis.pcall('HINCRBY', minute, counter, count) == count then
        redis.pcall('PEXPIRE', minute, MINUTES_MS)
      end
    end
  end
end
