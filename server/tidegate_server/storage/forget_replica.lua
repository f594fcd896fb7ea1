#!lua flags=allow-oom
-- Forgets a replica; a person's drain is kept for when it registers again.
-- KEYS: replicas, changes. ARGV: id.
if forget(KEYS[1], ARGV[1]) > 0 then
  if redis.call('HEXISTS', KEYS[1], 'd/' .. ARGV[1]) == 1 then
    redis.call('HSET', KEYS[1], 'd/' .. ARGV[1], string.format('%.0f', now_ms()))
  end
  tell(KEYS[2])
end
