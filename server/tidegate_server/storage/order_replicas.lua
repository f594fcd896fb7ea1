#!lua flags=allow-oom
-- Stores a controller's orders; those for replicas that are gone by now are left out.
-- KEYS: leader, replicas, changes. ARGV: fencing token, then id and orders of each ('' for none).
-- Returns 1, or 0 with nothing changed if the token counts no more.
if is_fenced_off(KEYS[1], ARGV[1]) then
  return 0
end
for at = 2, #ARGV, 2 do
  local id, orders = ARGV[at], ARGV[at + 1]
  if orders == '' then
    redis.call('HDEL', KEYS[2], 'o/' .. id)
  elseif redis.call('HEXISTS', KEYS[2], 'r/' .. id) == 1 then
    redis.call('HSET', KEYS[2], 'o/' .. id, orders)
  end
end
tell(KEYS[3])
return 1
