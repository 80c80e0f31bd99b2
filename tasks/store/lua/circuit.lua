-- The circuit of an account that answers nothing but failures: while it is open, one job at a time
-- is let through to try, and the others wait without using up their attempts.

-- What opens it: so many failures of a kind in a row, over so many ms at least. And how far apart
-- its tries grow, in ms.
local OPENS = {
  -- LivePerson's own first three pauses add up to 30 s: an outage that they bridge opens nothing. And
  -- fewer failures than these in a row are those of a few jobs, which have their own schedule.
  failed = { row = 50, ms = 30000, apart_ms = 60000 },
  -- A no to whoever asks, by LivePerson or by something on the way: more calls get no other answer.
  barred = { row = 10, ms = 1000, apart_ms = 60000 },
  -- Credentials are the same for all; a new secret is found at the next try.
  credentials = { row = 1, ms = 0, apart_ms = 15000 },
}
local PROBE_MS = 5000       -- after the circuit opened, and doubled after each try that failed
local LATELY_MS = 5000      -- who was accepted so lately has good credentials: one job's are refused

-- Returns how long nobody may try, in ms; nil when one may, or when the circuit is closed.
-- While one tries, its answer may come at any moment, long before its call has to be over.
local function blocked(a, now)
  if a.probe_at and a.probe_at > now then
    local left = a.probe_at - now
    return a.prober and math.min(left, PROBE_MS) or left
  end
end

-- Whoever is let through while the circuit is open tries for all, for as long as a call can last.
-- Returns whether it does.
local function probe(a, now, owner, flight_ms)
  if not a.probe_at then
    return false
  end
  put(a, 'probe_at', now + flight_ms)
  put(a, 'prober', owner)
  return true
end

-- Whoever tries may go on with its try, with a new token; or others may, since that worker is gone.
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

-- What an open circuit is called: by what keeps it open.
local function shut_by(a)
  return a.shut_by or 'circuit'
end

-- Any answer that was meant for the request closes the circuit, a refusal as well.
local function answered(a)
  if a.failures then
    for _, name in ipairs({ 'failures', 'failing_since', 'probe_at', 'probe_ms', 'prober', 'shut_by' }) do
      put(a, name, nil)
    end
  end
end

-- Returns what is to blame for what holds an account, empty for the limiter's everyday work.
local function cause_of(a, why)
  local has_cause = why == 'pause' or why == 'circuit' or why == 'credentials'
  return has_cause and a.cause or ''
end

-- Keeps why calls fail or are refused, for whoever looks on.
local function blame(a, cause)
  if cause ~= '' and a.cause ~= cause then
    put(a, 'cause', cause)
  end
end
