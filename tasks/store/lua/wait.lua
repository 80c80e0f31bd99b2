-- Records until when a job that is not begun yet waits, and for what.
-- KEYS: job, its old record, the submission's tally, the account's submissions, its notes of consumers
-- ARGV: how long it waits in ms, what it waits for, record ms, submission, the name of the consumer's
--       note of the job
local ms, record_ms, now = tonumber(ARGV[1]), tonumber(ARGV[3]), clock()
if note_wait(KEYS[1], KEYS[2], now, ms, ARGV[2], record_ms) then
  count_seen(KEYS[3], KEYS[4], ARGV[4], now, ms + record_ms)
  note_opened(KEYS[5], ARGV[5], '', now, ms + record_ms)
end
return 1
