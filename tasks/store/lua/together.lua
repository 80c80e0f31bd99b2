-- Answers many calls of `each` as one script, which is made ready but once for all of them.
-- KEYS and ARGV: those of the calls, one after the other, behind an argument that has for each call
--       how many keys and how many arguments are its own
-- An error ends its own call alone, and is its answer.
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
return answers
