-- Tells how an account stands, as JSON; writes nothing. KEYS: limit, in flight
local limit, in_flight = KEYS[1], KEYS[2]
local now = clock()
local a = recall(limit, now)

local holds, ms = '', 0
if (a.pause or 0) > now then
  holds, ms = 'pause', a.pause - now
elseif a.probe_at then
  holds, ms = shut_by(a), blocked(a, now) or 0
elseif now - (a.full_at or 0) < 1000 then
  holds = 'in_flight'
elseif (a.tat or 0) > now and (a.busy or 0) > 0.5 then
  holds = 'rate'
end
return cjson.encode({
  holds = holds,
  seconds = ms / 1000,
  cause = cause_of(a, holds),
  in_flight = redis.call('ZCOUNT', in_flight, string.format('(%.3f', now), '+inf'),
  accepted = rate_ceiling(a) and flow(a, now) or 0,
  max_rate = rate_ceiling(a),
  max_in_flight = in_flight_ceiling(a),
  learned_rate = a.rate and rate_ceiling(a) and rate_in_force(a) or nil,
  learned_in_flight = a.width and in_flight_ceiling(a) and width_in_force(a) or nil,
  is_set = a.max_rate ~= nil or a.max_in_flight ~= nil,
})
