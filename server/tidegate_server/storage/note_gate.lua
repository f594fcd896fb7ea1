#!lua flags=allow-oom
-- Stores what came of a check or a hook, unless the experiment is gone.
-- KEYS: leader, versions of experiments, the experiment's gates.
-- ARGV: fencing token, experiment's key, name of the gate, the result.
-- Returns 1, or 0 with nothing changed if the token counts no more.
if is_fenced_off(KEYS[1], ARGV[1]) then
  return 0
end
if redis.call('HEXISTS', KEYS[2], ARGV[2]) == 1 then
  redis.call('HSET', KEYS[3], ARGV[3], ARGV[4])
end
return 1
