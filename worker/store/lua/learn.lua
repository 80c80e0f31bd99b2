-- What the limiter learns from answers.

local FLOW_MS = 1500       -- accepted calls a second are averaged over so long, or over five calls
local KEEP = 0.97          -- stay so far under what was accepted when a call was refused
local FULL_MS = 100        -- so long after nobody got through the cap on calls in flight counts as met
local SAME_PLACES = 30     -- one in so many is no difference between two numbers in flight
local PLACES_LEAST = 4     -- in fewer calls in flight no cap can be seen
local CROWDED = 1.1        -- refused so far above the mean, and ...
local CROWDED_BY = 0.6     -- ... this much more; with 1.2 and 1, caps of 4 and of 20 are not found
local MOST_DOUBTS = 5      -- after so many wrong guesses one in 64 refusals is tried
local ROOM = 1.5           -- what was thought a limit on the rate lies so far above what was accepted
local FORGET_MS = 600000   -- what was learned is forgotten when nothing was accepted for so long

local function recall(limit, now)
  local a = open(limit, now)
  if a.resumed and now - math.max(a.flow_at or 0, a.cut_at or 0, a.resumed) > FORGET_MS then
    forget(a, 'rate')
    forget(a, 'width')
    for _, name in ipairs({ 'resumed', 'row', 'patience', 'doubts', 'rate_before' }) do
      put(a, name, nil)
    end
  end
  return a
end

-- Accepted calls a second, lately; and what one more adds to it.
local function flow(a, now)
  local span = math.max(FLOW_MS, 5000 / rate_in_force(a))
  return (a.flow or 0) * math.exp(((a.flow_at or now) - now) / span), 1000 / span
end

local function accepted(a, now)
  local lately, one = flow(a, now)
  put(a, 'flow', lately + one)
  put(a, 'flow_at', now)
  if a.width and now - (a.full_at or 0) < FULL_MS then
    rise(a, 'width', a.flow, in_flight_ceiling(a))
  elseif a.rate and (a.busy or 0) > 0.8 then
    rise(a, 'rate', rate_in_force(a), rate_ceiling(a))
  end
end

local function is_crowded(a, place)
  return place >= PLACES_LEAST and place > CROWDED * a.crowd + CROWDED_BY
end

-- Twice refused with as many in flight, and more than usual: that looks like a cap on them. Where it
-- was none, the next tries are ever rarer.
local function looks_like_a_cap(a, place)
  put(a, 'patience', math.max(0, (a.patience or 0) - 1))
  return a.patience == 0 and is_crowded(a, place)
    and math.abs(place - (a.refused_place or 0)) <= place / SAME_PLACES
end

local function suppose_a_cap(a, now, place, lately)
  put(a, 'width', place - 1)
  put(a, 'width_since', now)
  put(a, 'rate_before', a.rate)
  put(a, 'rate', a.rate and math.max(a.rate, ROOM * lately))
  hold(a, 'width', now)
end

-- Refused within what was accepted until now: it is not their number that is limited.
local function drop_the_cap(a, now)
  forget(a, 'width')
  put(a, 'doubts', math.min(MOST_DOUBTS, (a.doubts or 0) + 1))
  put(a, 'patience', 2 ^ (a.doubts + 1))
  if a.rate_before then
    put(a, 'rate', a.rate_before)
    put(a, 'rate_before', nil)
    hold(a, 'rate', now)
  end
end

-- A call was refused as one of `place` in flight.
local function learn(a, now, place)
  local active = math.max(0.001, (now - (a.resumed or now)) / 1000)
  local lately = flow(a, now)
  local full = a.width and now - (a.full_at or 0) < 2 * FULL_MS
  if full and a.width_calm < a.width_hold then
    drop_the_cap(a, now)
  elseif full then
    cut(a, 'width', now, place, place - 1, active)
    hold(a, 'width', now)
  elseif not a.width and active > 1 and looks_like_a_cap(a, place) then
    suppose_a_cap(a, now, place, lately)
  else
    cut(a, 'rate', now, rate_in_force(a), KEEP * lately, active)
    -- Another refusal of that kind tells more.
    hold(a, 'rate', now, not a.width and is_crowded(a, place))
  end
  if active > 1 then
    put(a, 'refused_place', place)
  end
end
