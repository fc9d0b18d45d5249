-- Take a lock that is free for this one; or stand in line for it.
-- KEYS: lock, line, alive, fence   ARGV: token, expire_ms, and for who waits: how long it may be silent, in ms
-- Returns {1, fencing token} or {0, ms until the holder's lease ends, place in the line}
local me, expire, alive = ARGV[1], tonumber(ARGV[2]), ARGV[3]
if redis.call('EXISTS', KEYS[1], KEYS[2]) == 0 then return {1, give(me, expire)} end

if redis.call('EXISTS', KEYS[1]) == 0 then hand_over() end
if redis.call('EXISTS', KEYS[1]) == 0 then return {1, give(me, expire)} end
if is_held_by(me) then -- it was handed over, or the first answer was lost
  redis.call('PEXPIRE', KEYS[1], expire)
  redis.call('LREM', KEYS[2], 1, me)
  redis.call('ZREM', KEYS[3], me)
  return {1, string.sub(redis.call('GET', KEYS[1]), #me + 2)}
end

if not alive then return {0, redis.call('PTTL', KEYS[1]), 0} end
if not redis.call('ZSCORE', KEYS[3], me) then redis.call('RPUSH', KEYS[2], me) end
local time = redis.call('TIME')
redis.call('ZADD', KEYS[3], string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + alive), me)
local longest = math.max(86400000, expire * 10)
redis.call('PEXPIRE', KEYS[2], longest)
redis.call('PEXPIRE', KEYS[3], longest)
local place = 1
if redis.call('LINDEX', KEYS[2], 0) == me then place = 0 end
return {0, redis.call('PTTL', KEYS[1]), place}
