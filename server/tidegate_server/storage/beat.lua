#!lua flags=allow-oom
-- Notes that a member lives, forgets those that were silent for too long, and returns the others.
-- All times are the store's own. It may run when memory is used up: workers free what others need.
-- KEYS: members. ARGV: the member, or '' for none that lives; how long a member may be silent (ms).
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if ARGV[1] ~= '' then
  redis.call('ZADD', KEYS[1], now, ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. (now - tonumber(ARGV[2])))
return redis.call('ZRANGE', KEYS[1], 0, -1)
