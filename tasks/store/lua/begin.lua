-- Begins (or goes on with) a job: claim, consumer lock, permit and "sending" in one step.
-- KEYS: job, its old record, consumer lock, limit, in flight, the consumer's jobs in doubt, the
--       submission's tally, the account's submissions, what is paused, the account's notes of
--       consumers, and the consumer's visit where the job goes on with it
-- ARGV: a JSON object, and the name of the consumer's note of the job; of
--   owner, digest, job_id, submission
--   purpose: claim, prepare (claim unless paused, or put off by the submission's pace), send, or
--     fail (it could not be made ready)
--   dead: an owner that is gone
--   at: the time of the attempt (RFC 3339)
--   rate, cap, booked: the account's ceilings, and the time that was booked for it
--   flight_ms, lease_ms, record_ms
--   patience: how long the caller waits at most, in ms
--   max_losses: how many workers may be lost with the job
--   repeat_unknown: may it be sent again after an unknown outcome?
--   visit
local job, lock, limit, in_flight, doubts = KEYS[1], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local tally, submissions, paused, consumers, visits = KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11]
local ask = cjson.decode(ARGV[1])
local owner, job_id, submission, purpose = ask.owner, ask.job_id, ask.submission, ask.purpose
local flight_ms, lease_ms, record_ms, patience = ask.flight_ms, ask.lease_ms, ask.record_ms, ask.patience
local now = clock()

local BUSY_MS = 2000 -- when to ask again while another job of the consumer is under way
local VISIT_MS = 86400000 -- a visit is kept for so long; one that is over sooner begins anew

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
  -- The clock was set back: its holder, who may be alive, has as long as for a new one.
  lease = math.floor(now + lease_ms)
  is.lease = lease
  write_job(job, is)
end
if holder and holder ~= owner and holder ~= ask.dead and lease > now then
  return { 'held', holder }
end

-- A store that is full says so here: a script that has written once may go on for all that.
redis.call('HSETNX', limit, 'given_rate', ask.rate)

local history, losses = is.history or '', is.losses or 0
local seen, sent = is.seen or math.floor(now), is.sent or 0
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
  -- Whoever held the job is gone. What it may have sent has an unknown fate.
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

-- The job stays with its owner, who may not send.
local function claimed(as)
  write_job(job, is, record_ms, is_unknown(history))
  return { as, facts }
end

if is.cancelled or marks.cancelled then
  return claimed('cancelled')
end
-- The job goes back to the broker, so nobody holds it.
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

-- What puts a job off before its call is none: what was learned is forgotten after as long as
-- without it.
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
local unresolved = string.find(history, '"unresolved"}$') -- to be looked for, not sent

-- Whether others of the account were accepted since the job was refused.
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
  -- No token is got, and nobody is asked, for a job that its submission's pace puts off.
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
local wait = permit(account, in_flight, now, ask.booked, patience)
if wait then
  -- What waits for credentials comes back, so that it is sent with a token got for the new ones.
  if wait[1] > patience or wait[3] == 'credentials' then
    return put_off(account, first, queue_up(account, now, wait[1]), wait[3])
  end
  save(account, limit)
  write_job(job, is, record_ms, is_unknown(history))
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
is.state, is.sending, is.sent, is.permit = 'sending', ask.at, sent + 1, permit_record
write_job(job, is, record_ms, true)
lock_for(lock, job_id, now, flight_ms)
return { 'go', facts }
