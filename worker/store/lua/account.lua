-- What the limiter knows of an account: read at once, changed with `put`, written at once.
-- Times are milliseconds of `clock`, levels are calls a second or calls in flight.

local FIELDS = {
  'max_rate', 'max_in_flight', -- an operator's, over those ...
  'given_rate', 'given_in_flight', -- ... of the workers' settings
  'pause', 'tat', 'backlog', 'full_at', 'busy', 'crowd',
  'flow', 'flow_at', 'cut_at', 'resumed', 'row',
  'refused_place', 'patience', 'doubts', 'rate_before',
  'rate', 'rate_calm', 'rate_hold', 'rate_since', 'rate_fell',
  'width', 'width_calm', 'width_hold', 'width_since', 'width_fell',
  'failures', 'failing_since', 'probe_at', 'probe_ms', 'prober', 'shut_by', 'cause',
}
local TEXTS = { prober = true, shut_by = true, cause = true }

-- How far ahead the rule of each time can put it at most, in ms; what has happened is not ahead.
local AHEAD_MS = {
  pause = 300000, resumed = 300000, backlog = 300000, probe_at = 300000,
  full_at = 0, flow_at = 0, cut_at = 0, rate_since = 0, width_since = 0, failing_since = 0,
}
local BOOKED_AHEAD_MS = 1000 -- `tat` lies so far ahead, and the time of one call more

local function put(a, name, value)
  a[name] = value
  a.changed[name] = true
end

-- A clock that was set back leaves times that are void: but whoever tried for all may be tried for.
local function without_void_times(a, now)
  local interval_ms = 1000 / math.min(1, a.max_rate or a.given_rate or 1)
  for name, most in pairs(AHEAD_MS) do
    if a[name] and not credible(a[name], now, most) then
      put(a, name, name == 'probe_at' and now or nil)
    end
  end
  if a.tat and not credible(a.tat, now, BOOKED_AHEAD_MS + interval_ms) then
    put(a, 'tat', nil)
  end
  return a
end

local function open(limit, now)
  local values = redis.call('HMGET', limit, unpack(FIELDS))
  local a = { changed = {} }
  for i, name in ipairs(FIELDS) do
    a[name] = TEXTS[name] and values[i] or tonumber(values[i])
  end
  return without_void_times(a, now)
end

local function save(a, limit)
  local set, unset = {}, {}
  for name in pairs(a.changed) do
    local value = a[name]
    if value == nil then
      unset[#unset + 1] = name
    else
      set[#set + 1] = name
      set[#set + 1] = type(value) == 'number' and string.format('%.16g', value) or value
    end
  end
  if #set > 0 then
    redis.call('HSET', limit, unpack(set))
  end
  if #unset > 0 then
    redis.call('HDEL', limit, unpack(unset))
  end
end

-- The limits as the workers' settings have them, kept so that whoever looks on knows them too.
local function give(a, rate, in_flight)
  if a.given_rate ~= rate or a.given_in_flight ~= in_flight then
    put(a, 'given_rate', rate)
    put(a, 'given_in_flight', in_flight)
  end
end

local function rate_ceiling(a)
  return a.max_rate or a.given_rate
end

local function in_flight_ceiling(a)
  return a.max_in_flight or a.given_in_flight
end
