-- Make one the holder, under a number larger than any before. A counter that is not there, because nobody counted for
-- a month or because the server lost its data, goes on from the server's clock in microseconds: nobody counts as fast.
-- KEYS: lock, line, alive, fence. The lock is 'token:number'.
local function give(token, lasting)
  local fence = redis.call('INCR', KEYS[4])
  if fence == 1 then
    local time = redis.call('TIME')
    fence = time[1] * 1000000 + time[2]
    redis.call('SET', KEYS[4], string.format('%.0f', fence), 'PX', 2592000000)
  end
  fence = string.format('%.0f', fence)
  redis.call('SET', KEYS[1], token .. ':' .. fence, 'PX', lasting)
  return fence
end

-- Make the first in line the holder, for half a second, in which it says that it has it; who stopped waiting without a
-- word is passed over.
local function hand_over()
  local first = redis.call('LPOP', KEYS[2])
  while first do
    local time = redis.call('TIME')
    local left = tonumber(redis.call('ZSCORE', KEYS[3], first) or '0') - time[1] * 1000 - math.floor(time[2] / 1000)
    redis.call('ZREM', KEYS[3], first)
    if left > 0 then
      give(first, math.min(left, 500))
      local wake = string.sub(KEYS[2], 1, -5) .. 'wake:' .. first
      redis.call('RPUSH', wake, 1)
      redis.call('PEXPIRE', wake, 60000)
      return
    end
    first = redis.call('LPOP', KEYS[2])
  end
end

local function is_held_by(token)
  return string.sub(redis.call('GET', KEYS[1]) or '', 1, #token + 1) == token .. ':'
end
