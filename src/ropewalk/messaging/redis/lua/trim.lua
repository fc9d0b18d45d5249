-- Let go of the entries that every group has finished. KEYS: stream   Returns how many.
local least
for _, about in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local fact = {}
  for i = 1, #about, 2 do fact[about[i]] = about[i + 1] end
  local pending = redis.call('XPENDING', KEYS[1], fact['name'])
  local ms, number = string.match(pending[2] or fact['last-delivered-id'], '(%d+)-(%d+)')
  ms, number = tonumber(ms), tonumber(number)
  if not pending[2] then number = number + 1 end -- the last one given out is finished too
  if not least or ms < least[1] or (ms == least[1] and number < least[2]) then least = {ms, number} end
end
if not least then return 0 end
return redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f-%.0f', least[1], least[2]))
