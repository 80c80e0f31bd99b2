-- Marks finished jobs as published. KEYS: jobs
for _, job in ipairs(KEYS) do
  if redis.call('HGET', job, 'state') == 'done' then
    redis.call('HSET', job, 'state', 'published')
  end
end
