-- The newest `rate` grants: another is given one period after the oldest of them, at the soonest.
-- KEYS: grants, newest first   ARGV: rate, period in microseconds, cost, longest wait in microseconds (-1: any)
-- Returns {allowed, wait in microseconds, remaining, microseconds until all are free}
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local rate, period = tonumber(ARGV[1]), tonumber(ARGV[2])
local cost, longest = tonumber(ARGV[3]), tonumber(ARGV[4])
local last = tonumber(redis.call('LINDEX', KEYS[1], 0) or '0')
local function used()
  local lo, hi = 0, redis.call('LLEN', KEYS[1]) -- how many are not a period old; they are sorted
  while lo < hi do
    local mid = math.floor((lo + hi) / 2)
    if tonumber(redis.call('LINDEX', KEYS[1], mid)) + period > now then lo = mid + 1 else hi = mid end
  end
  return lo
end
local oldest = redis.call('LINDEX', KEYS[1], rate - cost)
local when = now
if oldest then when = math.max(now, tonumber(oldest) + period) end
when = math.max(when, last)
local wait, allowed = when - now, 0
if cost <= rate and (longest < 0 or wait <= longest) then
  allowed, last = 1, when
  for _ = 1, cost do redis.call('LPUSH', KEYS[1], string.format('%.0f', when)) end
  redis.call('LTRIM', KEYS[1], 0, rate - 1)
  redis.call('PEXPIRE', KEYS[1], math.ceil((when - now + period) / 1000) + 1000)
end
return {allowed, wait, math.max(0, rate - used()), math.max(0, last + period - now)}
