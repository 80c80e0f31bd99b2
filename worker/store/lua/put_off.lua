-- Says when a job comes back that cannot wait here, in ms, and what holds its account, if anything
-- does; writes it down where nobody has the job.
-- KEYS: limit, job; ARGV: rate, cap, how long at least in ms, what the job waits for
local now = clock()
local account = recall(KEYS[1], now)
give(account, tonumber(ARGV[1]), tonumber(ARGV[2]))
local shut = math.max((account.pause or 0) - now, blocked(account, now) or 0)
local ms = queue_up(account, now, math.max(tonumber(ARGV[3]), shut))
local why = account.probe_at and shut_by(account) or ''
save(account, KEYS[1])
if redis.call('HGET', KEYS[2], 'state') == 'waiting' then
  redis.call('HSET', KEYS[2], 'due', string.format('%.3f', now + ms), 'waits_for',
    why ~= '' and why or ARGV[4])
end
return { tostring(ms), why, cause_of(account, why) }
