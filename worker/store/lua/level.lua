-- A level is what was learned of a limit: `rate`, calls a second, or `width`, calls in flight. It is
--   cut when a call is refused,
--   held for twice as long as it has stood, or less than half while it is new or after a fall,
--   then raised, little at first, until a call is refused again or the ceiling is reached.

local RISE = 0.03         -- it rises by this share of itself, times e for each ...
local RISE_S = 1.5        -- ... so many seconds that calls were held back, ...
local CALL_S = 0.15       -- ... of which one call counts for no more than this
local HOLD_SHARE = 2      -- one that has stood for twenty seconds is held for forty more, ...
local SOON_SHARE = 0.4    -- ... or for eight where a limit fell, since that may come back: ...
local STOOD_S = 10        -- ... where the level before it had stood for longer than this
local NEW_S = 12          -- a new one is tried twice before it is trusted
local HOLD_LEAST_S = 5
local HOLD_MOST_S = 60
local HOLD_ROUGH_S = 10   -- the most after a cut that could only guess
local HOLD_CALLS = 120    -- trying costs a refusal or so: less than one per cent of the calls
local GENTLE = 0.95       -- the first early refusal may be chance, ...
local FIRM = 0.48         -- ... the next ones find a limit that fell to a quarter in two steps
local REFILL_S = 0.5      -- what a bucket may have gathered in the pause, in seconds of its rate
local BURST = 1.8         -- one that rose further than a second's burst explains has changed ...
local BACK = 1.4          -- ... and is this much lower than where it was refused
local LEAST = 1           -- LivePerson itself asks for no more than a second between two tries
local CHANGE = 0.2        -- one that moved further than this stands anew

local function forget(a, kind)
  for _, part in ipairs({ '', '_calm', '_hold', '_since', '_fell' }) do
    put(a, kind .. part, nil)
  end
end

-- The level in force: what was learned and what it has risen since; nil where nothing was learned.
local function level(a, kind)
  if not a[kind] then
    return nil
  end
  local rising = (a[kind .. '_calm'] - a[kind .. '_hold']) / RISE_S
  return a[kind] * (1 + RISE * math.exp(math.min(rising, 8)))
end

local function rate_in_force(a)
  return math.min(rate_ceiling(a), level(a, 'rate') or rate_ceiling(a))
end

local function width_in_force(a)
  local ceiling = in_flight_ceiling(a)
  return math.max(1, math.floor(math.min(ceiling, level(a, 'width') or ceiling)))
end

local function seconds_since(a, kind, now)
  return (now - (a[kind .. '_since'] or now)) / 1000
end

-- A call was refused when the level stood at `from`, `active` seconds after the last pause, and
-- when `seen` was accepted.
local function cut(a, kind, now, from, seen, active)
  local old, new = a[kind], nil
  if not old or a[kind .. '_calm'] < a[kind .. '_hold'] then
    -- Accepted between two refusals, divided by the time: the sooner refused, the deeper the cut.
    new = from * math.max(active / (active + REFILL_S), a.row and FIRM or GENTLE)
    put(a, 'row', 1)
  else
    if from <= BURST * old then
      -- The longer it has stood, the less one try may move it.
      local step = 1 + math.min(0.15, math.max(0.02, 2 / math.max(1, seconds_since(a, kind, now))))
      new = math.min(from, math.max(old, math.min(step * old, seen)))
    else
      new = from / BACK
    end
    put(a, 'row', nil)
  end
  new = math.max(new, LEAST)
  put(a, kind, new)
  if not old or math.abs(new / old - 1) > CHANGE then
    local stood = old and seconds_since(a, kind, now) or active
    local fell = new < (old or from) and (a[kind .. '_fell'] or stood > STOOD_S)
    put(a, kind .. '_fell', fell and 1 or nil)
    put(a, kind .. '_since', now)
  end
end

local function hold(a, kind, now, soon)
  local age = seconds_since(a, kind, now)
  local calls_a_second = math.max(kind == 'rate' and a.rate or a.flow or 1, 0.1)
  local share = (soon or age < NEW_S or a[kind .. '_fell']) and SOON_SHARE or HOLD_SHARE
  local seconds = math.max(HOLD_LEAST_S, share * age, HOLD_CALLS / calls_a_second)
  put(a, kind .. '_hold', math.min(seconds, age < 1 and HOLD_ROUGH_S or HOLD_MOST_S))
  put(a, kind .. '_calm', 0)
end

-- One more accepted call that the level held back. What nobody waits for is not tried, and several
-- workers raise it no faster than one.
local function rise(a, kind, calls_a_second, ceiling)
  put(a, kind .. '_calm', a[kind .. '_calm'] + math.min(CALL_S, 1 / calls_a_second))
  if level(a, kind) > 1.5 * ceiling then
    forget(a, kind)
  end
end
