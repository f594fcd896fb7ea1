#!lua flags=allow-oom
-- Notes that a person takes a replica out of traffic, or puts it back: then what went wrong with it
-- is forgotten, too.
-- KEYS: replicas, changes. ARGV: id, '1' to drain and '0' to put back.
-- Returns what `known` does; false where the replica is not known.
if redis.call('HEXISTS', KEYS[1], 'r/' .. ARGV[1]) == 0 then
  return false
end
if ARGV[2] == '1' then
  redis.call('HSET', KEYS[1], 'd/' .. ARGV[1], '1')
else
  local orders = redis.call('HGET', KEYS[1], 'o/' .. ARGV[1])
  local was_drained = redis.call('HDEL', KEYS[1], 'd/' .. ARGV[1]) == 1
  if orders and (was_drained or cjson.decode(orders)[2] == cjson.null) then
    redis.call('HDEL', KEYS[1], 'o/' .. ARGV[1]) -- what is being changed at present goes on
  end
end
tell(KEYS[2])
return known(KEYS[1], ARGV[1])
