-- What is counted of the jobs that share a submissionId, and what holds for all of them: a hash.
-- `jobs` counts those that workers have seen, the others bear the names of the account's counts.

-- Jobs of a submission with a pace may be so much ahead of it, in ms: brokers delay by the second.
local AHEAD_MS = 1000
-- Ids of ended jobs are kept by the day, so that they go as the ledger's records of them do.
local DAY_MS = 86400000

-- Keeps a tally for so long at least, and lists it until then; that of a cancelled submission stays
-- until it is resumed, since nobody knows when the last of its messages comes.
local function keep_tally(tally, submissions, submission, now, ms)
  if redis.call('PTTL', tally) < 0.9 * ms and redis.call('HEXISTS', tally, 'cancelled') == 0 then
    redis.call('PEXPIRE', tally, string.format('%d', ms))
    redis.call('ZREMRANGEBYSCORE', submissions, '-inf', string.format('%d', now))
    redis.call('ZADD', submissions, string.format('%d', now + ms), submission)
  end
end

-- A worker sees a job for the first time.
local function count_seen(tally, submissions, submission, now, ms)
  if submission == '' then
    return
  end
  if redis.call('HINCRBY', tally, 'jobs', 1) == 1 then
    redis.call('HSET', tally, 'begun', string.format('%d', now))
  end
  keep_tally(tally, submissions, submission, now, ms)
end

local function count_ended(tally, submissions, submission, ended, job_id, count, now, ms)
  if submission == '' then
    return
  end
  redis.call('HINCRBY', tally, count, 1)
  keep_tally(tally, submissions, submission, now, ms)
  if redis.call('RPUSH', ended, job_id) == 1 then
    redis.call('PEXPIRE', ended, string.format('%d', ms + DAY_MS))
  end
end

-- Reads what holds for a submission's jobs now.
local function read_marks(tally, submission, now)
  if submission == '' then
    return {}
  end
  local is = redis.call('HMGET', tally, 'cancelled', 'rate', 'pace', 'line', 'paced_at')
  local marks = {
    cancelled = is[1], rate = tonumber(is[2]),
    pace = tonumber(is[3] or 0), line = tonumber(is[4] or 0),
  }
  -- Where the clock was set back, these go back with it.
  local back = tonumber(is[5] or 0) - now
  if back > 0 then
    marks.pace, marks.line = marks.pace - back, marks.line - back
    redis.call('HSET', tally, 'pace', string.format('%.3f', marks.pace),
      'line', string.format('%.3f', marks.line), 'paced_at', string.format('%.3f', now))
  end
  return marks
end

-- Returns how long a job waits in the broker for its submission's pace, in ms; nil if it may go.
-- Jobs that wait come back one by one, in a line as long as there are any.
local function paced(tally, marks, now)
  if not marks.rate or marks.pace <= now + AHEAD_MS then
    return nil
  end
  local due = math.max(marks.line, marks.pace)
  redis.call('HSET', tally, 'line', string.format('%.3f', due + 1000 / marks.rate),
    'paced_at', string.format('%.3f', now))
  return due - now
end

local function keep_pace(tally, marks, now)
  if marks.rate then
    redis.call('HSET', tally, 'pace', string.format('%.3f', math.max(marks.pace, now) + 1000 / marks.rate),
      'paced_at', string.format('%.3f', now))
  end
end
