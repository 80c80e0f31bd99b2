-- Has a job given up at its next attempt. Returns the state it was in, empty for one unseen.
-- KEYS: job
-- ARGV: record ms
local state = redis.call('HGET', KEYS[1], 'state')
if state == 'done' or state == 'published' then
  return state
end
redis.call('HSET', KEYS[1], 'cancelled', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return state or ''
