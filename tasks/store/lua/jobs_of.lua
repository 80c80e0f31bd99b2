-- Returns the jobs in a consumer's notes: the part of each note's name after the consumer's.
-- KEYS: the account's notes of consumers; ARGV: the consumer's name in them, how many days they are kept
local notes, consumer, days, now = KEYS[1], ARGV[1], tonumber(ARGV[2]), clock()
local found = {}
for day = math.floor(now / DAY_MS) + 1, math.floor(now / DAY_MS) - days, -1 do
  for level = tonumber(redis.call('GET', notes .. ':' .. day) or 0), 0, -1 do
    for _, name in ipairs(redis.call('HKEYS', notes_of(notes, day, level, consumer))) do
      if string.sub(name, 1, #consumer) == consumer then
        found[#found + 1] = string.sub(name, #consumer + 1)
      end
    end
  end
end
return found
