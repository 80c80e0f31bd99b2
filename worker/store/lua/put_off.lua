-- Says when a job comes back whose account has no slot free, in ms. KEYS: limit; ARGV: rate, cap
local now = clock()
local account = recall(KEYS[1], now)
give(account, tonumber(ARGV[1]), tonumber(ARGV[2]))
local ms = queue_up(account, now, math.max(0, (account.pause or 0) - now, blocked(account, now) or 0))
save(account, KEYS[1])
return tostring(ms)
