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
  'failures', 'failing_since', 'probe_at', 'probe_ms', 'prober',
}

local function put(a, name, value)
  a[name] = value
  a.changed[name] = true
end

local function open(limit)
  local values = redis.call('HMGET', limit, unpack(FIELDS))
  local a = { changed = {} }
  for i, name in ipairs(FIELDS) do
    a[name] = name == 'prober' and values[i] or tonumber(values[i])
  end
  return a
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
