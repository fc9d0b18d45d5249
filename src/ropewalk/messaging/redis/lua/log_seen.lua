-- Note that somebody was shown the end of messages. It makes no log live longer.
-- KEYS: stream, about, open   ARGV: messages...
for _, id in ipairs(ARGV) do
  local m = message_of(redis.call('HGET', KEYS[2], '=' .. id))
  if m and not m.seen then
    m.seen = true
    redis.call('HSET', KEYS[2], '=' .. id, packed_of(m))
    if m.over then redis.call('ZREM', KEYS[3], id) end
  end
end
return #ARGV
