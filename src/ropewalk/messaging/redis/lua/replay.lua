-- Put dead letters back at the end of their stream, for the group in which they died.
-- KEYS: stream, dead   ARGV: ids...   Returns the new ids.
local new = {}
for _, id in ipairs(ARGV) do
  local found = redis.call('XRANGE', KEYS[2], id, id)[1]
  if found then
    local fact = {}
    for i = 1, #found[2], 2 do fact[found[2][i]] = found[2][i + 1] end
    new[#new + 1] = redis.call('XADD', KEYS[1], '*', 'data', fact['data'], 'only', fact['group'])
    redis.call('XDEL', KEYS[2], id)
  end
end
return new
