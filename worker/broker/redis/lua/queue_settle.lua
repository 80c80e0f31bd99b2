-- Settles or renews leases.
--
-- KEYS: the queues. ARGV: how many steps, the steps, then for each lease a verb, the number of its
-- queue, its id and a time in ms. Returns the leases that had run out; they are left as they are.

local count = tonumber(ARGV[1])
local queues = open_queues({ unpack(ARGV, 2, 1 + count) })
local now = math.floor(clock())

local verbs = {}

function verbs.ack(queue, lease)
  redis.call('HDEL', queue.records, lease)
  redis.call('ZREM', queue.leases, lease)
end

function verbs.requeue(queue, lease)
  put_back(queue, lease, 1)
  redis.call('ZREM', queue.leases, lease)
end

function verbs.defer(queue, lease, ms)
  put_off(queue, lease, now, ms)
  redis.call('ZREM', queue.leases, lease)
end

function verbs.renew(queue, lease, ms)
  redis.call('ZADD', queue.leases, now + lease_half(ms), lease)
end

local gone = {}
for i = count + 2, #ARGV, 4 do
  local queue, lease = queues[tonumber(ARGV[i + 1])], ARGV[i + 2]
  if redis.call('ZSCORE', queue.leases, lease) then
    verbs[ARGV[i]](queue, lease, ARGV[i + 3])
  else
    gone[#gone + 1] = lease
  end
end
return gone
