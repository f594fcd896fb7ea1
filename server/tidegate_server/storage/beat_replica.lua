#!lua flags=allow-oom
-- Notes that a replica lives, and what it says of itself. It may run when memory is used up: a
-- replica that can't be heard would be taken out of traffic.
-- KEYS: replicas, changes. ARGV: id, what it says of itself, its load.
-- Returns what `known` does; false where the replica is not known.
if redis.call('HEXISTS', KEYS[1], 'r/' .. ARGV[1]) == 0 then
  return false
end
hear(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3])
return known(KEYS[1], ARGV[1])
