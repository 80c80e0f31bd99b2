-- Answers many calls of one script in one run: `each` is that script as a function
-- (`together` in tasks/store/connection.py).
-- KEYS and ARGV: those of all calls, one after the other. The first of ARGV has, for each call, its
--       number of keys and of arguments.
-- An error ends only its own call, and is its answer.
local answers, key, argument = {}, 0, 1
for key_count, argument_count in string.gmatch(ARGV[1], '(%d+) (%d+)') do
  local keys, arguments = {}, {}
  for at = 1, tonumber(key_count) do
    keys[at] = KEYS[key + at]
  end
  for at = 1, tonumber(argument_count) do
    arguments[at] = ARGV[argument + at]
  end
  key, argument = key + #keys, argument + #arguments
  local is_done, answer = pcall(each, keys, arguments)
  if not is_done then
    answer = redis.error_reply(type(answer) == 'table' and answer.err or tostring(answer))
  end
  answers[#answers + 1] = answer or false
end
write_accounts()
write_minutes()
return answers
