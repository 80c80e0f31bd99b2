-- Takes messages from queues, highest priority first, and leases them, in one step.
--
-- KEYS: the queues. ARGV: how many at most, the lease in ms, a prefix for the leases, the largest
-- message in bytes, how many bytes are kept of a larger one, the steps.
-- Returns for each message: its lease, the number of its queue, its failed deliveries, its payload.

local limit, lease_ms, prefix = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local most, kept = tonumber(ARGV[4]), tonumber(ARGV[5])
local steps = { unpack(ARGV, 6) }
local queues = open_queues(steps)
local now = math.floor(clock())
local taken = {}

local AGAIN = 0.5 -- this fraction of a ms marks a lease that has run out once
local MAX_SHIFTED = 1000 -- how many delays are corrected in one call

-- No more are brought back than can be taken now, so that later ones do not overtake the earliest.
local function due(set)
  return redis.call('ZRANGEBYSCORE', set, '-inf', now, 'LIMIT', 0, limit)
end

local function bring_back(queue, set, leases, failures)
  for i = #leases, 1, -1 do
    put_back(queue, leases[i], failures)
    redis.call('ZREM', set, leases[i])
    redis.call('ZREM', queue.since, leases[i])
  end
end

-- Returns the leases that ran out for the second time; marks those that ran out for the first.
local function run_out(queue)
  local over = {}
  for _, id in ipairs(due(queue.leases)) do
    if tonumber(redis.call('ZSCORE', queue.leases, id)) % 1 == AGAIN then
      over[#over + 1] = id
    else
      redis.call('ZADD', queue.leases, string.format('%d.5', now + lease_half(lease_ms)), id)
    end
  end
  return over
end

-- A message that was put off later than now was put off before the clock was set back: its delay
-- begins now.
local function shift(queue)
  local later = string.format('(%d', now)
  local ids = redis.call('ZRANGEBYSCORE', queue.since, later, '+inf', 'LIMIT', 0, MAX_SHIFTED)
  for _, id in ipairs(ids) do
    local at, since = redis.call('ZSCORE', queue.delayed, id), redis.call('ZSCORE', queue.since, id)
    if at then
      put_off(queue, id, now, at - since)
    else
      redis.call('ZREM', queue.since, id) -- somebody has deleted the delayed message
    end
  end
end

local function lease(queue, number, step, element)
  local count, payload = unwrap(element)
  if #payload > most then
    -- Kept whole, it would be written to disk and sent to a worker at each delivery. That could
    -- take longer than a lease, and then no message behind it would ever be delivered.
    local known = string.format('"bytes":%.0f,"sha1":"%s"', #payload, redis.sha1hex(payload))
    payload = '{"overture-cut":{' .. known .. '}}\n' .. string.sub(payload, 1, kept)
  end
  local id = prefix .. ':' .. #taken
  redis.call('HSET', queue.records, id, step .. ' ' .. count .. ' ' .. payload)
  redis.call('ZADD', queue.leases, now + lease_half(lease_ms), id)
  taken[#taken + 1] = { id, number, count, payload }
end

for _, queue in ipairs(queues) do
  bring_near(queue.leases, now, lease_ms)
  shift(queue)
  bring_back(queue, queue.leases, run_out(queue), 1)
  bring_back(queue, queue.delayed, due(queue.delayed), 0)
end

for _, step in ipairs(steps) do
  for number, queue in ipairs(queues) do
    if #taken < limit then
      -- A key that is not a list is its producers' error; the other lists go on.
      local elements = redis.pcall('RPOP', queue.lists[step], limit - #taken)
      for _, element in ipairs(elements or {}) do
        lease(queue, number, step, element)
      end
    end
  end
end
return taken
