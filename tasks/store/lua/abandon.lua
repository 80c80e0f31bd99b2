-- Ends a claim after an error of our own: who takes the job next finds it lost.
-- KEYS: job; ARGV: owner
if redis.call('HGET', KEYS[1], 'owner') == ARGV[1] then
  redis.call('HSET', KEYS[1], 'lease', '0')
end
return 0
