-- Notes of a job that nobody has yet until when it waits, and for what; the note outlives the wait.
-- KEYS: job; ARGV: how long it waits in ms, what it waits for, record ms
local job, ms = KEYS[1], tonumber(ARGV[1])
local now = clock()
local state = redis.call('HGET', job, 'state')
if state and state ~= 'waiting' then
  return 0
end
redis.call('HSETNX', job, 'seen', string.format('%.3f', now))
redis.call('HSET', job, 'state', 'waiting', 'due', string.format('%.3f', now + ms), 'waits_for', ARGV[2])
local life = string.format('%d', ms + ARGV[3])
if redis.call('PTTL', job) < tonumber(life) then
  redis.call('PEXPIRE', job, life)
end
return 1
