-- Append to the logs of many sessions what their messages do not have yet. session_log.py is its twin.
-- KEYS: for each append stream, about, open
-- ARGV: kept, ttl_ms, a name for new lives, and for each append: message, 'fence chunk_id final count', bodies...
-- Returns one line for each append: 'first chunks refused skipped log'
local kept, ttl, name, at = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], 4
local step, lines = math.max(1, math.floor(kept / 10)), {}

local function append(stream, about, open, id, fence, chunk_id, final, count, bodies)
  local field = '=' .. id
  local known = redis.call('HMGET', about, 'log', 'next', 'until', field)
  local log, newest = known[1], tonumber(known[2] or '1') - 1
  if not log then
    log = name
    begin(stream, about, open, log)
  end
  local m, first, refused, skipped, changed = message_of(known[4]), 0, 0, 0, false
  local till = tonumber(known[3] or nil)
  if not m and chunk_id == 0 then
    m = {fence = fence, chunks = 0, over = false, seen = false, first = 0, last_id = 0, last_at = 0, touched = newest}
    changed = true
  end
  if m and m.fence == fence and chunk_id <= m.chunks then
    if count > 0 and chunk_id + count == m.chunks and chunk_id <= m.last_id then -- the same again
      first, skipped = m.last_at, m.last_id - chunk_id
    else
      skipped = math.min(count, m.chunks - chunk_id)
      if m.over and skipped < count then
        refused, skipped = 1, 0
      elseif skipped < count then
        first = newest + 1
        for i = skipped + 1, count do
          newest = newest + 1
          redis.call('XADD', stream, 'MAXLEN', kept, whole(newest) .. '-0', 'b', ARGV[bodies + i])
        end
        if m.first == 0 then
          m.first, till = first, nil
          redis.call('ZADD', open, whole(first), id)
        end
        m.last_id, m.last_at, m.touched = m.chunks, first, newest
        m.chunks = m.chunks + count - skipped
        changed = true
      end
    end
    if final and not m.over and refused == 0 and chunk_id + count == m.chunks then
      m.over, changed = true, true
      if m.seen then redis.call('ZREM', open, id) end
    end
  elseif m and m.fence >= fence then
    refused = 1
  end
  if changed then redis.call('HSET', about, 'next', whole(newest + 1), field, packed_of(m)) end
  keep(stream, about, open, till, ttl)
  if first > 0 and newest > kept and math.floor((first - 1) / step) < math.floor(newest / step) then
    forget_messages(about, open, newest - kept + 1)
  end
  return whole(first) .. ' ' .. whole(m and m.chunks or 0) .. ' ' .. refused .. ' ' .. skipped .. ' ' .. log
end

for key = 1, #KEYS, 3 do
  local fence, chunk_id, final, count = string.match(ARGV[at + 1], '^(%d+) (%d+) (%d) (%d+)$')
  count = tonumber(count)
  lines[#lines + 1] = append(KEYS[key], KEYS[key + 1], KEYS[key + 2], ARGV[at], tonumber(fence), tonumber(chunk_id),
    final == '1', count, at + 1)
  at = at + 2 + count
end
return table.concat(lines, '\n')
