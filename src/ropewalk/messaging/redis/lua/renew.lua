-- Hold a lock for longer. KEYS: lock   ARGV: token, expire_ms   Returns 1, or 0 when it is another's or nobody's.
if string.sub(redis.call('GET', KEYS[1]) or '', 1, #ARGV[1] + 1) ~= ARGV[1] .. ':' then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
