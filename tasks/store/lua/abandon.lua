-- Ends a claim after an error of our own: who takes the job next finds it lost.
-- KEYS: job; ARGV: owner
local is = read_job(KEYS[1])
if is.owner == ARGV[1] then
  is.lease = 0
  write_job(KEYS[1], is)
end
return 0
