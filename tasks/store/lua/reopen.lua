-- Lets a failed job wait for another attempt; its earlier attempts stay recorded.
-- KEYS: job, its old record, counts, the submission's tally
-- ARGV: the record that holds its dead letter, its count, its attempts, how many they are, record ms,
--       submission
local job, counts, tally = KEYS[1], KEYS[3], KEYS[4]
local letter, count, history, sent, record_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local submission = ARGV[6]

local is, ended = read_job(job, KEYS[2])
if is.state == 'forgotten' then
  return 0
elseif ended then
  -- The recorded outcome is newer than this dead letter, or of another job with the same id.
  if string.sub(ended[2], 2) ~= string.sub(letter, 2) and ended[4] ~= letter then
    return 0
  end
  redis.call('HINCRBY', counts, count, -1)
  if submission ~= '' and redis.call('HEXISTS', tally, count) == 1 then
    redis.call('HINCRBY', tally, count, -1)
  end
elseif is.state then
  return 0
end
is = { digest = is.digest, seen = is.seen, old = is.old, state = 'waiting', history = history, sent = sent }
write_job(job, is, record_ms, is_unknown(history))
return 1
