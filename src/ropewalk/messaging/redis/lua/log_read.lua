-- Read a part of a session's log.
-- KEYS: stream, about, open   ARGV: after, or '' for where a new reader begins; limit
-- Returns {log, newest, how many are kept, entries}, or nothing when there is no log
local known = redis.call('HMGET', KEYS[2], 'log', 'next')
if not known[1] then return false end
local newest = tonumber(known[2]) - 1
local count = redis.call('XLEN', KEYS[1])
local begin
if ARGV[1] ~= '' then
  begin = tonumber(ARGV[1]) + 1
else
  begin = tonumber(redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')[2] or newest + 1)
end
begin = math.max(begin, newest - count + 1)
local entries = {}
if begin <= newest and tonumber(ARGV[2]) > 0 then
  entries = redis.call('XRANGE', KEYS[1], whole(begin) .. '-0', '+', 'COUNT', ARGV[2])
end
return {known[1], whole(newest), count, entries}
