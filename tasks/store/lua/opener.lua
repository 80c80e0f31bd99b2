-- Returns for which job a conversation was opened, from the notes and from a note of older versions.
-- KEYS: the account's notes, and the note in the format of older versions
-- ARGV: the conversation's name in the notes, how many days they are kept
return { opened_for(KEYS[1], ARGV[1], clock(), tonumber(ARGV[2])) or '', redis.call('GET', KEYS[2]) or '' }
