-- Ends a claim after a bug of ours: the next delivery counts one lost worker.
-- KEYS: job; ARGV: owner
local is = read_job(KEYS[1])
if is.owner == ARGV[1] then
  is.lease = 0
  write_job(KEYS[1], is)
end
return 0
