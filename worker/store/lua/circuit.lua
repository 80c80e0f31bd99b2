-- The circuit of an account that answers nothing but failures: while it is open, one job at a time
-- is let through to try, and the others wait without using up their attempts.

-- LivePerson's own first three pauses add up to 30 s: an outage that they bridge opens nothing. And
-- fewer failures than these in a row are those of a few jobs, which have their own schedule.
local FAILURES = 50
local FAILING_MS = 30000
local PROBE_MS = 5000       -- after the circuit opened, and doubled after each try that failed
local PROBE_MOST_MS = 60000

-- Returns how long nobody may try, in ms; nil when one may, or when the circuit is closed.
local function blocked(a, now)
  if a.probe_at and a.probe_at > now then
    return a.probe_at - now
  end
end

-- Whoever is let through while the circuit is open tries for all, for as long as a call can last.
local function probe(a, now, owner, flight_ms)
  if a.probe_at then
    put(a, 'probe_at', now + flight_ms)
    put(a, 'prober', owner)
  end
end

local function failed(a, now, owner)
  put(a, 'failures', (a.failures or 0) + 1)
  if not a.failing_since then
    put(a, 'failing_since', now)
  end
  if a.probe_at then
    if a.prober == owner then
      put(a, 'probe_ms', math.min(2 * a.probe_ms, PROBE_MOST_MS))
      put(a, 'probe_at', now + a.probe_ms)
    end
  elseif a.failures >= FAILURES and now - a.failing_since >= FAILING_MS then
    put(a, 'probe_ms', PROBE_MS)
    put(a, 'probe_at', now + PROBE_MS)
  end
end

-- Any answer that was meant for the request closes the circuit, a refusal as well.
local function answered(a)
  if a.failures then
    for _, name in ipairs({ 'failures', 'failing_since', 'probe_at', 'probe_ms', 'prober' }) do
      put(a, name, nil)
    end
  end
end
