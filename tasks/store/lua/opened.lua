-- Notes: for which job a conversation was opened, and which jobs a consumer has (there the note's name
-- is the consumer's and the job's, without a value). A key for each note would take too much memory:
-- the notes of a day are spread over small hashes, which a server stores compactly, and over four
-- times as many as soon as one of them is full. The notes of a day expire together, a day late.
local DAY_MS = 86400000
local FULL = 100 -- notes in a hash; servers store up to 128 compactly by default
local MAX_SPREADS = 12  -- how often they are spread: 24 bits of a name choose the hash

local function notes_of(opened, day, level, name)
  local a, b, c = string.byte(name, 1, 3)
  return string.format('%s:%d:%d:%d', opened, day, level, (a * 65536 + b * 256 + c) % 4 ^ level)
end

local function note_opened(opened, name, job, now, ms)
  local day, ends = math.floor(now / DAY_MS), string.format('%d', ms + DAY_MS)
  local level = tonumber(redis.call('GET', opened .. ':' .. day) or 0)
  local notes = notes_of(opened, day, level, name)
  redis.call('HSET', notes, name, job)
  local count = redis.call('HLEN', notes)
  if count == 1 then
    redis.call('PEXPIRE', notes, ends)
  elseif count >= FULL and level < MAX_SPREADS then
    redis.call('SET', opened .. ':' .. day, level + 1, 'PX', ends)
  end
end

local function drop_note(opened, name, now, days)
  local today = math.floor(now / DAY_MS)
  for day = today + 1, today - days, -1 do
    for level = tonumber(redis.call('GET', opened .. ':' .. day) or 0), 0, -1 do
      redis.call('HDEL', notes_of(opened, day, level, name), name)
    end
  end
end

-- Returns a note's value from the last days; tomorrow counts, too: the clock may have been set back.
local function opened_for(opened, name, now, days)
  local today = math.floor(now / DAY_MS)
  for day = today + 1, today - days, -1 do
    local level = tonumber(redis.call('GET', opened .. ':' .. day) or 0)
    for each = level, 0, -1 do
      local job = redis.call('HGET', notes_of(opened, day, each, name), name)
      if job then
        return job
      end
    end
  end
end
