-- The log of a session: a stream of chunks in places n-0, a hash with what is known of it and of its messages, and the
-- messages whose end nobody has seen, by the place of their first chunk.
-- In the hash: log (the name of its life), next (the next place), until (in ms: when it may be forgotten), and for each
-- message '=' .. its id: fence, chunks, over, seen, first, last_id, last_at and touched, packed.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function whole(number) return string.format('%.0f', number) end

-- Let the log live for ttl more, if it would not by itself (till). It is written down once a minute, or in a tenth of a
-- short ttl, to spare four commands; and where till is nil: a key that is new has no expiry yet.
local function keep(stream, about, open, till, ttl)
  local slack = math.min(60000, math.floor(ttl / 10))
  if till and till >= now + ttl then return end
  local last = whole(now + ttl + slack)
  redis.call('HSET', about, 'until', last)
  redis.call('PEXPIREAT', about, last)
  redis.call('PEXPIREAT', stream, last)
  redis.call('PEXPIREAT', open, last)
end

local function begin(stream, about, open, name)
  redis.call('DEL', stream, open) -- left over where a server that was short of memory took the hash alone
  redis.call('HSET', about, 'log', name, 'next', 1)
end

local function message_of(packed)
  if not packed then return nil end
  local m = cmsgpack.unpack(packed)
  return {fence = m[1], chunks = m[2], over = m[3], seen = m[4], first = m[5], last_id = m[6], last_at = m[7],
    touched = m[8]}
end

local function packed_of(m)
  return cmsgpack.pack({m.fence, m.chunks, m.over, m.seen, m.first, m.last_id, m.last_at, m.touched})
end

-- Forget the messages that were not written since the oldest chunk that is kept.
local function forget_messages(about, open, oldest)
  local all = redis.call('HGETALL', about)
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 1) == '=' and message_of(all[i + 1]).touched < oldest then
      redis.call('HDEL', about, all[i])
      redis.call('ZREM', open, string.sub(all[i], 2))
    end
  end
end
