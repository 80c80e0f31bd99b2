-- Has a job given up at its next attempt. Returns the state it was in, empty for one unseen.
-- KEYS: job
-- ARGV: job id
local job, job_id = KEYS[1], ARGV[1]
local is = redis.call('HMGET', job, 'state', 'lock')
local state, lock = is[1], is[2]
if state == 'done' or state == 'published' then
  return state
end
redis.call('HSET', job, 'cancelled', 1)
keep(job, 0, false, true)
if state == 'waiting' and lock and locked_for(lock, clock()) == job_id then
  -- Whether its message comes or not: its consumer's other jobs need not wait for it.
  lock_for(lock, job_id, clock(), -OVERDUE_MS)
end
return state or ''
