-- Add an entry, and let go of those older than some milliseconds of the server's clock.
-- KEYS: stream   ARGV: raw, age_ms, maxlen or ''
local id = redis.call('XADD', KEYS[1], '*', 'data', ARGV[1])
local time = redis.call('TIME')
local oldest = time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(ARGV[2])
redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f', math.max(0, oldest)))
if ARGV[3] ~= '' then redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', ARGV[3]) end
return id
