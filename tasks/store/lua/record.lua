-- Reads and writes the ledger's record of a job, and the lock of a consumer.
--
-- The record of a job in progress is a JSON object. That of a finished job is packed by the worker
-- (tasks/store/finished.py); its first byte is its state, the next six say when it was first seen.

-- How long a job that may have opened a conversation is kept: a message can be away for a year.
local UNKNOWN_MS = 366 * 86400000
-- A job this much later than it was due may never come again: its consumer waits no longer.
local OVERDUE_MS = 60000
local DIGITS = 24 -- of the job's digest are kept

local function is_unknown(history)
  return string.find(history, '"unknown"', 1, true)
end

-- Reads a record of older versions: a hash of texts, with another key.
local function read_old(old)
  local values = redis.call('HGETALL', old)
  local is = {}
  for at = 1, #values, 2 do
    is[values[at]] = values[at + 1]
  end
  for _, name in ipairs({ 'seen', 'lease', 'losses', 'sent', 'due', 'refused_at' }) do
    is[name] = tonumber(is[name])
  end
  is.digest = is.digest and string.sub(is.digest, 1, DIGITS)
  is.old = old
  if is.state == 'done' or is.state == 'published' then
    return is, { 'recorded', '', is.key, is.outcome, is.trace or '' }
  end
  return is
end

-- Returns a job's record, empty if it is unknown, and the answer to give if it has its outcome.
local function read_job(job, old)
  local value = redis.call('GET', job)
  if not value then
    if old and redis.call('EXISTS', old) == 1 then
      return read_old(old)
    end
    return {}
  end
  local first = string.byte(value)
  if first == 123 then -- {
    local is = cjson.decode(value)
    return is, is.state == 'forgotten' and { 'forgotten' } or nil
  end
  local seen, digest = 0, ''
  for at = 2, 7 do
    seen = seen * 256 + string.byte(value, at)
  end
  for at = 8, 7 + DIGITS / 2 do
    digest = digest .. string.format('%02x', string.byte(value, at))
  end
  local is = { state = first == 100 and 'done' or 'published', seen = seen, digest = digest }
  return is, { 'recorded', value }
end

-- Writes the record of a job in progress, to be kept for `ms`, or as long as before. A cancelled job
-- is kept until its message comes, however late that is.
local function write_job(job, is, ms, may_be_sent)
  local old = is.old
  if old then
    is.old = nil
    ms = ms or math.max(1, redis.call('PTTL', old))
    redis.call('DEL', old)
  end
  local value = cjson.encode(is)
  if is.cancelled then
    redis.call('SET', job, value)
  elseif ms then
    redis.call('SET', job, value, 'PX', string.format('%d', may_be_sent and math.max(ms, UNKNOWN_MS) or ms))
  else
    redis.call('SET', job, value, 'KEEPTTL')
  end
end

-- Writes the record of a job that has its outcome; `packed` begins with its digest.
local function write_outcome(job, packed, seen, ms)
  seen = math.floor(seen)
  local head = string.char(100, math.floor(seen / 2 ^ 40) % 256, math.floor(seen / 2 ^ 32) % 256,
    math.floor(seen / 2 ^ 24) % 256, math.floor(seen / 65536) % 256, math.floor(seen / 256) % 256, seen % 256)
  redis.call('SET', job, head .. packed, 'PX', ms)
end

-- Records until when a job without a delivery waits, and for what. Returns whether it is a new job.
local function note_wait(job, old, now, ms, waits_for, record_ms)
  local is = read_job(job, old)
  if is.state and is.state ~= 'waiting' then
    return false
  end
  local left, is_new = redis.call('PTTL', is.old or job), not is.seen
  is.seen = is.seen or math.floor(now)
  is.state, is.due, is.waits_for = 'waiting', math.floor(now + ms), waits_for
  write_job(job, is, math.max(left, ms + record_ms), is_unknown(is.history or ''))
  return is_new
end

-- A consumer's lock is "<since> <until> <job id>". After `until` another job may take it.
local function lock_for(lock, job_id, now, ms)
  local value = string.format('%d %d %s', now, now + ms + OVERDUE_MS, job_id)
  redis.call('SET', lock, value, 'PX', UNKNOWN_MS)
end

-- Returns the job that has a consumer's lock, and whether it is overdue.
local function locked_for(lock, now)
  local value = redis.call('GET', lock)
  if not value then
    return nil
  end
  local since, ends, holder = string.match(value, '^(%d+) (%d+) (.*)$')
  if not since then
    return value, false -- of an older version, without times
  end
  since, ends = tonumber(since), tonumber(ends)
  if not credible(since, now, 1) then
    -- The clock was set back: the lock's time begins again.
    ends = now + ends - since
    redis.call('SET', lock, string.format('%d %d %s', now, ends, holder), 'KEEPTTL')
  end
  return holder, ends <= now
end
