-- Write a message from now on.
-- KEYS: stream, about, open   ARGV: ttl_ms, a name for a new life, message, fence
-- Returns {'opened', chunks, log}, {'over'} or {'refused', the higher fence}
local stream, about, open = KEYS[1], KEYS[2], KEYS[3]
local field, fence = '=' .. ARGV[3], tonumber(ARGV[4])
local known = redis.call('HMGET', about, 'log', 'next', 'until', field)
local log, newest = known[1], tonumber(known[2] or '1') - 1
if not log then
  log = ARGV[2]
  begin(stream, about, open, log)
end
local m = message_of(known[4])
  or {fence = fence, chunks = 0, over = false, seen = false, first = 0, last_id = 0, last_at = 0, touched = 0}
keep(stream, about, open, tonumber(known[3] or nil), tonumber(ARGV[1]))
if m.over then return {'over'} end
if m.fence > fence then return {'refused', whole(m.fence)} end
if m.fence < fence then m.seen = false end -- the end that was shown was not that of this writer
m.fence, m.touched = fence, newest
redis.call('HSET', about, field, packed_of(m))
return {'opened', whole(m.chunks), log}
