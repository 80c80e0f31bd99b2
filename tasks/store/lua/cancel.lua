-- Marks a job to be given up at its next attempt. Returns its state, empty if no worker has seen it.
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
  -- Its message may never come again: the consumer's other jobs need not wait for it.
  lock_for(is.lock, job_id, clock(), -OVERDUE_MS)
end
return is.state or ''
