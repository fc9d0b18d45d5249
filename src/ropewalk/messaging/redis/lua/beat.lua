-- A worker's sign of life; whose sign has been missing for a whole lease is dead, and what it held is set free.
-- KEYS: stream, workers, waiting, attempts, dead, pulse, batched
-- ARGV: group, consumer, lease_ms, max_attempts, batched ('1' or ''), idle_ms, held
-- Returns {how many were set free, ids that are this worker's for idle_ms}; the second only if it holds fewer than it has
local stream, workers, waiting, attempts, dead, pulse = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local group, consumer, lease, most = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local until_when = string.format('%.0f', now + lease)

-- When nobody was heard the server was away, not the workers: each gets a lease to be heard again.
local last = redis.call('GET', pulse)
if not last or now - tonumber(last) > lease / 2 then
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', workers, '-inf', until_when)) do
    redis.call('ZADD', workers, until_when, name)
  end
end
redis.call('SET', pulse, string.format('%.0f', now), 'PX', lease * 100)
redis.call('ZADD', workers, until_when, consumer)
if ARGV[5] == '1' then redis.call('HSET', KEYS[7], consumer, 1) end

-- A consumer that has something and was never heard (a worker thawed after its lease, say) gets a lease too.
local mine = 0
for _, about in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
  local fact = {}
  for i = 1, #about, 2 do fact[about[i]] = about[i + 1] end
  if fact['name'] == consumer then mine = fact['pending'] end
  if fact['pending'] > 0 and fact['name'] ~= '~waiting' and not redis.call('ZSCORE', workers, fact['name']) then
    redis.call('ZADD', workers, until_when, fact['name'])
  end
end

local freed = 0
for _, name in ipairs(redis.call('ZRANGEBYSCORE', workers, '-inf', now, 'LIMIT', 0, 10)) do
  local batched = redis.call('HEXISTS', KEYS[7], name) == 1
  local left = redis.call('XPENDING', stream, group, '-', '+', 100, name)
  for _, entry in ipairs(left) do
    local id = entry[1]
    freed = freed + 1
    local count
    if batched and redis.call('HSETNX', attempts, id, 0) == 1 then
      count = 0 -- it may not have been begun: from now on it is given out alone, and counted
    else
      count = redis.call('HINCRBY', attempts, id, 1)
    end
    redis.call('HSET', attempts, id .. '!', 1)
    if count >= most then
      local found = redis.call('XRANGE', stream, id, id)[1]
      local raw = '' -- the stream was trimmed
      if found then
        local fields = {}
        for i = 1, #found[2], 2 do fields[found[2][i]] = found[2][i + 1] end
        raw = fields['data'] or cjson.encode(fields) -- another program's entry
      end
      redis.call('XADD', dead, '*', 'data', raw, 'group', group, 'id', id, 'attempts', count,
        'reason', 'WorkerDied: ' .. name .. ' was not heard of for ' .. (lease / 1000) .. ' s')
      redis.call('XACK', stream, group, id)
      redis.call('HDEL', attempts, id, id .. '!')
    else
      redis.call('XCLAIM', stream, group, '~waiting', 0, id, 'JUSTID')
      redis.call('ZADD', waiting, string.format('%.0f', now), id)
    end
  end
  if #left < 100 then
    redis.call('XGROUP', 'DELCONSUMER', stream, group, name)
    redis.call('ZREM', workers, name)
    redis.call('HDEL', KEYS[7], name)
  end
end

local unknown = {}
if mine > tonumber(ARGV[7]) then
  for _, entry in ipairs(redis.call('XPENDING', stream, group, 'IDLE', ARGV[6], '-', '+', 1000, consumer)) do
    unknown[#unknown + 1] = entry[1]
  end
end
return {freed, unknown}
