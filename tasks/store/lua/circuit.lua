-- The circuit of an account whose calls all fail. While it is open, one job at a time is let through
-- as a test, and the others wait without using up their retries.

-- What opens it: failures of a kind in a row, over at least `ms`. `apart_ms` is the longest time
-- between two tests.
local OPENS = {
  -- LivePerson's own first three retry delays add up to 30 s: a shorter outage does not open it. And
  -- fewer failures may be those of a few jobs, which have their own retries.
  failed = { row = 50, ms = 30000, apart_ms = 60000 },
  -- The account is refused, by LivePerson or by a firewall: more calls get no other answer.
  barred = { row = 10, ms = 1000, apart_ms = 60000 },
  -- All jobs have the same credentials; the next test uses a new secret if there is one.
  credentials = { row = 1, ms = 0, apart_ms = 15000 },
}
local PROBE_MS = 5000       -- the time to the first test; it doubles after each failed one
local LATELY_MS = 5000      -- if a call was accepted this lately, only one job's credentials are refused

-- Returns how long no job may be let through, in ms; nil if one may, or if the circuit is closed.
-- During a test that is short, since its answer may come at any time.
local function blocked(a, now)
  if a.probe_at and a.probe_at > now then
    local left = a.probe_at - now
    return a.prober and math.min(left, PROBE_MS) or left
  end
end

-- Makes a job the test of an open circuit, for as long as a call can last. Returns whether it is one.
local function probe(a, now, owner, flight_ms)
  if not a.probe_at then
    return false
  end
  put(a, 'probe_at', now + flight_ms)
  put(a, 'prober', owner)
  return true
end

-- Ends an owner's test early: it goes on with a new token, or its worker is gone.
local function go_on_trying(a, now, owner)
  if blocked(a, now) and a.prober == owner then
    put(a, 'probe_at', now)
  end
end

local function failed(a, now, owner, how)
  local opens = OPENS[how]
  put(a, 'failures', (a.failures or 0) + 1)
  if not a.failing_since then
    put(a, 'failing_since', now)
  end
  local pause
  if a.probe_at then
    pause = a.prober == owner and math.min(2 * a.probe_ms, opens.apart_ms)
  elseif a.failures >= opens.row and now - a.failing_since >= opens.ms then
    local accepted_lately = a.flow_at and now - a.flow_at < LATELY_MS
    pause = not (how == 'credentials' and accepted_lately) and PROBE_MS
  end
  if pause then
    put(a, 'probe_ms', pause)
    put(a, 'probe_at', now + pause)
    put(a, 'prober', nil)
    put(a, 'shut_by', how == 'credentials' and how or nil)
  end
end

-- Returns the name of an open circuit: "credentials", or "circuit" for all else.
local function shut_by(a)
  return a.shut_by or 'circuit'
end

-- Closes the circuit after any answer to a request, even a refusal.
local function answered(a)
  if a.failures then
    for _, name in ipairs({ 'failures', 'failing_since', 'probe_at', 'probe_ms', 'prober', 'shut_by' }) do
      put(a, name, nil)
    end
  end
end

-- Returns the cause of a hold on an account, empty for the limiter's usual work.
local function cause_of(a, why)
  local has_cause = why == 'pause' or why == 'circuit' or why == 'credentials'
  return has_cause and a.cause or ''
end

-- Records why calls fail or are refused, for the commands that show it.
local function blame(a, cause)
  if cause ~= '' and a.cause ~= cause then
    put(a, 'cause', cause)
  end
end
