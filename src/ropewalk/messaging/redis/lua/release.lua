-- Let a lock go, and hand it to who waits longest; or stop waiting for it.
-- KEYS: lock, line, alive, fence   ARGV: token, expire_ms, alive_ms, how the keys begin that wake
-- Returns 1 if it was this one's.
local me, expire = ARGV[1], tonumber(ARGV[2])
if redis.call('HGET', KEYS[1], 'token') ~= me then
  redis.call('LREM', KEYS[2], 1, me)
  redis.call('ZREM', KEYS[3], me)
  return 0
end
redis.call('DEL', KEYS[1])
local first = redis.call('LPOP', KEYS[2])
if not first then return 1 end
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)
while first do
  local alive = tonumber(redis.call('ZSCORE', KEYS[3], first) or '0')
  redis.call('ZREM', KEYS[3], first)
  if alive >= now then
    local fence = string.format('%.0f', math.max(tonumber(redis.call('GET', KEYS[4]) or '0') + 1, micros))
    redis.call('SET', KEYS[4], fence, 'PX', math.max(86400000, expire * 100))
    redis.call('HSET', KEYS[1], 'token', first, 'fence', fence)
    redis.call('PEXPIRE', KEYS[1], math.min(expire, tonumber(ARGV[3]))) -- until it says that it has it
    local wake = ARGV[4] .. first
    redis.call('RPUSH', wake, 1)
    redis.call('PEXPIRE', wake, expire)
    return 1
  end
  first = redis.call('LPOP', KEYS[2])
end
return 1
