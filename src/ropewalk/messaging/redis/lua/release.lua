-- Let a lock go, and hand it to who waits longest; or stop waiting for it.
-- KEYS: lock, line, alive, fence   ARGV: token   Returns 1 if it was this one's.
if not is_held_by(ARGV[1]) then
  redis.call('LREM', KEYS[2], 1, ARGV[1])
  redis.call('ZREM', KEYS[3], ARGV[1])
  return 0
end
redis.call('DEL', KEYS[1])
hand_over()
return 1
