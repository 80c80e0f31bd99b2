-- Notes of a job that nobody has yet until when it waits, and for what; the note outlives the wait.
-- KEYS: job; ARGV: how long it waits in ms, what it waits for, record ms
local job, ms = KEYS[1], tonumber(ARGV[1])
local now = clock()
local is = redis.call('HMGET', job, 'state', 'cancelled')
local state = is[1]
if state and state ~= 'waiting' then
  return 0
end
redis.call('HSETNX', job, 'seen', string.format('%.3f', now))
redis.call('HSET', job, 'state', 'waiting', 'due', string.format('%.3f', now + ms), 'waits_for', ARGV[2])
-- Never for less long than it is kept already.
keep(job, math.max(ms + ARGV[3], redis.call('PTTL', job)), false, is[2])
return 1
