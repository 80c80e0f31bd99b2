-- Ends an attempt: records its result, releases claim, lock and permit, and informs the limiter.
-- Joined after the limiter's scripts, minutes.lua, record.lua, submission.lua and opened.lua (tasks/store/ledger.py).
-- The store may have lost its memory since the attempt began: all that is needed is in the arguments.
-- KEYS: job, consumer lock, limit, in flight, counts, the consumer's jobs in doubt, the submission's
--       tally, the account's submissions, the submission's jobs that ended today, the account's notes
--       of consumers, and those of conversations where one was opened
-- ARGV: a JSON object, the packed outcome, the name of the consumer's note of the job, and a
--       conversation's name and job in the notes; of
--   owner, job_id, digest, submission
--   verb: done, or again
--   attempts, earlier: the new attempts, and those before
--   feedback, cause, retry_after_ms, rate, cap: for the limiter
--   record_ms
--   counter: the outcome's counter
--   visit, due_ms, waits_for: for the next attempt
local job, lock, limit, in_flight, counts = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local doubts, tally, submissions, ended = KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local consumers, opened = KEYS[10], KEYS[11]
local tell = cjson.decode(ARGV[1])
local owner, job_id, feedback, submission = tell.owner, tell.job_id, tell.feedback, tell.submission
local counter, record_ms, due_ms = tell.counter, tell.record_ms, tell.due_ms
local now = clock()

local is, replay = read_job(job)
local is_forgotten = not is.state
local note = '' -- what the limiter learned, as JSON

redis.call('ZREM', in_flight, owner)
if feedback ~= '' then
  local account = recall(limit, now)
  if not rate_ceiling(account) then
    give(account, tell.rate, tell.cap)
  end
  blame(account, tell.cause)
  if OPENS[feedback] then
    failed(account, now, owner, feedback)
  else
    answered(account)
    if feedback == 'throttled' then
      refused(account, now, is.owner == owner and is.permit, tell.retry_after_ms)
    else
      accepted(account, now, is.owner == owner and is.permit)
    end
    note = account.note and cjson.encode(account.note) or ''
  end
  save(account, limit)
end

if replay then
  return replay
end
-- A conversation that was opened counts, even if another delivery has taken the job over.
local is_ours = is.owner == owner or is_forgotten
if not is_ours and not (tell.verb == 'done' and counter == 'created') then
  return { 'lost' }
end
if is_forgotten then
  is.digest, is.seen = tell.digest, math.floor(now)
  count_seen(tally, submissions, submission, now, record_ms)
end

if tell.verb ~= 'done' then
  local history = is_forgotten and tell.earlier or is.history or ''
  if tell.attempts ~= '' then
    history = history == '' and tell.attempts or history .. ',' .. tell.attempts
  end
  if tell.visit ~= '' then
    is.visit = tell.visit
  end
  local unknown, first = is_unknown(history), locked_for(lock, now)
  is.state, is.history = 'waiting', history
  is.owner, is.lease, is.sending, is.permit, is.due, is.waits_for = nil, nil, nil, nil, nil, nil
  if tell.waits_for ~= '' then
    is.due, is.waits_for = math.floor(now + due_ms), tell.waits_for
  end
  if feedback == 'credentials' or feedback == 'barred' then
    is.refused_at = math.ceil(now)
  end
  -- A job that may have opened a conversation keeps the lock: no other job may take that for its own.
  if unknown and (not first or first == job_id) then
    lock_for(lock, job_id, now, due_ms)
    is.lock = lock
  elseif first == job_id then
    redis.call('DEL', lock)
  end
  write_job(job, is, record_ms + due_ms, unknown)
  return { 'ok', note }
end

write_outcome(job, ARGV[2], is.seen or now, record_ms)
if locked_for(lock, now) == job_id then
  redis.call('DEL', lock)
end
if opened then
  -- So that no other job of the consumer takes the conversation for its own.
  note_opened(opened, ARGV[4], ARGV[5], now, record_ms)
end
if math.floor((is.seen or now) / DAY_MS) ~= math.floor(now / DAY_MS) then
  -- The note of the day on which it was first seen may expire before its record does.
  note_opened(consumers, ARGV[3], '', now, record_ms)
end
if counter == 'failed:in_doubt' then
  redis.call('SADD', doubts, job_id)
  redis.call('PEXPIRE', doubts, record_ms)
else
  redis.call('SREM', doubts, job_id)
end
redis.call('HINCRBY', counts, counter, 1)
count_minute(counts, counter, now)
count_ended(tally, submissions, submission, ended, job_id, counter, now, record_ms)
return { 'ok', note }
