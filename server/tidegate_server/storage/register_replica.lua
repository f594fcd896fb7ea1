#!lua flags=allow-oom
-- Adds a replica, or replaces what it says; orders, failures and a person's drain are kept.
-- Forgets replicas that have been silent for long, and drains of those that are away for long.
-- KEYS: replicas, changes. ARGV: id, what it registers, what it says of itself, its load, how long
-- the silent are kept (ms).
-- Returns what `known` does.
local now = now_ms()
local oldest = now - tonumber(ARGV[5])
local fields = redis.call('HGETALL', KEYS[1])
for at = 1, #fields, 2 do
  local letter, id, time = fields[at]:sub(1, 1), fields[at]:sub(3), fields[at + 1]:match('^%d+')
  if letter == 'b' and tonumber(time) < oldest then
    forget(KEYS[1], id)
    redis.call('HDEL', KEYS[1], 'd/' .. id)
  elseif letter == 'd' and time ~= '1' and tonumber(time) < oldest then
    redis.call('HDEL', KEYS[1], fields[at])
  end
end
if redis.call('HEXISTS', KEYS[1], 'd/' .. ARGV[1]) == 1 then
  redis.call('HSET', KEYS[1], 'd/' .. ARGV[1], '1')
end
redis.call('HSET', KEYS[1], 'r/' .. ARGV[1], ARGV[2], 'a/' .. ARGV[1], string.format('%.0f', now))
redis.call('HDEL', KEYS[1], 's/' .. ARGV[1])
hear(KEYS[1], KEYS[2], ARGV[1], ARGV[3], ARGV[4])
return known(KEYS[1], ARGV[1])
