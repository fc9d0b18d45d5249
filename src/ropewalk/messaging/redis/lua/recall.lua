-- Set free what the server gave a worker that never heard of it: the answer was lost on the way.
-- KEYS: stream, waiting   ARGV: group, consumer, ids...
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local freed = 0
for i = 3, #ARGV do
  if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2]) > 0 then
    redis.call('XCLAIM', KEYS[1], ARGV[1], '~waiting', 0, ARGV[i], 'JUSTID')
    redis.call('ZADD', KEYS[2], now, ARGV[i])
    freed = freed + 1
  end
end
return freed
