-- Ends an attempt: records what came of it, frees what the job held, tells the limiter.
-- KEYS: job, consumer lock, limit, in flight, counts, and that of a conversation that was opened
-- ARGV: owner, job id, verb (done or again), attempts, feedback, retry after ms, record ms,
--       outcome, routing key, count name, visit, cause, how soon it comes back in ms (empty: at
--       once), what it waits for
local job, lock, limit, in_flight, counts = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local owner, job_id, verb, attempts, feedback = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local retry_after_ms, record_ms = tonumber(ARGV[6]), ARGV[7]
local outcome, key, count, visit = ARGV[8], ARGV[9], ARGV[10], ARGV[11]
local cause, due_ms, waits_for = ARGV[12], ARGV[13], ARGV[14]
local now = clock()

local is = redis.call('HMGET', job, 'state', 'owner', 'history', 'outcome', 'key', 'permit')

redis.call('ZREM', in_flight, owner)
if feedback ~= '' then
  local account = recall(limit, now)
  blame(account, cause)
  if OPENS[feedback] then
    failed(account, now, owner, feedback)
  else
    answered(account)
    if feedback == 'throttled' then
      refused(account, now, is[2] == owner and is[6], retry_after_ms)
    else
      accepted(account, now)
    end
  end
  save(account, limit)
end

if is[1] == 'done' or is[1] == 'published' then
  return { 'replay', is[5], is[4] }
end
-- An id that was read from LivePerson's answer is worth more than whoever took the job over.
if is[2] ~= owner and not (verb == 'done' and count == 'created') then
  return { 'lost' }
end

if verb ~= 'done' then
  local history = is[3] or ''
  if attempts ~= '' then
    history = history == '' and attempts or history .. ',' .. attempts
    redis.call('HSET', job, 'history', history)
  end
  if visit ~= '' then
    redis.call('HSET', job, 'visit', visit)
  end
  redis.call('HSET', job, 'state', 'waiting')
  redis.call('HDEL', job, 'owner', 'lease', 'sending', 'permit', 'due', 'waits_for')
  if due_ms ~= '' then
    redis.call('HSET', job, 'due', string.format('%.3f', now + due_ms), 'waits_for', waits_for)
  end
  if feedback == 'credentials' or feedback == 'barred' then
    redis.call('HSET', job, 'refused_at', string.format('%.3f', now))
  end
  -- What may have opened a conversation keeps the consumer's other jobs from misreading it.
  local unknown = string.find(history, '"unknown"', 1, true)
  if not unknown and redis.call('GET', lock) == job_id then
    redis.call('DEL', lock)
  end
  return { 'ok' }
end

redis.call('HSET', job, 'state', 'done', 'outcome', outcome, 'key', key)
redis.call('HDEL', job, 'owner', 'lease', 'sending', 'permit', 'history', 'losses', 'sent', 'visit',
  'cancelled', 'due', 'waits_for', 'refused_at')
redis.call('PEXPIRE', job, record_ms)
if redis.call('GET', lock) == job_id then
  redis.call('DEL', lock)
end
if KEYS[6] then
  -- So that no other job of the consumer takes it for its own.
  redis.call('SET', KEYS[6], job_id, 'PX', record_ms)
end
redis.call('HINCRBY', counts, count, 1)
return { 'ok' }
