-- The brake: what an operator has paused, so that nothing more is sent for it.
-- `paused` is a hash of an account: `all`, `account` or `submission:<id>`, each "<since> <by>".

-- Those who wait in their slots ask so often.
local PAUSED_MS = 1000
-- Those whose slots others need come back after so long at the earliest, one by one.
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
