-- A queue of the Redis transport: its keys, and how a message is put back. Joined before
-- queue_take.lua and queue_settle.lua, after the store's clock.lua (worker/broker/redis/layout.py).
--
-- A message that was taken is known by its lease. Its record is "<step> <deliveries> <payload>": the
-- priority step of the list it came from, how many deliveries failed before, and its producer's
-- bytes. A message that is put back carries this count as the first member of the JSON object that
-- kombu wrote, so that an ordinary kombu consumer can still read it.

local MAX_DELIVERIES = 999999 -- as many digits as are read back

local function unwrap(element)
  local pattern = '^({?)"x%-delivery%-count":(%d%d?%d?%d?%d?%d?),'
  local _, last, brace, count = string.find(element, pattern)
  if not last then
    return 0, element
  end
  return tonumber(count), brace .. string.sub(element, last + 1)
end

local function wrap(count, payload)
  if count == 0 then
    return payload
  end
  local mark = '"x-delivery-count":' .. math.min(count, MAX_DELIVERIES) .. ','
  if string.sub(payload, 1, 1) == '{' then
    return '{' .. mark .. string.sub(payload, 2)
  end
  return mark .. payload
end

-- KEYS holds for each queue its records, leases, delayed and since, then a list per step, highest
-- first. Times are whole milliseconds of `clock`.
local function open_queues(steps)
  local queues = {}
  local width = 4 + #steps
  for first = 1, #KEYS, width do
    local queue = {
      records = KEYS[first], -- hash: lease -> record
      leases = KEYS[first + 1], -- sorted set: lease -> when it runs out; with .5 for the second time
      delayed = KEYS[first + 2], -- sorted set: lease -> when it is due
      since = KEYS[first + 3], -- sorted set: lease -> when it was put off
      lists = {},
      lowest = KEYS[first + width - 1],
    }
    for place, step in ipairs(steps) do
      queue.lists[step] = KEYS[first + 3 + place]
    end
    -- Two writes that change nothing. If a key has another type, they fail before anything was
    -- moved. And a script that has written may go on when the server's memory is full, which is
    -- when taking messages from it matters most.
    redis.call('HDEL', queue.records, '')
    redis.call('ZREM', queue.leases, '')
    queues[#queues + 1] = queue
  end
  return queues
end

-- Puts a message where it is taken next. It is written before it is removed, so no error loses it.
local function put_back(queue, lease, failures)
  local record = redis.call('HGET', queue.records, lease)
  if record then
    local step, count, first = string.match(record, '^(%d+) (%d+) ()')
    local list = queue.lists[step] or queue.lowest
    redis.call('RPUSH', list, wrap(tonumber(count) + failures, string.sub(record, first)))
    redis.call('HDEL', queue.records, lease)
  end
end

-- A lease has to run out twice before its message is given to another worker. So its holder can
-- still renew it after the server was away or its clock was set forward, when all leases run out.
local function lease_half(lease_ms)
  return math.floor(lease_ms / 2)
end

local function put_off(queue, lease, now, ms)
  redis.call('ZADD', queue.delayed, now + ms, lease)
  redis.call('ZADD', queue.since, now, lease)
end
