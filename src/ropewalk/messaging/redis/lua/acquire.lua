-- Take a lock that is free for this one; or stand in line for it.
-- KEYS: lock, line, alive, fence   ARGV: token, expire_ms, wait ('1' or ''), alive_ms, how the keys begin that wake
-- Returns {1, fencing token} or {0, ms until the holder's lease ends, place in the line}
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)
local me, expire = ARGV[1], tonumber(ARGV[2])

local first = redis.call('LINDEX', KEYS[2], 0)

-- Larger than any before, even where the server lost its data: the clock stands in for a counter that is gone.
local function give(token, lasting)
  local fence = string.format('%.0f', math.max(tonumber(redis.call('GET', KEYS[4]) or '0') + 1, micros))
  redis.call('SET', KEYS[4], fence, 'PX', math.max(86400000, expire * 100))
  redis.call('HSET', KEYS[1], 'token', token, 'fence', fence)
  redis.call('PEXPIRE', KEYS[1], lasting)
  if first then
    redis.call('LREM', KEYS[2], 1, token)
    redis.call('ZREM', KEYS[3], token)
  end
  return fence
end

local holder = redis.call('HGET', KEYS[1], 'token')
if holder == me then -- it was handed over, or the first answer was lost
  redis.call('PEXPIRE', KEYS[1], expire)
  redis.call('LREM', KEYS[2], 1, me)
  redis.call('ZREM', KEYS[3], me)
  return {1, redis.call('HGET', KEYS[1], 'fence')}
end
while first and tonumber(redis.call('ZSCORE', KEYS[3], first) or '0') < now do
  redis.call('LPOP', KEYS[2]) -- it stopped waiting without a word
  redis.call('ZREM', KEYS[3], first)
  first = redis.call('LINDEX', KEYS[2], 0)
end
if not holder then
  if not first or first == me then return {1, give(me, expire)} end
  local wake = ARGV[5] .. first
  give(first, math.min(expire, tonumber(ARGV[4]))) -- until it says that it has it
  redis.call('RPUSH', wake, 1)
  redis.call('PEXPIRE', wake, expire)
end
if ARGV[3] ~= '1' then return {0, redis.call('PTTL', KEYS[1]), 0} end
if not redis.call('ZSCORE', KEYS[3], me) then redis.call('RPUSH', KEYS[2], me) end
redis.call('ZADD', KEYS[3], string.format('%.0f', now + ARGV[4]), me)
local longest = math.max(86400000, expire * 10)
redis.call('PEXPIRE', KEYS[2], longest)
redis.call('PEXPIRE', KEYS[3], longest)
local place = 1
if redis.call('LINDEX', KEYS[2], 0) == me then place = 0 end
return {0, redis.call('PTTL', KEYS[1]), place}
