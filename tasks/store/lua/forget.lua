-- Erases a finished job, except its digest, so that it is not done twice. Returns "forgotten", or the
-- state of a job that is not finished, or an empty text if the job is unknown.
-- KEYS: job, its old record, the account's notes of conversations, and of consumers
-- ARGV: the names of its notes, empty for none: of its conversation, and of its consumer
local job, old = KEYS[1], KEYS[2]
local is, ended = read_job(job, old)
if is.state and not ended then
  return is.state
end
if ended and is.state ~= 'forgotten' then
  local left = redis.call('PTTL', is.old or job)
  redis.call('DEL', job, old)
  redis.call('SET', job, cjson.encode({ state = 'forgotten', digest = is.digest, seen = is.seen }),
    'PX', math.max(1, left))
end
for i = 1, 2 do
  if ARGV[i] ~= '' then
    drop_note(KEYS[2 + i], ARGV[i], clock(), tonumber(ARGV[3]))
  end
end
return is.state and 'forgotten' or ''
