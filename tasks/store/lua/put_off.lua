-- Returns when a job that cannot wait in a slot should come back, in ms, and what holds its account,
-- if anything does. Records that, unless a delivery has the job.
-- KEYS: limit, job, its old record, the submission's tally, the account's submissions, what is paused,
--       the account's notes of consumers
-- ARGV: rate, cap, how long at least in ms, what the job waits for,
--       record ms, submission, the name of the consumer's note of the job
local at_least, waits_for, record_ms, submission = tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5]), ARGV[6]
local now = clock()
local pause = paused_by(KEYS[6], submission)
local account = recall(KEYS[1], now)
give(account, tonumber(ARGV[1]), tonumber(ARGV[2]))
local shut = math.max((account.pause or 0) - now, blocked(account, now) or 0)
local ms = math.max(at_least, shut)
local why, cause
if pause then
  ms, why, cause = queue_up(account, now, math.max(ms, PARKED_MS), 'parked'), 'paused', pause
else
  ms, why = queue_up(account, now, ms), account.probe_at and shut_by(account) or ''
  cause = cause_of(account, why)
end
save(account, KEYS[1])
if note_wait(KEYS[2], KEYS[3], now, ms, why ~= '' and why or waits_for, record_ms) then
  count_seen(KEYS[4], KEYS[5], submission, now, ms + record_ms)
  note_opened(KEYS[7], ARGV[7], '', now, ms + record_ms)
end
return { tostring(ms), why, cause }
