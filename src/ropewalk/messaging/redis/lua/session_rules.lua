-- The living connections of a session: a plain set of 'pod:connection', which strangers read and write, and beside it
-- when each member ends, in ms of the server's clock.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local STRANGERS = 300000
local function whole(number) return string.format('%.0f', number) end

-- Take out who is over, give strangers their five minutes, forget whom a stranger took out, and let both keys end with
-- the last member. Returns the living members.
local function pruned(set, ends)
  local members, known = redis.call('SMEMBERS', set), {}
  local scores = redis.call('ZRANGE', ends, 0, -1, 'WITHSCORES')
  for i = 1, #scores, 2 do known[scores[i]] = tonumber(scores[i + 1]) end
  local living, last = {}, now
  for _, member in ipairs(members) do
    local ending = known[member]
    if not ending then
      ending = now + STRANGERS
      redis.call('ZADD', ends, whole(ending), member)
    end
    if ending > now then
      living[#living + 1] = member
      last = math.max(last, ending)
    else
      redis.call('SREM', set, member)
      redis.call('ZREM', ends, member)
    end
    known[member] = nil
  end
  for member in pairs(known) do redis.call('ZREM', ends, member) end
  redis.call('PEXPIREAT', set, whole(last))
  redis.call('PEXPIREAT', ends, whole(last))
  return living
end
