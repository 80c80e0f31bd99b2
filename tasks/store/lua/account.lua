-- The limiter's record of an account: read whole with `open`, changed with `put`, written with `save`.
-- Times are milliseconds of `clock`; limit.lua explains its own fields.

-- What was learned is forgotten after this long without a call: LivePerson's limit may have changed.
-- Jobs that wait in the broker come back sooner.
local LONG_MS = 300000

local FIELDS = {
  'max_rate', 'max_in_flight', -- an operator's, which replace ...
  'given_rate', 'given_in_flight', -- ... those of the workers' settings
  'seen', 'flow_at', -- the account's last call or answer, and the last one that was accepted
  'tat', 'backlog', 'parked', 'pause', 'waited_at', 'full_at',
  'failures', 'failing_since', 'probe_at', 'probe_ms', 'prober', 'shut_by', 'cause',
  'rules', -- by which the rest was learned
}
local LEARNED = {
  'lever', 'level', 'state', 'since', 'opened', 'try_at', 'wait', 'fell_at', 'learned_at', 'learned_from',
  'base', 'step', 'passed', 'above', 'spare', 'clean', 'saved', 'raised_at',
  'before', 'share', 'strays', 'alike', 'stood', 'usual', 'usual_at', 'flow',
  'accepted', 'refused', 'firsts', 'first_refused', 'calls', 'refusals', 'evidence', 'verdict',
  'places', 'lowest', 'crowded', 'crowded_from', 'doubts', 'met', 'asked',
  'denied', 'denied_from', 'shut_level', 'shut_lever', 'open_at',
}
local TIMES = {
  'seen', 'flow_at', 'tat', 'backlog', 'parked', 'pause', 'waited_at', 'full_at', 'failing_since', 'probe_at',
  'since', 'opened', 'try_at', 'usual_at', 'fell_at', 'raised_at', 'denied_from', 'open_at',
}
local TEXTS = { lever = true, shut_lever = true, state = true, prober = true, shut_by = true, cause = true, rules = true }
for _, name in ipairs(LEARNED) do
  FIELDS[#FIELDS + 1] = name
end

local function put(a, name, value)
  if a[name] ~= value then
    a[name] = value
    a.changed[name] = true
  end
end

local function open(limit)
  local values = redis.call('HMGET', limit, unpack(FIELDS))
  local a = { changed = {} }
  for i, name in ipairs(FIELDS) do
    a[name] = values[i] and (TEXTS[name] and values[i] or tonumber(values[i])) or nil
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

-- If the store's clock was set back, moves every time in the record back with it, so that nothing
-- waits longer than its own rule says. Booked times are dropped.
local function keep_up(a, now)
  local back = (a.seen or now) - now
  if back > 0 then
    for _, name in ipairs(TIMES) do
      put(a, name, a[name] and a[name] - back)
    end
    put(a, 'tat', nil)
  end
end

-- Records the limits of the workers' settings, for the commands that show them.
local function give(a, rate, in_flight)
  put(a, 'given_rate', rate)
  put(a, 'given_in_flight', in_flight)
end

local function rate_ceiling(a)
  return a.max_rate or a.given_rate
end

local function in_flight_ceiling(a)
  return a.max_in_flight or a.given_in_flight
end

-- Returns when a job should come back from the broker, in ms. Jobs come back one by one, twice as fast
-- as the rate allows, so that there are enough when a limit rises. Paused jobs have their own line
-- (`parked`), so that no other job waits behind them.
local function queue_up(a, now, wait, line)
  line = line or 'backlog'
  local due = math.max(a[line] or 0, now + math.max(wait, 1000)) + 500 / rate_ceiling(a)
  put(a, line, math.min(due, now + math.max(wait, LONG_MS)))
  return a[line] - now
end
