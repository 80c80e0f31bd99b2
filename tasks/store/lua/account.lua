-- What the limiter knows of an account: read at once, changed with `put`, written at once.
-- Times are milliseconds of `clock`; what limit.lua measures is explained there.

-- After so long without a call what was learned is forgotten; jobs that wait in the broker come back
-- within it. LivePerson's limit may be any by then.
local LONG_MS = 300000

local FIELDS = {
  'max_rate', 'max_in_flight', -- an operator's, over those ...
  'given_rate', 'given_in_flight', -- ... of the workers' settings
  'seen', 'flow_at', -- the account's last call or answer, and the last one that was accepted
  'tat', 'backlog', 'parked', 'pause', 'waited_at', 'full_at',
  'failures', 'failing_since', 'probe_at', 'probe_ms', 'prober', 'shut_by', 'cause',
  'rules', -- by which the rest was learned
}
local LEARNED = {
  'lever', 'level', 'state', 'since', 'opened', 'try_at', 'wait', 'fell_at', 'learned_at', 'learned_from',
  'base', 'step', 'passed', 'above', 'spare', 'clean', 'raised_at',
  'before', 'share', 'strays', 'alike', 'stood', 'usual', 'usual_at', 'flow',
  'accepted', 'refused', 'firsts', 'first_refused', 'calls', 'refusals', 'evidence', 'verdict',
  'places', 'lowest', 'crowded', 'crowded_from', 'doubts', 'met', 'asked',
}
local TIMES = {
  'seen', 'flow_at', 'tat', 'backlog', 'parked', 'pause', 'waited_at', 'full_at', 'failing_since', 'probe_at',
  'since', 'opened', 'try_at', 'usual_at', 'fell_at', 'raised_at',
}
local TEXTS = { lever = true, state = true, prober = true, shut_by = true, cause = true, rules = true }
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

-- Where the store's clock was set back, every time in the record goes back with it, so that nothing
-- waits for longer than its own rule says; only the booked slots are void.
local function keep_up(a, now)
  local back = (a.seen or now) - now
  if back > 0 then
    for _, name in ipairs(TIMES) do
      put(a, name, a[name] and a[name] - back)
    end
    put(a, 'tat', nil)
  end
end

-- The limits as the workers' settings have them, kept so that whoever looks on knows them too.
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

-- Returns when a job that cannot wait here should come back, in ms: a thousand of them come back one
-- by one, twice as fast as they can go, so that a limit that rises finds them there. What is paused
-- has a line of its own (`parked`), so that nobody else waits behind it.
local function queue_up(a, now, wait, line)
  line = line or 'backlog'
  local due = math.max(a[line] or 0, now + math.max(wait, 1000)) + 500 / rate_ceiling(a)
  put(a, line, math.min(due, now + math.max(wait, LONG_MS)))
  return a[line] - now
end
