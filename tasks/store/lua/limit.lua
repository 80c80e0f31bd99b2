-- The limiter: one pace and one cap on requests in flight per account, for the whole pool. Its rule
-- is explained, with these names, in docs/limits.md.
--
-- An account's `level` is what may be asked of LivePerson: calls a second or, where `lever` says
-- `in_flight`, calls at a time. Its `state` is `start`, `keep`, `raise`, `settle`, `check` or `shut`.

local SECOND_MS = 1000  -- what is accepted is measured over so long
local LATE_MS = 100     -- a slot this late is made up for; later ones are lost, so nobody bursts
local CALLS = 20        -- ... and over so many calls; half of them are a second's to start with, or
local STEP = 0.03       -- a level is kept so far below what was accepted, and first raised so far
local GROW = 3          -- each further step is so many times as large; an account starts two below
local BURST_MS = 1500   -- a bucket gives a second's calls at once, and refills while it is measured
local USUAL = 0.005     -- the share of calls that anybody's limit refuses now and then
local MAX_STRAYS = 0.15 -- refusals of a larger share are never taken for strays
local SURE = 3          -- evidence, as the natural logarithm of odds: 20 to 1
local WAIT_MS = 8000    -- so long after it was found a level is raised, to see whether it still holds

local function ceiling(a)
  return a.lever == 'in_flight' and in_flight_ceiling(a) or rate_ceiling(a)
end

local function rate_in_force(a)
  return a.lever == 'in_flight' and rate_ceiling(a)
    or math.min(rate_ceiling(a), a.level or rate_ceiling(a))
end

local function width_in_force(a)
  return a.lever == 'in_flight' and math.min(in_flight_ceiling(a), math.floor(a.level))
    or in_flight_ceiling(a)
end

-- The pace: a generic cell rate algorithm with reservations. Returns when the next slot is, and
-- books it, unless that is too far away.
local function book(a, now, ahead)
  local late = (a.tat or 0) < now - LATE_MS
  local due = late and now or a.tat
  local booked = due <= now + math.max(0, ahead)
  if booked then
    put(a, 'tat', due + SECOND_MS / rate_in_force(a))
  end
  return due, booked
end

-- Returns nil when the request may go now, or {wait in ms, booked slot or 0, what holds it}.
local function permit(a, in_flight, now, slot, ahead)
  if (a.pause or 0) > now then
    return { a.pause - now, 0, 'pause' }
  end
  local shut = blocked(a, now)
  if shut then
    return { shut, 0, shut_by(a) }
  end

  redis.call('ZREMRANGEBYSCORE', in_flight, '-inf', now)
  if redis.call('ZCARD', in_flight) >= width_in_force(a) then
    if now - (a.full_at or 0) > LATE_MS then
      put(a, 'full_at', now)
      put(a, 'met', a.lever == 'in_flight' and 1 or nil)
    end
    return { 0, 0, 'in_flight' }
  end

  if slot >= now + 1 or slot < now - math.max(LATE_MS, SECOND_MS / rate_in_force(a)) then
    local due, booked = book(a, now, ahead)
    if due >= now + 1 then
      put(a, 'waited_at', now)
      return { due - now, booked and due or 0, 'rate' }
    end
  end
  return nil
end

-- A request leaves. Returns what is learned with its answer: when it left, as one of how many, and
-- whether its job had just been refused.
local function depart(a, in_flight, now, owner, flight_ms, again)
  redis.call('ZADD', in_flight, string.format('%.3f', now + flight_ms), owner)
  return string.format('%.3f %d %d', now, redis.call('ZCARD', in_flight), again and 1 or 0)
end

-- What is measured begins anew.
local function measure(a, opened)
  put(a, 'opened', opened)
  for _, count in ipairs({ 'accepted', 'refused', 'firsts', 'first_refused', 'places' }) do
    put(a, count, 0)
  end
  put(a, 'lowest', nil)
end

-- Only calls that leave at the new level tell of it: not those that have their slot already. Where a
-- raised level was refused, the last of these may be late.
local function set_level(a, now, level, state)
  local least = a.lever == 'in_flight' and 1 or SECOND_MS / WAIT_MS
  local late = state == 'settle' and LATE_MS or 0
  put(a, 'level', math.max(least, math.min(level, ceiling(a))))
  put(a, 'state', state)
  put(a, 'since', math.max(now, math.min(a.tat or 0, now + SECOND_MS)) + late)
  for _, sum in ipairs({ 'calls', 'refusals', 'evidence', 'verdict' }) do
    put(a, sum, 0)
  end
  for _, name in ipairs({ 'met', 'asked' }) do
    put(a, name, nil)
  end
  measure(a, nil)
end

local function usual(a)
  return a.usual or USUAL
end

-- The share of calls refused; a job that is refused again says something of itself alone.
local function share_refused(a)
  return a.first_refused / math.max(1, a.firsts)
end

-- The same, less one standard error: a share of few calls may be chance.
local function least_refused(a)
  local share = share_refused(a)
  return share - math.sqrt(share * (1 - share) / math.max(1, a.firsts))
end

-- What happened, for the log; `was` and `now` are levels, `refused` is the share that taught it.
local function note(a, event, was, refused)
  a.note = {
    event = event, what = a.lever or 'rate', was = was, now = a.level, refused = refused,
    retry_in = math.max(0, a.try_at - a.seen) / SECOND_MS,
  }
end

local function keep(a, now, level, wait)
  put(a, 'wait', wait)
  put(a, 'try_at', now + wait)
  set_level(a, now, level, 'keep')
end

-- Nothing passes, which says nothing of how much may be asked: only what is asked for now and then
-- can tell when something passes again.
local function shut(a, now)
  put(a, 'shut_lever', a.lever)
  put(a, 'lever', nil)
  put(a, 'learned_at', a.shut_level)
  put(a, 'learned_from', 1)
  if a.asked then
    put(a, 'pause', now + a.asked)
  end
  set_level(a, now, 1, 'shut')
  put(a, 'try_at', now + SECOND_MS)
  note(a, 'limit.learned', a.learned_at, 1)
end

-- Something passes again. A limit by a longer time than a second is used up early in each such time,
-- so the level becomes what it allowed on average since it was last open.
local function reopen(a, now)
  local was = a.level
  local part = (a.denied_from - a.open_at) / math.max(1, now - a.open_at)
  put(a, 'lever', a.shut_lever)
  put(a, 'tat', now) -- the slots of now and then are far apart
  put(a, 'fell_at', now)
  put(a, 'open_at', now)
  keep(a, now, a.lever == 'in_flight' and a.shut_level or math.max(part, 1 / GROW) * a.shut_level, SECOND_MS)
  note(a, 'limit.raised', was)
end

-- Looks for a time in which nothing at all passes: calls that left one after the other, all refused.
local function deny(a, now, left, again, retry_after_ms)
  if a.state == 'shut' then
    if left >= a.since then
      set_level(a, now, a.level / 2, 'shut')
      put(a, 'try_at', now + SECOND_MS / a.level)
    end
    if retry_after_ms > 0 then
      put(a, 'pause', now + retry_after_ms)
    end
  elseif again == '0' then
    if not a.denied then
      put(a, 'denied_from', left)
      put(a, 'shut_level', a.level or rate_ceiling(a))
    end
    put(a, 'denied', (a.denied or 0) + 1)
    if a.denied >= CALLS / 2 and now - a.denied_from >= SECOND_MS then
      shut(a, now)
    end
  end
end

local function admit(a, now, left)
  if left < (a.denied_from or 0) then
    return
  end
  if a.state == 'shut' then
    reopen(a, now)
  end
  put(a, 'denied', nil)
end

-- A limit that fell may come back.
local function fell_lately(a, now)
  return now - (a.fell_at or 0) <= WAIT_MS * GROW ^ 2
end

-- Raises the level by a share of it; `spare` is what a bucket may have saved, in calls a second × ms.
local function climb(a, now, step, spare)
  put(a, 'spare', spare)
  put(a, 'base', a.level)
  put(a, 'passed', a.level)
  put(a, 'step', step)
  put(a, 'above', 0)
  set_level(a, now, (1 + step) * a.level, 'raise')
  put(a, 'raised_at', a.since)
end

-- It is time to try: lower, where more was refused than is usual; else higher.
local function try(a, now)
  local calls, refusals = a.calls + a.firsts, a.refusals + a.first_refused
  if refusals >= GROW and refusals > 2 * usual(a) * calls then
    put(a, 'before', a.level)
    put(a, 'share', refusals / calls)
    put(a, 'alike', 0)
    set_level(a, now, (1 - STEP) * (1 - a.share) * a.level, 'check')
  else
    put(a, 'share', nil)
    -- What a bucket may have saved meanwhile, where the level is two steps too low.
    local gained = (1 + 2 * STEP) * a.level * (now - a.since) / SECOND_MS - calls
    put(a, 'clean', refusals == 0 and 1 or nil)
    local most = fell_lately(a, now) and a.saved and 2 * math.max(a.saved, CALLS / 4 * SECOND_MS) or math.huge
    climb(a, now, STEP, math.min(gained * SECOND_MS, a.level * BURST_MS, most))
  end
end

-- Refused only with more in flight than the accepted ones left with on average, every time: then it
-- is the number in flight that is limited. Returns whether that is clear, and supposes it: the rate is
-- free then, since a cap at any rate would do where the rate is limited.
local function supposes_a_cap(a, now)
  if a.lever == 'in_flight' or a.refused == 0 or a.accepted < CALLS / 4 then
    return false
  end
  local alone = a.lowest >= math.max(4, a.places / a.accepted + 0.5)
  put(a, 'crowded', alone and (a.crowded or 0) + a.refused or 0)
  put(a, 'crowded_from', alone and math.min(a.crowded_from or a.lowest, a.lowest) or nil)
  if a.crowded < CALLS * 2 ^ (a.doubts or 0) then
    return false
  end
  put(a, 'lever', 'in_flight')
  put(a, 'before', a.level)
  put(a, 'share', math.max(MAX_STRAYS, share_refused(a)))
  put(a, 'alike', 0)
  put(a, 'stood', nil)
  put(a, 'crowded', nil)
  set_level(a, now, a.crowded_from - 1, 'check')
  return true
end

-- Too many were refused: the level goes to what was accepted, and is checked there.
local function cut(a, now, flow)
  local refused = share_refused(a)
  if supposes_a_cap(a, now) then
    return
  end
  if a.asked and refused > 0.5 then
    put(a, 'pause', now + a.asked)
  end
  put(a, 'share', math.max(refused, 0.01))
  put(a, 'strays', math.max(least_refused(a), 0.01)) -- refused as often at any pace
  if a.lever == 'in_flight' then
    set_level(a, now, math.min(math.floor(a.level), a.lowest or a.level) - 1, 'check')
  else
    set_level(a, now, math.min((1 - STEP) * a.level, (1 - STEP) * flow), 'check')
  end
end

-- It is not the number in flight that is limited; the next guess needs twice as many refusals.
local function free_places(a, now, flow)
  put(a, 'lever', nil)
  put(a, 'doubts', math.min(5, (a.doubts or 0) + 1))
  put(a, 'alike', 0)
  set_level(a, now, (1 - STEP) * flow, 'check')
end

local function alarm(a, now, flow)
  local refused = share_refused(a)
  if a.lever == 'in_flight' and a.state == 'keep' then
    -- Below a cap nothing is refused: a rate is, as soon as answers come faster.
    put(a, 'before', flow / (1 - math.min(MAX_STRAYS, refused)))
    put(a, 'share', math.max(refused, 0.01))
    put(a, 'strays', math.max(least_refused(a), 0.01))
    put(a, 'stood', 1)
    free_places(a, now, flow)
    return
  end
  local alike = a.state == 'keep' and a.share and refused > a.share / 2 and refused < 2 * a.share
  put(a, 'before', alike and math.max(a.before, a.level) or a.level)
  put(a, 'alike', alike and 1 or 0)
  put(a, 'stood', a.state == 'keep' and 1 or nil)
  cut(a, now, flow)
end

-- A bucket explains what passed above `base`: back to it, or a little higher, where nothing was refused
-- at it. The bucket was empty when `base` was found, so what it had saved tells how much higher.
local function give_up(a, now, above)
  local longest = GROW * WAIT_MS
  if fell_lately(a, now) then
    -- A try costs a refusal or two: one in a hundred calls.
    longest = math.min(WAIT_MS, math.max(2 / GROW * WAIT_MS, SECOND_MS / (2 * USUAL) / a.base))
  end
  local gained = a.clean and a.spare > 0 and 2 * STEP * above / a.spare or 0
  put(a, 'saved', above)
  local level = a.lever == 'in_flight' and a.passed or (1 + math.min(STEP / GROW, gained)) * a.base
  keep(a, now, level, math.min(GROW * a.wait, longest))
end

-- What was accepted above `base` since the level is raised. That is less than the level says where the
-- pool cannot send so much.
local function passed_above(a, now)
  local took = a.opened and now - a.opened or 0
  local flow = took > 0 and math.min(a.level, SECOND_MS * a.accepted / took) or a.level
  return a.above + math.max(0, (flow - a.base) * (now - a.since))
end

-- A raised level was refused. The bucket is empty now: what passed above `base` holds without a
-- burst, or a bucket had saved it.
local function stop_raising(a, now)
  local above = passed_above(a, now)
  if supposes_a_cap(a, now) then
    return
  end
  if a.lever == 'in_flight' or above <= a.spare or a.passed <= a.base then
    give_up(a, now, above)
  else
    set_level(a, now, a.passed, 'settle')
  end
end

-- The level; where more was refused than is usual, a step less than what was accepted.
local function what_holds(a, flow)
  return share_refused(a) > 2 * usual(a) and math.min(a.level, (1 - STEP) * flow) or a.level
end

local function rise(a, now)
  put(a, 'above', passed_above(a, now))
  if a.level >= ceiling(a) then
    local base = a.base
    keep(a, now, a.level, WAIT_MS)
    if base > 0 then
      note(a, 'limit.raised', base)
    end
    return
  end
  put(a, 'passed', a.level)
  -- Small steps at first: a bucket that explains what passes is emptied by few too many.
  if a.step == STEP or a.above > a.spare then
    put(a, 'step', math.min(GROW - 1, GROW * a.step))
  end
  set_level(a, now, (1 + a.step) * a.level, a.state)
end

-- At a lower level fewer were refused: it is the limit. Or as many, twice: they are not about it.
local function conclude(a, now, flow)
  if a.verdict >= SURE then
    -- A level that was found too high at the start has not fallen.
    if a.learned_at and now - (a.open_at or 0) > WAIT_MS and a.level < (1 - MAX_STRAYS) * a.before then
      put(a, 'fell_at', now)
      put(a, 'saved', nil)
    end
    put(a, 'learned_at', a.before)
    put(a, 'learned_from', a.share)
    if not a.stood then
      put(a, 'share', nil)
    end
    put(a, 'usual', nil)
    keep(a, now, a.lever == 'in_flight' and a.level or what_holds(a, flow), math.min(a.wait, WAIT_MS))
    note(a, 'limit.learned', a.before, a.learned_from)
    return
  end
  put(a, 'alike', a.alike + 1)
  if a.lever == 'in_flight' then
    free_places(a, now, flow)
  elseif a.alike >= 2 and least_refused(a) < MAX_STRAYS then
    put(a, 'usual', math.max(usual(a), share_refused(a)))
    put(a, 'usual_at', now)
    keep(a, now, a.before, WAIT_MS)
    note(a, 'limit.tolerated', a.level, a.usual)
  else
    cut(a, now, flow)
  end
end

-- A second was measured.
local function weigh(a, now)
  if a.accepted == 0 then
    measure(a, now)
    return
  end
  local flow = SECOND_MS * a.accepted / (now - a.opened)
  local asked = SECOND_MS * (a.accepted + a.refused) / (now - a.opened)
  local used = a.lever == 'in_flight' and a.met or a.lever ~= 'in_flight' and asked >= (1 - MAX_STRAYS) * a.level
  local is_too_high = a.evidence >= 4 * SURE
  put(a, 'flow', flow)
  if not used then
    -- Something else kept the pool from its level: what was accepted says too little of it.
    local share = share_refused(a)
    flow = math.max(flow, a.lever ~= 'in_flight' and math.max(1 - share, 1 / GROW) * a.level or 0)
  end
  if a.state == 'check' then
    if math.abs(a.verdict) < SURE then
      if is_too_high then
        put(a, 'alike', 0)
        cut(a, now, flow)
      end
    elseif a.verdict > 0 and is_too_high then
      put(a, 'alike', 0)
      cut(a, now, flow)
    else
      conclude(a, now, flow)
    end
  elseif a.state == 'keep' then
    if is_too_high then
      alarm(a, now, flow)
    elseif not supposes_a_cap(a, now) then
      if a.usual and now - a.usual_at > WAIT_MS * GROW ^ 2 then
        put(a, 'usual', nil)
      end
      put(a, 'calls', a.calls + a.firsts)
      put(a, 'refusals', a.refusals + a.first_refused)
      measure(a, now)
    end
  elseif a.state == 'settle' then
    -- With the bucket empty, what was accepted is what the limit allows.
    local base, level = a.base, what_holds(a, flow)
    if level > (1 + STEP) * base then
      if level == a.level then
        note(a, 'limit.raised', base)
        -- All of it passed, from an empty bucket: there may be more. If not so much, less is tried soon.
        put(a, 'wait', SECOND_MS / GROW)
        climb(a, now, GROW ^ 2 * STEP, 0)
      else
        keep(a, now, level, SECOND_MS)
        note(a, 'limit.raised', base)
      end
    else
      give_up(a, now, a.above)
    end
  elseif is_too_high and (a.state == 'raise' or share_refused(a) >= MAX_STRAYS or not used) then
    alarm(a, now, flow)
  elseif not supposes_a_cap(a, now) then
    if used then
      rise(a, now)
    else
      measure(a, now)
    end
  end
end

local function odds(expected, other, refused)
  return refused and math.log(other / expected) or math.log((1 - other) / (1 - expected))
end

-- An answer came to a call; `record` is what `depart` returned.
local function learn(a, now, record, was_refused, retry_after_ms)
  local left, place, again = string.match(record or '', '^(%S+) (%d+) (%d)$')
  if not left then
    return
  end
  left = tonumber(left)
  if was_refused and retry_after_ms > 0 then
    put(a, 'asked', math.max(a.asked or 0, retry_after_ms))
  end
  if was_refused then
    deny(a, now, left, again, retry_after_ms)
  else
    admit(a, now, left)
  end
  if a.state == 'shut' then
    return
  end
  -- A level is measured from its first accepted call on: until then the bucket, or the second, that
  -- the one before used up may be to blame.
  local early = left < (a.since or 0) or a.state and not a.opened and was_refused and now < a.since + SECOND_MS
  if early then
    -- But whatever was refused since the level is raised says that it is too high.
    if a.state == 'raise' and was_refused and again == '0' and left >= a.raised_at then
      put(a, 'evidence', a.evidence + odds(usual(a), usual(a) + STEP, true))
      if a.evidence >= SURE / 2 then
        stop_raising(a, now)
      end
    end
    return
  end
  if not a.state then
    put(a, 'base', 0)
    put(a, 'passed', 0)
    put(a, 'step', GROW - 1)
    put(a, 'above', 0)
    put(a, 'spare', 0)
    put(a, 'wait', SECOND_MS)
    set_level(a, now, rate_in_force(a), 'start')
    put(a, 'since', left)
    put(a, 'open_at', left)
  elseif a.state == 'keep' and now >= a.try_at and a.level < ceiling(a)
    and a.evidence < 4 * SURE then
    try(a, now)
    return
  end
  if not a.opened then
    put(a, 'opened', now)
  elseif was_refused then
    put(a, 'refused', a.refused + 1)
    put(a, 'lowest', math.min(a.lowest or math.huge, tonumber(place)))
  else
    put(a, 'accepted', a.accepted + 1)
    put(a, 'places', a.places + place)
  end
  if again == '0' or (a.share or 0) >= MAX_STRAYS then
    put(a, 'firsts', a.firsts + 1)
    put(a, 'first_refused', a.first_refused + (was_refused and 1 or 0))
    if a.state == 'check' then
      local as_before = math.min(0.95, 2 / 3 * (a.strays or a.share))
      put(a, 'verdict', a.verdict + odds(as_before, as_before / GROW, was_refused))
    end
    put(a, 'evidence', math.max(0, a.evidence + odds(usual(a), usual(a) + STEP, was_refused)))
  end
  if was_refused and a.state == 'raise' and a.evidence >= SURE / 2 then
    stop_raising(a, now)
    return
  elseif was_refused and a.state == 'settle' and a.evidence >= 2 * SURE and a.level > 2 * a.base then
    set_level(a, now, math.sqrt(a.level * a.base), 'settle') -- the last step passed thanks to a burst
    return
  end
  local calls, passed = a.accepted + a.refused, a.opened and now - a.opened
  -- While nothing is refused, a second need not be over: at the start, and after a fall.
  local soon = a.first_refused == 0
    and (a.state == 'start' or a.state == 'raise' and fell_lately(a, now))
  if passed >= SECOND_MS / (soon and 2 or 1) and calls >= CALLS / (soon and 4 or 1) then
    weigh(a, now)
  end
end

-- Accepted calls a second, as they were measured last.
local function accepted_lately(a, now)
  if not a.flow_at or now - a.flow_at > WAIT_MS then
    return 0
  end
  local whole = a.opened and now - a.opened >= SECOND_MS
  return whole and SECOND_MS * a.accepted / (now - a.opened) or a.flow or 0
end

-- The record as it stands now. What was learned is forgotten when an account was idle for long; a
-- shorter idle time is no time in which anything was measured. What was measured by the rules of
-- another version (RULES, tasks/store/connection.py) means nothing to these; the level holds.
local function recall(limit, now)
  local a = open(limit)
  keep_up(a, now)
  local idle = now - (a.seen or now)
  if idle > LONG_MS or a.rules ~= RULES then
    local lever, level = a.lever, a.state ~= 'start' and a.level
    for _, name in ipairs(LEARNED) do
      put(a, name, nil)
    end
    put(a, 'rules', RULES)
    if level and idle <= LONG_MS then
      put(a, 'lever', lever)
      keep(a, now, level, SECOND_MS)
    end
  elseif idle > WAIT_MS and a.opened then
    put(a, 'opened', a.opened + idle)
  end
  put(a, 'seen', now)
  return a
end

local function accepted(a, now, record)
  put(a, 'flow_at', now)
  learn(a, now, record, false, 0)
end

-- The job waits by itself (tasks/retry.py); the pool waits only for what says something of its pace.
local function refused(a, now, record, retry_after_ms)
  learn(a, now, record, true, retry_after_ms)
end
