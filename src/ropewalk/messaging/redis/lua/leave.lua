-- A worker goes: what it holds is free at once, uncounted.
-- KEYS: stream, workers, waiting, batched   ARGV: group, consumer
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local left = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 10000, ARGV[2])
for _, entry in ipairs(left) do
  redis.call('XCLAIM', KEYS[1], ARGV[1], '~waiting', 0, entry[1], 'JUSTID')
  redis.call('ZADD', KEYS[3], now, entry[1])
end
if #left < 10000 then
  redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
  redis.call('ZREM', KEYS[2], ARGV[2])
  redis.call('HDEL', KEYS[4], ARGV[2])
end
return #left
