-- Marks finished jobs as published. KEYS: jobs
for _, job in ipairs(KEYS) do
  local value = redis.call('GET', job)
  if value and string.byte(value) == 100 then
    redis.call('SET', job, 'p' .. string.sub(value, 2), 'KEEPTTL')
  end
end
