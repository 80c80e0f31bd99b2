-- Begins (or goes on with) a job: claim, consumer lock, permit and "sending" in one step.
-- KEYS: job, consumer lock, limit, in flight, the consumer's jobs in doubt, the submission's tally,
--       the account's submissions, what is paused, and the consumer's visit where the job goes on
--       with it
-- ARGV: owner, digest, job id, what for (claim, prepare: claim unless paused, send, or fail: it
--       could not be made ready), rate, cap, booked slot, dead owner, flight ms, lease ms, record ms,
--       time of the attempt (RFC 3339), how long the caller waits at most in ms, how many workers
--       may be lost with the job, repeat after an unknown outcome?, visit, submission
local job, lock, limit, in_flight, doubts = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local tally, submissions, paused, visits = KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local owner, digest, job_id, purpose = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local rate, cap, slot, dead = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]
local flight_ms, lease_ms, record_ms = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local at, patience = ARGV[12], tonumber(ARGV[13])
local max_losses, repeat_unknown, visit = tonumber(ARGV[14]), ARGV[15] == '1', ARGV[16]
local submission = ARGV[17]
local now = clock()

local BUSY_MS = 2000 -- when to ask again while another job of the consumer is under way
local VISIT_MS = 86400000 -- a visit is kept for so long; one that is over sooner begins anew

local is = redis.call('HMGET', job, 'digest', 'state', 'owner', 'lease', 'outcome', 'key',
  'history', 'seen', 'losses', 'cancelled', 'sending', 'sent', 'visit', 'refused_at', 'trace')
local state, holder = is[2], is[3]

if is[1] and is[1] ~= digest then
  if submission ~= '' then
    count_seen(tally, submissions, submission, now, record_ms)
    redis.call('HINCRBY', tally, 'failed:conflict', 1)
  end
  return { 'conflict' }
end
if state == 'done' or state == 'published' then
  return { 'replay', is[6], is[5], is[15] or '' }
end
local lease = tonumber(is[4] or 0)
if not credible(lease, now, lease_ms) then
  -- The clock was set back: its holder, who may be alive, has as long as for a new one.
  lease = now + lease_ms
  redis.call('HSET', job, 'lease', string.format('%.3f', lease))
end
if holder and holder ~= owner and holder ~= dead and lease > now then
  return { 'held', holder }
end

local history, losses = is[7] or '', tonumber(is[9] or 0)
local seen, sent = is[8] or string.format('%.3f', now), tonumber(is[12] or 0)
-- Whether a conversation may be open that another job of the consumer opened, and nobody knows of.
local in_doubt = redis.call('SCARD', doubts)
local is_doubted = in_doubt > 0 and in_doubt > redis.call('SISMEMBER', doubts, job_id) and 1 or 0
local pause, is_general
if purpose ~= 'claim' then
  pause, is_general = paused_by(paused, submission)
end
if state == 'sending' and holder == owner then
  -- It may send since it asked before; that answer was lost on its way.
  if not pause then
    return { 'go', { seen, history, sent, losses, is[13] or '', is_doubted, 0, 0 } }
  end
  sent = sent - 1
  redis.call('ZREM', in_flight, owner)
  redis.call('HDEL', job, 'sending', 'permit')
  redis.call('HSET', job, 'sent', sent)
  if locked_for(lock, now) == job_id and not is_unknown(history) then
    redis.call('DEL', lock)
  end
end
if holder and holder ~= owner then
  -- Whoever held the job is gone. What it may have sent has an unknown fate.
  losses = losses + 1
  redis.call('ZREM', in_flight, holder)
  local account = recall(limit, now)
  go_on_trying(account, now, holder)
  save(account, limit)
  if is[11] then
    local lost = string.format('{"at":"%s","httpStatus":null,'
      .. '"cause":"the worker was lost before it had an answer","outcome":"unknown"}', is[11])
    history = history == '' and lost or history .. ',' .. lost
    redis.call('HDEL', job, 'sending')
  end
end
if not is[8] then
  count_seen(tally, submissions, submission, now, record_ms)
end
local marks = read_marks(tally, submission, now)
redis.call('HSET', job, 'digest', digest, 'state', 'claimed', 'owner', owner, 'seen', seen,
  'lease', string.format('%.3f', now + lease_ms), 'history', history, 'losses', losses)
keep(job, record_ms, is_unknown(history), is[10])

if visit ~= '' then
  redis.call('HSET', job, 'visit', visit)
  if visits then
    redis.call('SET', visits, visit, 'PX', VISIT_MS)
  end
else
  visit = is[13] or visits and redis.call('GET', visits) or ''
end

local facts = { seen, history, sent, losses, visit, is_doubted, 0, 0 }
if is[10] or marks.cancelled then
  return { 'cancelled', facts }
end

-- The job goes back to the broker, so nobody holds it.
local function hand_back(account, first, ms, why, cause)
  redis.call('HDEL', job, 'owner', 'lease')
  redis.call('HSET', job, 'state', 'waiting', 'due', string.format('%.3f', now + ms), 'waits_for', why)
  if first == job_id then
    lock_for(lock, job_id, now, ms)
  end
  save(account, limit)
  return { 'defer', tostring(ms), why, cause or cause_of(account, why) }
end

if pause then
  local first = locked_for(lock, now)
  if is_general and patience >= PAUSED_MS then
    if first == job_id then
      lock_for(lock, job_id, now, lease_ms)
    end
    return { 'wait', tostring(PAUSED_MS), '0', 'paused', pause }
  end
  -- This is no call: what was learned is forgotten after as long as without it.
  local account = open(limit)
  keep_up(account, now)
  give(account, rate, cap)
  go_on_trying(account, now, owner)
  return hand_back(account, first, queue_up(account, now, PARKED_MS, 'parked'), 'paused', pause)
end

local may_not_repeat = not repeat_unknown and is_unknown(history)
local unresolved = string.find(history, '"unresolved"}$') -- to be looked for, not sent

-- Whether others of the account were accepted since the job was refused.
local function is_alone(flow_at)
  return is[14] and flow_at and flow_at > tonumber(is[14]) and 1 or 0
end

if unresolved then
  facts[7] = is_alone(tonumber(redis.call('HGET', limit, 'flow_at')))
end
if purpose == 'claim' or purpose == 'prepare' or losses > max_losses or may_not_repeat or unresolved then
  return { 'claimed', facts }
end

local first, is_overdue = locked_for(lock, now)
if first == job_id then
  lock_for(lock, job_id, now, lease_ms)
end

local account = recall(limit, now)
give(account, rate, cap)
go_on_trying(account, now, owner)
facts[7] = is_alone(account.flow_at)

if purpose == 'fail' then
  local shut = blocked(account, now)
  if shut then
    return hand_back(account, first, queue_up(account, now, shut), shut_by(account))
  end
  facts[8] = probe(account, now, owner, flight_ms) and 1 or 0
  save(account, limit)
  return { 'claimed', facts }
end

if first and first ~= job_id and not is_overdue then
  return hand_back(account, first, BUSY_MS, 'consumer')
end
local ahead = paced(tally, marks, now)
if ahead then
  keep(job, record_ms + ahead, is_unknown(history), is[10])
  return hand_back(account, first, ahead, 'pace')
end
bring_near(in_flight, now, flight_ms)
local wait = permit(account, in_flight, now, slot, patience)
if wait then
  -- What waits for credentials comes back, so that it is sent with a token got for the new ones.
  if wait[1] > patience or wait[3] == 'credentials' then
    return hand_back(account, first, queue_up(account, now, wait[1]), wait[3])
  end
  save(account, limit)
  return { 'wait', tostring(wait[1]), tostring(wait[2]), wait[3], cause_of(account, wait[3]) }
end

if first and first ~= job_id then
  -- It may come back yet, and what it sent may have opened a conversation.
  redis.call('SADD', doubts, first)
  redis.call('PEXPIRE', doubts, record_ms)
  facts[6] = 1
end
-- The attempt is written down before the request leaves.
facts[3] = sent + 1
local refused_before = string.find(string.match(history, '{[^{}]*}$') or '', '"throttled"', 1, true)
local permit_record = depart(account, in_flight, now, owner, flight_ms, refused_before)
facts[8] = probe(account, now, owner, flight_ms) and 1 or 0
save(account, limit)
keep_pace(tally, marks, now)
redis.call('HSET', job, 'state', 'sending', 'sending', at, 'sent', sent + 1, 'permit', permit_record)
keep(job, record_ms, true, is[10])
lock_for(lock, job_id, now, flight_ms)
return { 'go', facts }
