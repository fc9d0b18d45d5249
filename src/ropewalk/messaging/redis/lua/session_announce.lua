-- Make connections known for ttl more.
-- KEYS: set, ends   ARGV: ttl_ms, members...
local ending = whole(now + tonumber(ARGV[1]))
for i = 2, #ARGV do
  redis.call('SADD', KEYS[1], ARGV[i])
  redis.call('ZADD', KEYS[2], ending, ARGV[i])
end
return #pruned(KEYS[1], KEYS[2])
