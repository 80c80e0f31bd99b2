-- Returns the state of an account's limits as JSON, and its pauses; writes nothing.
-- KEYS: limit, in flight, what is paused
local limit, in_flight, paused = KEYS[1], KEYS[2], KEYS[3]
local now = clock()
local a = recall(limit, now)

local holds, ms = '', 0
if (a.pause or 0) > now then
  holds, ms = 'pause', a.pause - now
elseif a.probe_at then
  holds, ms = shut_by(a), blocked(a, now) or 0
elseif now - (a.full_at or 0) < 1000 then
  holds = 'in_flight'
elseif now - (a.waited_at or 0) < 1000 then
  holds = 'rate'
end
local function below(a, ceiling)
  local level = ceiling and a.state ~= 'start' and (a.state == 'raise' and a.base or a.level)
  if level and level < ceiling then
    return level
  end
end

return { cjson.encode({
  holds = holds,
  seconds = ms / 1000,
  cause = cause_of(a, holds),
  in_flight = redis.call('ZCOUNT', in_flight, string.format('(%.3f', now), '+inf'),
  accepted = accepted_lately(a, now),
  max_rate = rate_ceiling(a),
  max_in_flight = in_flight_ceiling(a),
  state = a.state or '',
  learned_rate = a.level and a.lever ~= 'in_flight' and below(a, rate_ceiling(a)) or nil,
  learned_in_flight = a.lever == 'in_flight' and below(a, in_flight_ceiling(a)) or nil,
  learned_at = a.learned_at,
  learned_from = a.learned_from,
  tolerated = a.usual,
  try_in = a.state == 'keep' and a.try_at and math.max(0, a.try_at - now) / 1000 or nil,
  is_set = a.max_rate ~= nil or a.max_in_flight ~= nil,
}), redis.call('HGETALL', paused) }
