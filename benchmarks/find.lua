-- Writes jobs that have their outcome, as begin.lua, finish.lua and published.lua leave them.
-- KEYS: the account's counts, notes of consumers, notes of conversations, submissions; the
--       submission's tally, and its jobs that ended today; then the jobs
-- ARGV: the submission, how long a record is kept in ms; then of each job: its id, the packed
--       outcome, the name of the consumer's note of it, and its conversation's name and job in the notes
local counts, consumers, opened, submissions, tally, ended = unpack(KEYS, 1, 6)
local submission, ms, now = ARGV[1], tonumber(ARGV[2]), clock()

for number = 1, #KEYS - 6 do
  local job, at = KEYS[number + 6], 3 + 5 * (number - 1)
  local job_id, packed, consumer, name, note = unpack(ARGV, at, at + 4)
  count_seen(tally, submissions, submission, now, ms)
  note_opened(consumers, consumer, '', now, ms)
  write_outcome(job, packed, now, ms)
  redis.call('SET', job, 'p' .. string.sub(redis.call('GET', job), 2), 'KEEPTTL')
  note_opened(opened, name, note, now, ms)
  redis.call('HINCRBY', counts, 'created', 1)
  count_ended(tally, submissions, submission, ended, job_id, 'created', now, ms)
end
