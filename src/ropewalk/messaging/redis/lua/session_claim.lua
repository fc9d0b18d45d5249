-- Let a session be one user's, if it is nobody else's.
-- KEYS: owner   ARGV: user, ttl_ms
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
