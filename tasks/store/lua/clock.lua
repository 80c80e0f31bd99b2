-- Milliseconds of this server's clock: no worker's clock counts.
local function clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000
end

-- The one rule for absolute times: one that lies further ahead than its own rule can put it, `most`
-- ms from now, was written before the clock was set back. It is void, and nil is returned.
local function credible(at, now, most)
  if at and at <= now + most then
    return at
  end
end

-- The same for the members of a sorted set: each is brought to where its rule puts it from now.
local function bring_near(set, now, most)
  local due = string.format('%.3f', now + most)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', set, '(' .. due, '+inf')) do
    redis.call('ZADD', set, due, member)
  end
end
