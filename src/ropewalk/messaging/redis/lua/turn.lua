-- One turn of a worker: settle what it finished, then give it what is due again, then what is new. Atomic.
-- KEYS: stream, workers, waiting, attempts, dead
-- ARGV: group, consumer, max_attempts, backoff_ms, longest_ms, room, new, alone ('1' or ''), checks ('1' or ''),
--   how many are done, the id of each, then for each that is not (kind, id, reason, raw, attempts it must have, or '')
-- Returns {ids that were no longer this worker's, what is due again: {{id, fields, attempts}...}, ms until more is or -1,
--   how many of those that were with a worker when it died wait to be tried by a worker that does nothing else,
--   whether the one that was taken is such a one, or what is new: {{id, fields}...}}
local stream, waiting, attempts, dead = KEYS[1], KEYS[3], KEYS[4], KEYS[5]
local group, consumer, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local refused, taken = {}, {}

local function forget(id)
  redis.call('XACK', stream, group, id)
  redis.call('HDEL', attempts, id, id .. '!')
  redis.call('ZREM', waiting, id)
end

local function set_aside(id, due)
  redis.call('XCLAIM', stream, group, '~waiting', 0, id, 'JUSTID')
  redis.call('ZADD', waiting, string.format('%.0f', due), id)
end

local function bury(id, reason, raw, count)
  redis.call('XADD', dead, '*', 'data', raw, 'group', group, 'id', id, 'reason', reason, 'attempts', count)
  forget(id)
end

local function is_mine(id)
  return #redis.call('XPENDING', stream, group, id, id, 1, consumer) > 0
end

-- What a worker did that was heard of all the time is its own still; only one that was silent for a lease is checked.
local checks, last_done = ARGV[9] == '1', 10 + tonumber(ARGV[10])
for from = 11, last_done, 1000 do
  local done = {unpack(ARGV, from, math.min(from + 999, last_done))}
  if checks then
    local still = {}
    for _, id in ipairs(done) do
      if is_mine(id) then still[#still + 1] = id else refused[#refused + 1] = id end
    end
    done = still
  end
  if #done > 0 then
    redis.call('XACK', stream, group, unpack(done))
    if redis.call('EXISTS', attempts) == 1 then
      for _, id in ipairs(done) do redis.call('HDEL', attempts, id, id .. '!') end
    end
  end
end

for i = last_done + 1, #ARGV, 5 do
  local kind, id, reason, raw, expected = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  if not is_mine(id) or (expected ~= '' and (redis.call('HGET', attempts, id) or '0') ~= expected) then
    refused[#refused + 1] = id
  elseif kind == 'ok' then
    forget(id)
  elseif kind == 'back' then
    set_aside(id, now)
  else
    local count = redis.call('HINCRBY', attempts, id, 1)
    if kind == 'dead' or count >= most then
      bury(id, reason, raw, count)
    else
      set_aside(id, now + math.min(tonumber(ARGV[5]), tonumber(ARGV[4]) * 2 ^ (count - 1)))
    end
  end
end

-- Who was with a worker when it died may be what killed it: it is tried alone, so that it takes nobody else along.
local room, alone, suspects = tonumber(ARGV[6]), ARGV[8] == '1', 0
local suspect_taken = false
for _, id in ipairs(redis.call('ZRANGEBYSCORE', waiting, '-inf', now, 'LIMIT', 0, room + 50)) do
  local suspect = redis.call('HEXISTS', attempts, id .. '!') == 1
  if suspect and (not alone or #taken > 0) then
    suspects = suspects + 1
  elseif #taken < room and not suspect_taken then
    local entry = redis.call('XCLAIM', stream, group, consumer, 0, id)[1]
    redis.call('ZREM', waiting, id)
    if type(entry) == 'table' and type(entry[2]) == 'table' then
      taken[#taken + 1] = {id, entry[2], tonumber(redis.call('HGET', attempts, id) or '0')}
      suspect_taken = suspect
    else
      forget(id) -- the stream was trimmed
    end
  end
end

local new, fresh = tonumber(ARGV[7]), {}
if new > 0 and #taken == 0 and suspects == 0 then
  local found = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', new, 'STREAMS', stream, '>')
  if found then fresh = found[1][2] end
end

local first = redis.call('ZRANGE', waiting, 0, 0, 'WITHSCORES')
local due = -1
if first[2] and suspects == 0 then due = math.max(0, math.ceil(first[2] - now)) end
return {refused, taken, due, suspects, suspect_taken and 1 or 0, fresh}
