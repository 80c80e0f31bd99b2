-- Takes messages off queues, highest priority first, and leases them, in one step.
--
-- KEYS: the queues. ARGV: how many at most, the lease in ms, a prefix for the leases, the steps.
-- Returns for each message: its lease, the number of its queue, its failed deliveries, its payload.

local limit, lease_ms, prefix = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local steps = { unpack(ARGV, 4) }
local queues = open_queues(steps)
local now = clock_ms()
local taken = {}

-- A server that has just come back gives the holders of leases time to renew them first.
local function was_reachable()
  local uptime = string.match(redis.call('INFO', 'server'), 'uptime_in_seconds:(%d+)')
  return tonumber(uptime) * 1000 >= lease_ms
end

-- No more come back than can be taken now: so the earliest of many is never overtaken.
local function due(set)
  return redis.call('ZRANGEBYSCORE', set, '-inf', now, 'LIMIT', 0, limit)
end

local function bring_back(queue, set, leases, failures)
  for i = #leases, 1, -1 do
    put_back(queue, leases[i], failures)
    redis.call('ZREM', set, leases[i])
  end
end

local function lease(queue, number, step, element)
  local count, payload = unwrap(element)
  local id = prefix .. ':' .. #taken
  redis.call('HSET', queue.records, id, step .. ' ' .. count .. ' ' .. payload)
  redis.call('ZADD', queue.leases, now + lease_ms, id)
  taken[#taken + 1] = { id, number, count, payload }
end

for _, queue in ipairs(queues) do
  local expired = due(queue.leases)
  if #expired > 0 and was_reachable() then
    bring_back(queue, queue.leases, expired, 1)
  end
  bring_back(queue, queue.delayed, due(queue.delayed), 0)
end

for _, step in ipairs(steps) do
  for number, queue in ipairs(queues) do
    if #taken < limit then
      -- A list that is none is its producers' error to see; the other lists go on.
      local elements = redis.pcall('RPOP', queue.lists[step], limit - #taken)
      for _, element in ipairs(elements or {}) do
        lease(queue, number, step, element)
      end
    end
  end
end
return taken
