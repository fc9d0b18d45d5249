-- A bucket that leaks: it takes `cost` in if there is room, now or (where waiting is allowed) at a moment that it names.
-- All is whole numbers: a token is `token` units, and `leak` units go out each microsecond.
-- KEYS: bucket   ARGV: token, leak, burst, cost, longest wait in microseconds (-1: any)
-- Returns {allowed, wait in microseconds, remaining, microseconds until it is empty}
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local token, leak, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local cost, longest = tonumber(ARGV[4]) * token, tonumber(ARGV[5])
local kept = redis.call('HMGET', KEYS[1], 'level', 'at')
local level, at = tonumber(kept[1] or '0'), tonumber(kept[2] or now)
local passed = math.max(0, now - at)
if passed >= level / leak then level = 0 else level = level - passed * leak end
now = math.max(now, at)
local wait = math.max(0, math.ceil((level + cost - burst * token) / leak))
local allowed = 0
if longest < 0 or wait <= longest then
  allowed, level = 1, level + cost
  redis.call('HSET', KEYS[1], 'level', string.format('%.0f', level), 'at', string.format('%.0f', now))
  redis.call('PEXPIRE', KEYS[1], math.ceil(level / leak / 1000) + 1000)
end
return {allowed, wait, math.max(0, math.floor((burst * token - level) / token)), math.ceil(level / leak)}
