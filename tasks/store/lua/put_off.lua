-- Says when a job comes back that cannot wait here, in ms, and what holds its account, if anything
-- does; writes it down where nobody has the job.
-- KEYS: limit, job, the submission's tally, the account's submissions
-- ARGV: rate, cap, how long at least in ms, what the job waits for,
--       record ms, submission
local now = clock()
local account = recall(KEYS[1], now)
give(account, tonumber(ARGV[1]), tonumber(ARGV[2]))
local shut = math.max((account.pause or 0) - now, blocked(account, now) or 0)
local ms = queue_up(account, now, math.max(tonumber(ARGV[3]), shut))
local why = account.probe_at and shut_by(account) or ''
save(account, KEYS[1])
if note_wait(KEYS[2], now, ms, why ~= '' and why or ARGV[4], tonumber(ARGV[5])) then
  count_seen(KEYS[3], KEYS[4], ARGV[6], now, ms + tonumber(ARGV[5]))
end
return { tostring(ms), why, cause_of(account, why) }
