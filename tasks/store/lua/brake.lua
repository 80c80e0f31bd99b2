-- The brake: what an operator has paused, and nothing is sent for.
-- `paused` is a hash of an account: `all`, `account` or `submission:<id>`, each "<since> <by>".

-- How often jobs that wait in their slots ask again.
local PAUSED_MS = 1000
-- The shortest delay of jobs that wait in the broker, since others need their slots.
local PARKED_MS = 15000

-- Returns what pauses a job, and whether its whole account is paused by it; nil if nothing does.
local function paused_by(paused, submission)
  local found = redis.call('HMGET', paused, 'all', 'account', 'submission:' .. submission)
  for i, what in ipairs({ 'everything', 'the account', 'submission ' .. submission }) do
    if found[i] then
      return string.format('%s is paused since %s', what, string.gsub(found[i], ' ', ' by ', 1)), i < 3
    end
  end
end
