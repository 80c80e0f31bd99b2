-- Has a job given up at its next attempt. Returns the state it was in, empty for one unseen.
-- KEYS: job, its old record
-- ARGV: job id
local job, job_id = KEYS[1], ARGV[1]
local is, ended = read_job(job, KEYS[2])
if ended then
  return is.state
end
is.cancelled = 1
write_job(job, is)
if is.state == 'waiting' and is.lock and locked_for(is.lock, clock()) == job_id then
  -- Whether its message comes or not: its consumer's other jobs need not wait for it.
  lock_for(is.lock, job_id, clock(), -OVERDUE_MS)
end
return is.state or ''
