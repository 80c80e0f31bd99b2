-- The limiter: one pace and one cap on requests in flight per account, for the whole pool.

local LATE_MS = 60         -- a slot this late is made up for; later ones are lost, so nobody bursts
local SLEPT_MS = 100       -- a booked slot that its thread comes so much too late for is lost, too
local HORIZON_MS = 1000    -- how far ahead a slot can be booked
local MIN_PAUSE_MS = 1000  -- LivePerson: after a 429 wait at least a second
local LOOK_MS = 50         -- so often a full cap is written down
local AWAY_MS = 1000       -- a job that goes back to the broker stays there for so long at least
local RETURNS = 2          -- jobs that wait in the broker come back so much faster than they can go,
local BACKLOG_MS = 300000  -- spread over so long at most

-- Returns when the next slot is, and books it, unless that is too far away.
local function book(a, now, patience)
  local late = (a.tat or 0) < now - LATE_MS
  local due = late and now or a.tat
  local booked = due <= now + math.min(HORIZON_MS, math.max(0, patience))
  if booked then
    put(a, 'tat', due + 1000 / rate_in_force(a))
    put(a, 'busy', (a.busy or 0) + ((late and 0 or 1) - (a.busy or 0)) / 32)
  end
  return due, booked
end

-- Returns nil when the request may go now, or {wait in ms, booked slot or 0, what holds it}.
local function permit(a, in_flight, now, slot, patience)
  if (a.pause or 0) > now then
    return { a.pause - now, 0, 'pause' }
  end
  local shut = blocked(a, now)
  if shut then
    return { shut, 0, shut_by(a) }
  end

  redis.call('ZREMRANGEBYSCORE', in_flight, '-inf', now)
  local others = redis.call('ZCARD', in_flight)
  if others >= width_in_force(a) then
    if now - (a.full_at or 0) > LOOK_MS then
      put(a, 'full_at', now)
    end
    return { 0, 0, 'in_flight' }
  end

  if slot > now or slot < now - math.max(SLEPT_MS, 1000 / rate_in_force(a)) then
    local due, booked = book(a, now, patience)
    if due > now then
      return { due - now, booked and due or 0, 'rate' }
    end
  end
  return nil
end

-- A request leaves. Returns what `refused` needs to know of it.
local function depart(a, in_flight, now, owner, flight_ms)
  redis.call('ZADD', in_flight, now + flight_ms, owner)
  local place = redis.call('ZCARD', in_flight)
  put(a, 'crowd', (a.crowd or 0) + (place - (a.crowd or 0)) / 16)
  if not a.resumed then
    put(a, 'resumed', now)
  end
  return string.format('%.3f %d', now, place)
end

-- Returns when a job that cannot wait here should come back, in ms: a thousand of them come back
-- one by one, soon enough that a limit that rises finds them there.
local function queue_up(a, now, wait)
  local first = now + math.max(wait, AWAY_MS)
  local due = math.max(a.backlog or 0, first) + 1000 / (RETURNS * rate_ceiling(a))
  put(a, 'backlog', math.min(due, now + math.max(wait, BACKLOG_MS)))
  return a.backlog - now
end

-- A request was refused: everybody pauses, and the first refusal of each pause is learned from.
-- One that left before the last of these says nothing new.
local function refused(a, now, departed, retry_after_ms)
  local paused = (a.pause or 0) > now
  put(a, 'pause', math.max(a.pause or 0, now + math.max(MIN_PAUSE_MS, retry_after_ms)))
  local left, place = string.match(departed or '', '^(%S+) (%d+)$')
  if not paused and tonumber(left or 0) > (a.cut_at or 0) then
    learn(a, now, tonumber(place))
    put(a, 'cut_at', now)
  end
  put(a, 'resumed', a.pause)
  put(a, 'tat', nil)
end
