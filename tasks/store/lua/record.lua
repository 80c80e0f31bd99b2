-- How long the ledger keeps what it knows of a job without an outcome, and a consumer for that job.

-- What may have opened a conversation is remembered for as long as its message can be away: a year.
local UNKNOWN_MS = 366 * 86400000
-- A job that is so much later than it was due may never come again: its consumer waits no longer.
local OVERDUE_MS = 60000

local function is_unknown(history)
  return string.find(history, '"unknown"', 1, true)
end

-- Keeps a record; what was cancelled stays so until its message comes, however late that is.
local function keep(job, ms, may_be_sent, is_cancelled)
  if is_cancelled then
    redis.call('PERSIST', job)
  else
    redis.call('PEXPIRE', job, string.format('%d', may_be_sent and math.max(ms, UNKNOWN_MS) or ms))
  end
end

-- Notes until when a job waits that nobody has, and for what; the note outlives the wait.
-- Returns whether the job is seen for the first time.
local function note_wait(job, now, ms, waits_for, record_ms)
  local is = redis.call('HMGET', job, 'state', 'history', 'cancelled')
  if is[1] and is[1] ~= 'waiting' then
    return false
  end
  local left = redis.call('PTTL', job)
  local is_new = redis.call('HSETNX', job, 'seen', string.format('%.3f', now)) == 1
  redis.call('HSET', job, 'state', 'waiting', 'due', string.format('%.3f', now + ms), 'waits_for', waits_for)
  keep(job, math.max(left, ms + record_ms), is_unknown(is[2] or ''), is[3])
  return is_new
end

-- A consumer's lock is "<since> <until> <job id>". After `until` another job may take it.
local function lock_for(lock, job_id, now, ms)
  local value = string.format('%d %d %s', now, now + ms + OVERDUE_MS, job_id)
  redis.call('SET', lock, value, 'PX', UNKNOWN_MS)
end

-- Returns for which job a consumer is locked, and whether that job is overdue.
local function locked_for(lock, now)
  local value = redis.call('GET', lock)
  if not value then
    return nil
  end
  local since, ends, holder = string.match(value, '^(%d+) (%d+) (.*)$')
  if not since then
    return value, false -- as it was written before it held times
  end
  since, ends = tonumber(since), tonumber(ends)
  if not credible(since, now, 1) then
    -- The clock was set back: what was left then begins now.
    ends = now + ends - since
    redis.call('SET', lock, string.format('%d %d %s', now, ends, holder), 'KEEPTTL')
  end
  return holder, ends <= now
end
