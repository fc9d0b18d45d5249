-- Take connections out.
-- KEYS: set, ends   ARGV: members...
for i = 1, #ARGV do
  redis.call('SREM', KEYS[1], ARGV[i])
  redis.call('ZREM', KEYS[2], ARGV[i])
end
return #pruned(KEYS[1], KEYS[2])
