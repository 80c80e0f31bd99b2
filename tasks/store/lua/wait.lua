-- Notes of a job that nobody has yet until when it waits, and for what.
-- KEYS: job; ARGV: how long it waits in ms, what it waits for, record ms
note_wait(KEYS[1], clock(), tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]))
return 1
