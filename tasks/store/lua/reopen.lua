-- Lets a job that has failed wait for another attempt; what was sent for it stays known.
-- KEYS: job, counts, the submission's tally
-- ARGV: the dead letter it is recorded with, its count, its attempts, how many they are, record ms,
--       submission
local job, counts, tally = KEYS[1], KEYS[2], KEYS[3]
local letter, count, history, sent, record_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local submission = ARGV[6]

local is = redis.call('HMGET', job, 'state', 'outcome')
if is[1] == 'done' or is[1] == 'published' then
  -- Another outcome is newer than this dead letter, or of another job with the same id.
  if is[2] ~= letter then
    return 0
  end
  redis.call('HDEL', job, 'outcome', 'key', 'trace')
  redis.call('HINCRBY', counts, count, -1)
  if submission ~= '' and redis.call('HEXISTS', tally, count) == 1 then
    redis.call('HINCRBY', tally, count, -1)
  end
elseif is[1] then
  return 0
end
redis.call('HSET', job, 'state', 'waiting', 'history', history, 'sent', sent)
keep(job, record_ms, is_unknown(history), false)
return 1
