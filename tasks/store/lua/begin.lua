-- Begins a job, or goes on with it: claim, consumer lock, permit and "sending" in one step.
-- Joined after the limiter's scripts, record.lua, submission.lua and opened.lua (tasks/store/ledger.py).
-- KEYS: job, its old record, consumer lock, limit, in flight, the consumer's jobs in doubt, the
--       submission's tally, the account's submissions, what is paused, the account's notes of
--       consumers, and the consumer's visit where the job goes on with it
-- ARGV: a JSON object, and the name of the consumer's note of the job; of
--   owner, digest, job_id, submission
--   purpose: claim, prepare (claim, unless paused or put off for the submission's pace), send, or
--     fail (preparing the request failed)
--   dead: an owner whose worker is gone
--   at: the time of the attempt (RFC 3339)
--   rate, cap, booked: the account's ceilings, and the time that was booked for it
--   flight_ms, lease_ms, record_ms
--   patience: how long the caller waits at most, in ms
--   ahead: how far ahead a time may be booked, in ms
--   max_losses: how many workers may be lost with the job
--   repeat_unknown: may it be sent again after an attempt of unknown fate?
--   visit
local job, lock, limit, in_flight, doubts = KEYS[1], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local tally, submissions, paused, consumers, visits = KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11]
local ask = cjson.decode(ARGV[1])
local owner, job_id, submission, purpose = ask.owner, ask.job_id, ask.submission, ask.purpose
local flight_ms, lease_ms, record_ms, patience = ask.flight_ms, ask.lease_ms, ask.record_ms, ask.patience
local now = clock()

local BUSY_MS = 2000 -- the delay while another job of the consumer is in progress
local VISIT_MS = 86400000 -- how long a visit is kept; if it has ended by then, a new one begins

local is, ended = read_job(job, KEYS[2])
local state, holder = is.state, is.owner

if is.digest and is.digest ~= ask.digest then
  if submission ~= '' then
    count_seen(tally, submissions, submission, now, record_ms)
    redis.call('HINCRBY', tally, 'failed:conflict', 1)
  end
  return { 'conflict' }
end
if ended then
  return ended
end
local lease = is.lease or 0
if not credible(lease, now, lease_ms) then
  -- The clock was set back: the claim, whose worker may be alive, gets the full time again.
  lease = math.floor(now + lease_ms)
  is.lease = lease
  write_job(job, is)
end
if holder and holder ~= owner and holder ~= ask.dead and lease > now then
  return { 'held', holder }
end

-- The first write: a store without memory refuses it here, before anything has changed.
redis.call('HSETNX', limit, 'given_rate', ask.rate)

local history, losses = is.history or '', is.losses or 0
local seen, sent = is.seen or math.floor(now), is.sent or 0
-- Whether another job of the consumer may have opened a conversation that nobody knows of.
local in_doubt = redis.call('SCARD', doubts)
local is_doubted = in_doubt > 0 and in_doubt > redis.call('SISMEMBER', doubts, job_id) and 1 or 0
local pause, is_general
if purpose ~= 'claim' then
  pause, is_general = paused_by(paused, submission)
end
if state == 'sending' and holder == owner then
  -- The owner got its permit before, but the answer was lost: it may send.
  if not pause then
    return { 'go', { seen, history, sent, losses, is.visit or '', is_doubted, 0, 0 } }
  end
  sent = sent - 1
  redis.call('ZREM', in_flight, owner)
  is.sending, is.permit, is.sent = nil, nil, sent
  if locked_for(lock, now) == job_id and not is_unknown(history) then
    redis.call('DEL', lock)
  end
end
if holder and holder ~= owner then
  -- The worker with the claim is gone. If it was sending, that attempt has an unknown fate.
  losses = losses + 1
  redis.call('ZREM', in_flight, holder)
  local account = recall(limit, now)
  go_on_trying(account, now, holder)
  save(account, limit)
  if is.sending then
    local lost = string.format('{"at":"%s","httpStatus":null,'
      .. '"cause":"the worker was lost before it had an answer","outcome":"unknown"}', is.sending)
    history = history == '' and lost or history .. ',' .. lost
    is.sending = nil
  end
end
if not is.seen then
  count_seen(tally, submissions, submission, now, record_ms)
  note_opened(consumers, ARGV[2], '', now, record_ms)
end
local marks = read_marks(tally, submission, now)
is.digest, is.state, is.owner, is.seen = ask.digest, 'claimed', owner, seen
is.lease, is.losses = math.floor(now + lease_ms), losses
is.history = history ~= '' and history or nil
is.due, is.waits_for = nil, nil

local visit = ask.visit
if visit ~= '' then
  is.visit = visit
  if visits then
    redis.call('SET', visits, visit, 'PX', VISIT_MS)
  end
else
  visit = is.visit or visits and redis.call('GET', visits) or ''
end

local facts = { seen, history, sent, losses, visit, is_doubted, 0, 0 }

-- The owner keeps the job, but may not send.
local function claimed(as)
  write_job(job, is, record_ms, is_unknown(history))
  return { as, facts }
end

if is.cancelled or marks.cancelled then
  return claimed('cancelled')
end
-- Releases the job, which goes back to the broker for a while.
local function put_off(account, first, ms, why, cause)
  is.owner, is.lease = nil, nil
  is.state, is.due, is.waits_for = 'waiting', math.floor(now + ms), why
  write_job(job, is, record_ms + ms, is_unknown(history))
  if first == job_id then
    lock_for(lock, job_id, now, ms)
  end
  save(account, limit)
  return { 'defer', tostring(ms), why, cause or cause_of(account, why) }
end

-- Returns the account for a job that is put off before its call. That is no call, so it does not keep
-- from being forgotten what the limiter learned (`recall` would).
local function look_at_account()
  local account = open(limit)
  keep_up(account, now)
  give(account, ask.rate, ask.cap)
  go_on_trying(account, now, owner)
  return account
end

if pause then
  local first = locked_for(lock, now)
  if is_general and patience >= PAUSED_MS then
    if first == job_id then
      lock_for(lock, job_id, now, lease_ms)
    end
    write_job(job, is, record_ms, is_unknown(history))
    return { 'wait', tostring(PAUSED_MS), '0', 'paused', pause }
  end
  local account = look_at_account()
  return put_off(account, first, queue_up(account, now, PARKED_MS, 'parked'), 'paused', pause)
end

local may_not_repeat = not ask.repeat_unknown and is_unknown(history)
local unresolved = string.find(history, '"unresolved"}$') -- look its conversation up, do not send

-- Whether other jobs of the account were accepted since this one was refused.
local function is_alone(flow_at)
  return is.refused_at and flow_at and flow_at > is.refused_at and 1 or 0
end

if unresolved then
  facts[7] = is_alone(tonumber(redis.call('HGET', limit, 'flow_at')))
end
if purpose == 'claim' or losses > ask.max_losses or may_not_repeat or unresolved then
  return claimed('claimed')
end
if purpose == 'prepare' then
  -- No token is fetched, and Monitoring not asked, for a job that is put off for its submission's pace.
  local ahead = paced(tally, marks, now)
  if ahead then
    return put_off(look_at_account(), locked_for(lock, now), ahead, 'pace')
  end
  return claimed('claimed')
end

local first, is_overdue = locked_for(lock, now)
if first == job_id then
  lock_for(lock, job_id, now, lease_ms)
end

local account = recall(limit, now)
give(account, ask.rate, ask.cap)
go_on_trying(account, now, owner)
facts[7] = is_alone(account.flow_at)

if purpose == 'fail' then
  local shut = blocked(account, now)
  if shut then
    return put_off(account, first, queue_up(account, now, shut), shut_by(account))
  end
  facts[8] = probe(account, now, owner, flight_ms) and 1 or 0
  save(account, limit)
  return claimed('claimed')
end

if first and first ~= job_id and not is_overdue then
  return put_off(account, first, BUSY_MS, 'consumer')
end
local ahead = paced(tally, marks, now)
if ahead then
  return put_off(account, first, ahead, 'pace')
end
bring_near(in_flight, now, flight_ms)
local wait = permit(account, in_flight, now, ask.booked, ask.ahead)
if wait then
  -- A job that waits for credentials is put off, so that it gets a token for the new ones.
  if wait[1] > patience or wait[3] == 'credentials' then
    return put_off(account, first, queue_up(account, now, wait[1]), wait[3])
  end
  save(account, limit)
  write_job(job, is, record_ms, is_unknown(history))
  return { 'wait', tostring(wait[1]), tostring(wait[2]), wait[3], cause_of(account, wait[3]) }
end

if first and first ~= job_id then
  -- The overdue job may still come back, and its request may have opened a conversation.
  redis.call('SADD', doubts, first)
  redis.call('PEXPIRE', doubts, record_ms)
  facts[6] = 1
end
-- The attempt is recorded before the request is sent.
facts[3] = sent + 1
local refused_before = string.find(string.match(history, '{[^{}]*}$') or '', '"throttled"', 1, true)
local permit_record = depart(account, in_flight, now, owner, flight_ms, refused_before)
facts[8] = probe(account, now, owner, flight_ms) and 1 or 0
save(account, limit)
keep_pace(tally, marks, now)
is.state, is.sending, is.sent, is.permit = 'sending', ask.at, sent + 1, permit_record
write_job(job, is, record_ms, true)
lock_for(lock, job_id, now, flight_ms)
return { 'go', facts }
