-- Returns the milliseconds of this server's clock, the only clock that counts.
local function clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000
end

-- Returns a recorded time, or nil if it is more than `most` ms ahead: then it was written before the
-- clock was set back. Every recorded time goes through this or `bring_near`.
local function credible(at, now, most)
  if at and at <= now + most then
    return at
  end
end

-- Moves the members of a sorted set that are more than `most` ms ahead to `most` ms from now.
local function bring_near(set, now, most)
  local due = string.format('%.3f', now + most)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', set, '(' .. due, '+inf')) do
    redis.call('ZADD', set, due, member)
  end
end
