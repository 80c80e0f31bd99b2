-- Notes of a job that nobody has yet until when it waits, and for what; the note outlives the wait.
-- KEYS: job; ARGV: how long it waits in ms, what it waits for, record ms
local job, ms, waits_for, record_ms = KEYS[1], tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local now = clock()
local is = redis.call('HMGET', job, 'state', 'history', 'cancelled')
if is[1] and is[1] ~= 'waiting' then
  return 0
end
local left = redis.call('PTTL', job)
redis.call('HSETNX', job, 'seen', string.format('%.3f', now))
redis.call('HSET', job, 'state', 'waiting', 'due', string.format('%.3f', now + ms), 'waits_for', waits_for)
keep(job, math.max(left, ms + record_ms), is_unknown(is[2] or ''), is[3])
return 1
