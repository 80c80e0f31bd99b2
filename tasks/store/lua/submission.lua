-- The tally of a submission, a hash: counts of its jobs, and what applies to all of them. `jobs` counts
-- those that workers have seen; the other counts have the names of the account's counts.

-- How far ahead of its submission's pace a job may be sent: brokers delay by whole seconds.
local AHEAD_MS = 1000
-- The ids of ended jobs are kept in a list for each day, which expires with the jobs' records.
local DAY_MS = 86400000

-- Keeps a tally, and lists it, for at least `ms`. That of a cancelled submission is kept until it is
-- resumed, since nobody knows when the last of its messages comes.
local function keep_tally(tally, submissions, submission, now, ms)
  if redis.call('PTTL', tally) < 0.9 * ms and redis.call('HEXISTS', tally, 'cancelled') == 0 then
    redis.call('PEXPIRE', tally, string.format('%d', ms))
    redis.call('ZREMRANGEBYSCORE', submissions, '-inf', string.format('%d', now))
    redis.call('ZADD', submissions, string.format('%d', now + ms), submission)
  end
end

-- Counts a job that a worker sees for the first time.
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

-- Returns what applies to all jobs of a submission.
local function read_marks(tally, submission, now)
  if submission == '' then
    return {}
  end
  local is = redis.call('HMGET', tally, 'cancelled', 'rate', 'pace', 'line', 'paced_at')
  local marks = {
    cancelled = is[1], rate = tonumber(is[2]),
    pace = tonumber(is[3] or 0), line = tonumber(is[4] or 0),
  }
  -- If the clock was set back, these times are moved back with it.
  local back = tonumber(is[5] or 0) - now
  if back > 0 then
    marks.pace, marks.line = marks.pace - back, marks.line - back
    redis.call('HSET', tally, 'pace', string.format('%.3f', marks.pace),
      'line', string.format('%.3f', marks.line), 'paced_at', string.format('%.3f', now))
  end
  return marks
end

-- Returns how long a job waits in the broker for its submission's pace, in ms; nil if it may be sent.
-- Waiting jobs come back one by one, at that pace.
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
