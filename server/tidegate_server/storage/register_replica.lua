#!lua flags=allow-oom
-- Adds a replica, or replaces what it says; orders, failures and a person's drain are kept.
-- Forgets replicas that have been silent for long.
-- KEYS: replicas, changes. ARGV: id, what it registers, what it says of itself, its load, how long
-- the silent are kept (ms).
-- Returns what `known` does.
local now = now_ms()
local fields = redis.call('HGETALL', KEYS[1])
for at = 1, #fields, 2 do
  local heard = fields[at]:sub(1, 2) == 'b/' and tonumber(fields[at + 1]:match('^%d+'))
  if heard and heard < now - tonumber(ARGV[5]) then
    forget(KEYS[1], fields[at]:sub(3))
  end
end
redis.call('HSET', KEYS[1], 'r/' .. ARGV[1], ARGV[2], 'a/' .. ARGV[1], string.format('%.0f', now))
redis.call('HDEL', KEYS[1], 's/' .. ARGV[1])
hear(KEYS[1], KEYS[2], ARGV[1], ARGV[3], ARGV[4])
return known(KEYS[1], ARGV[1])
