-- Ends an attempt: records what came of it, frees what the job held, tells the limiter.
-- The store may have been emptied since the attempt began: what it then lacks is in the arguments.
-- KEYS: job, consumer lock, limit, in flight, counts, the consumer's jobs in doubt, the submission's
--       tally, the account's submissions, the submission's jobs that ended today, and the note of
--       a conversation that was opened
-- ARGV: owner, job id, verb (done or again), attempts, feedback, retry after ms, record ms,
--       outcome, routing key, count name, visit, digest, earlier attempts, due back in ms, rate, cap,
--       cause, what it waits for, the outcome's trace context (JSON) or '', submission
local job, lock, limit, in_flight, counts = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local doubts, tally, submissions, ended, conversation = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local owner, job_id, verb, attempts, feedback = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local retry_after_ms, record_ms = tonumber(ARGV[6]), tonumber(ARGV[7])
local outcome, key, count, visit = ARGV[8], ARGV[9], ARGV[10], ARGV[11]
local digest, earlier, due_ms = ARGV[12], ARGV[13], tonumber(ARGV[14])
local rate, cap = tonumber(ARGV[15]), tonumber(ARGV[16])
local cause, waits_for, trace, submission = ARGV[17], ARGV[18], ARGV[19], ARGV[20]
local now = clock()

local is = redis.call('HMGET', job, 'state', 'owner', 'history', 'outcome', 'key', 'permit',
  'cancelled', 'trace')
local is_forgotten = not is[1]
local note = '' -- what the limiter learned, as JSON

redis.call('ZREM', in_flight, owner)
if feedback ~= '' then
  local account = recall(limit, now)
  if not rate_ceiling(account) then
    give(account, rate, cap)
  end
  blame(account, cause)
  if OPENS[feedback] then
    failed(account, now, owner, feedback)
  else
    answered(account)
    if feedback == 'throttled' then
      refused(account, now, is[2] == owner and is[6], retry_after_ms)
    else
      accepted(account, now, is[2] == owner and is[6])
    end
    note = account.note and cjson.encode(account.note) or ''
  end
  save(account, limit)
end

if is[1] == 'done' or is[1] == 'published' then
  return { 'replay', is[5], is[4], is[8] or '' }
end
-- An id that was read from LivePerson's answer is worth more than whoever took the job over.
local is_ours = is[2] == owner or is_forgotten
if not is_ours and not (verb == 'done' and count == 'created') then
  return { 'lost' }
end
if is_forgotten then
  redis.call('HSET', job, 'digest', digest, 'seen', string.format('%.3f', now))
  count_seen(tally, submissions, submission, now, record_ms)
end

if verb ~= 'done' then
  local history = is_forgotten and earlier or is[3] or ''
  if attempts ~= '' then
    history = history == '' and attempts or history .. ',' .. attempts
  end
  if visit ~= '' then
    redis.call('HSET', job, 'visit', visit)
  end
  local unknown, first = is_unknown(history), locked_for(lock, now)
  redis.call('HSET', job, 'state', 'waiting', 'history', history)
  redis.call('HDEL', job, 'owner', 'lease', 'sending', 'permit', 'due', 'waits_for')
  if waits_for ~= '' then
    redis.call('HSET', job, 'due', string.format('%.3f', now + due_ms), 'waits_for', waits_for)
  end
  if feedback == 'credentials' or feedback == 'barred' then
    redis.call('HSET', job, 'refused_at', string.format('%.3f', now))
  end
  keep(job, record_ms + due_ms, unknown, is[7])
  -- What may have opened a conversation keeps the consumer's other jobs from misreading it.
  if unknown and (not first or first == job_id) then
    lock_for(lock, job_id, now, due_ms)
    redis.call('HSET', job, 'lock', lock)
  elseif first == job_id then
    redis.call('DEL', lock)
  end
  return { 'ok', note }
end

redis.call('HSET', job, 'state', 'done', 'outcome', outcome, 'key', key)
if trace ~= '' then
  redis.call('HSET', job, 'trace', trace)
end
redis.call('HDEL', job, 'owner', 'lease', 'sending', 'permit', 'history', 'losses', 'sent', 'visit',
  'cancelled', 'lock', 'due', 'waits_for', 'refused_at')
redis.call('PEXPIRE', job, record_ms)
if locked_for(lock, now) == job_id then
  redis.call('DEL', lock)
end
if conversation then
  -- So that no other job of the consumer takes it for its own.
  redis.call('SET', conversation, job_id, 'PX', record_ms)
end
if count == 'failed:in_doubt' then
  redis.call('SADD', doubts, job_id)
  redis.call('PEXPIRE', doubts, record_ms)
else
  redis.call('SREM', doubts, job_id)
end
redis.call('HINCRBY', counts, count, 1)
count_ended(tally, submissions, submission, ended, job_id, count, now, record_ms)
return { 'ok', note }
