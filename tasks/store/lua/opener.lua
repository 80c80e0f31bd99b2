-- Tells for which job a conversation was opened; nil if that is not known.
-- KEYS: the account's notes, and the note as it was written before there were those
-- ARGV: the conversation's name in the notes, how many days they are kept
return { opened_for(KEYS[1], ARGV[1], clock(), tonumber(ARGV[2])) or '', redis.call('GET', KEYS[2]) or '' }
