-- A queue of the Redis transport: what it is made of, and how a message goes back into it.
--
-- A message that was taken is known by its lease. Its record is "<step> <deliveries> <payload>": the
-- priority step of the list it came from, how often it had failed before, and its producer's bytes.
-- One that goes back into a list carries its count in front, spliced in as the first member of the
-- JSON object that kombu wrote, so that an ordinary kombu consumer can still read it.

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
      leases = KEYS[first + 1], -- sorted set: lease -> when it runs out, and half a ms the second time
      delayed = KEYS[first + 2], -- sorted set: lease -> when it is due
      since = KEYS[first + 3], -- sorted set: lease -> when it was put off
      lists = {},
      lowest = KEYS[first + width - 1],
    }
    for place, step in ipairs(steps) do
      queue.lists[step] = KEYS[first + 3 + place]
    end
    -- Two writes that change nothing. They fail, before anything has moved, where a key is of
    -- another type; and a script that has written may go on when the server's memory is full,
    -- which is when taking messages off it matters most.
    redis.call('HDEL', queue.records, '')
    redis.call('ZREM', queue.leases, '')
    queues[#queues + 1] = queue
  end
  return queues
end

-- Puts a message where it is taken next; written before it is removed, so that no error loses it.
local function put_back(queue, lease, failures)
  local record = redis.call('HGET', queue.records, lease)
  if record then
    local step, count, first = string.match(record, '^(%d+) (%d+) ()')
    local list = queue.lists[step] or queue.lowest
    redis.call('RPUSH', list, wrap(tonumber(count) + failures, string.sub(record, first)))
    redis.call('HDEL', queue.records, lease)
  end
end

-- A lease runs out twice: it is handed out the second time, and its holder renews it before that,
-- also where the server was away or its clock was set forward, so that all ran out together.
local function lease_half(lease_ms)
  return math.floor(lease_ms / 2)
end

local function put_off(queue, lease, now, ms)
  redis.call('ZADD', queue.delayed, now + ms, lease)
  redis.call('ZADD', queue.since, now, lease)
end
